"""The scheduling queue, with time as a number."""

from __future__ import annotations

import pytest

from controlplane.scheduler.cycle import Waiting
from controlplane.scheduler.filters import PodClass
from controlplane.scheduler.queue import FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS, STUCK_SECONDS, SchedulingQueue


def entry(uid, priority=0, owner=""):
    return Waiting(uid, "default", uid, PodClass(owner=owner), priority)


def queue_of(*uids):
    queue = SchedulingQueue()
    for uid in uids:
        queue.add(entry(uid))
    return queue


def take(queue, now, limit=10):
    return [pod.uid for pod in queue.take(limit, now)]


def test_pods_come_in_order_of_arrival():
    assert take(queue_of("b", "a"), 0.0) == ["b", "a"]


def test_higher_priority_comes_first():
    queue = queue_of("a")
    queue.add(entry("vip", priority=10))
    assert take(queue, 0.0) == ["vip", "a"]


def test_a_pod_is_handed_out_once():
    queue = queue_of("a")
    assert take(queue, 0.0) == ["a"]
    queue.add(entry("a"))
    assert take(queue, 0.0) == []


def test_an_unschedulable_pod_waits_for_an_event():
    queue = queue_of("a")
    take(queue, 0.0)
    queue.failed("a", 0.0, unschedulable=True)
    assert take(queue, 100.0) == []
    queue.wake(100.0)
    assert take(queue, 100.0) == ["a"]


def test_an_early_event_brings_an_unschedulable_pod_back_after_its_backoff():
    queue = queue_of("a")
    take(queue, 0.0)
    queue.failed("a", 0.0, unschedulable=True)
    queue.wake(0.01)
    assert take(queue, 0.01) == []
    assert queue.due_seconds(0.01) == FIRST_BACKOFF_SECONDS - 0.01
    assert take(queue, FIRST_BACKOFF_SECONDS) == ["a"]


def test_an_event_during_the_attempt_is_not_lost():
    queue = queue_of("a")
    take(queue, 0.0)
    queue.wake(0.0)
    queue.failed("a", 0.0, unschedulable=True)
    assert take(queue, FIRST_BACKOFF_SECONDS) == ["a"]


def test_a_failed_binding_is_retried_without_an_event():
    queue = queue_of("a")
    take(queue, 0.0)
    queue.failed("a", 0.0, unschedulable=False)
    assert take(queue, FIRST_BACKOFF_SECONDS) == ["a"]


def test_backoff_doubles_up_to_its_bound():
    queue = queue_of("a")
    now, waits = 0.0, []
    for _ in range(10):
        assert take(queue, now) == ["a"]
        queue.failed("a", now, unschedulable=False)
        waits.append(queue.due_seconds(now))
        now += waits[-1]
    assert waits[:3] == pytest.approx([FIRST_BACKOFF_SECONDS, 2 * FIRST_BACKOFF_SECONDS, 4 * FIRST_BACKOFF_SECONDS])
    assert waits[-1] == pytest.approx(MAX_BACKOFF_SECONDS)


def test_a_changed_pod_is_tried_at_once():
    queue = queue_of("a")
    take(queue, 0.0)
    queue.failed("a", 0.0, unschedulable=True)
    queue.add(entry("a", owner="other"))
    assert take(queue, 0.0) == ["a"]


def test_a_pod_that_went_is_forgotten_everywhere():
    queue = queue_of("a", "b")
    take(queue, 0.0)
    queue.failed("a", 0.0, unschedulable=False)
    queue.failed("b", 0.0, unschedulable=True)
    queue.remove("a")
    queue.remove("b")
    assert len(queue) == 0
    assert queue.due_seconds(0.0) is None or take(queue, 1_000.0) == []


def test_unschedulable_pods_are_tried_again_after_a_long_time_as_a_repair():
    queue = queue_of("a")
    take(queue, 0.0)
    queue.failed("a", 0.0, unschedulable=True)
    assert queue.due_seconds(0.0) == STUCK_SECONDS
    assert take(queue, STUCK_SECONDS) == ["a"]


def test_a_pod_whose_priority_changed_while_it_waits_is_handed_out_once_in_its_new_place():
    queue = queue_of("a", "b")
    queue.add(entry("b", priority=10))
    assert take(queue, 0.0) == ["b", "a"]
    assert take(queue, 0.0) == []


def test_a_pod_that_went_and_came_again_waits_behind_those_that_stayed():
    queue = queue_of("a", "b")
    queue.remove("a")
    queue.add(entry("a"))
    assert take(queue, 0.0, limit=1) == ["b"]
    assert take(queue, 0.0) == ["a"]
