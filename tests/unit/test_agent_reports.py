"""What waits to be told: events and statuses."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import msgspec
import pytest

from agent.events import BURST, EventRecorder
from agent.reports import ReportBook
from component.env import Env
from tests.agent_pods import NOW, pod


@dataclass
class Clock:
    now: float = NOW
    ids: int = field(default=0)

    def env(self):
        return Env(lambda: self.now, lambda: self.now, random.Random(1), self._uid)

    def _uid(self):
        self.ids += 1
        return f"{self.ids:032x}"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def events(clock):
    return EventRecorder("n1", clock.env())


@pytest.fixture
def book(events):
    return ReportBook(events)


def test_an_event_says_who_saw_what_about_which_container(events):
    events.record(pod(), "Normal", "Started", "Started container main", "main")
    (tree,) = events.take(10)
    assert tree["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "default",
        "name": "web",
        "uid": "uid-web",
        "fieldPath": "spec.containers{main}",
    }
    assert (tree["type"], tree["reason"], tree["message"], tree["count"]) == (
        "Normal",
        "Started",
        "Started container main",
        1,
    )
    assert tree["source"] == {"component": "kubelet", "host": "n1"}
    assert tree["metadata"]["name"].startswith("web.")


def test_repeats_are_counted_under_one_name(events, clock):
    events.record(pod(), "Warning", "BackOff", "again")
    first = events.take(10)[0]
    clock.now += 60
    events.record(pod(), "Warning", "BackOff", "again")
    second = events.take(10)[0]
    assert second["metadata"] == first["metadata"]
    assert (second["count"], second["firstTimestamp"]) == (2, first["firstTimestamp"])
    assert second["lastTimestamp"] > first["lastTimestamp"]


def test_a_talkative_pod_is_slowed_down_and_others_are_not(events, clock):
    for number in range(BURST + 20):
        events.record(pod(), "Warning", "Unhealthy", f"probe {number}")
    assert len(events.take(1000)) == BURST
    clock.now += 300
    events.record(pod(), "Warning", "Unhealthy", "one more")
    events.record(pod(), "Warning", "Unhealthy", "and none")
    assert [tree["message"] for tree in events.take(10)] == ["one more"]


def test_undelivered_events_come_back_unless_counted_further(events):
    events.record(pod(), "Warning", "A", "a")
    events.record(pod(), "Warning", "B", "b")
    taken = events.take(10)
    events.record(pod(), "Warning", "B", "b")
    events.put_back(taken)
    assert [(tree["reason"], tree["count"]) for tree in events.take(10)] == [("A", 1), ("B", 2)]


def statuses(report):
    return {each.uid: msgspec.json.decode(each.status)["phase"] for each in report.pods if each.status}


def put(book, phase, uid="u1"):
    book.put_status(uid, "default", uid, {"phase": phase})


def test_only_the_newest_status_is_told(book):
    put(book, "Pending")
    put(book, "Running")
    assert statuses(book.take(1)) == {"u1": "Running"}
    assert book.take(2) is None
    assert not book.changed.is_set()


def test_the_same_status_again_is_no_news(book):
    put(book, "Running")
    book.take(1)
    put(book, "Running")
    assert book.take(2) is None


def test_what_was_not_acknowledged_is_told_again(book):
    put(book, "Running")
    book.take(1)
    assert book.unacknowledged == 1
    book.lost()
    assert statuses(book.take(2)) == {"u1": "Running"}
    book.settle(2)
    assert book.unacknowledged == 0
    book.lost()
    assert book.take(3) is None


def test_an_old_acknowledgement_does_not_settle_newer_news(book):
    put(book, "Pending")
    book.take(1)
    put(book, "Running")
    book.settle(1)
    assert book.unacknowledged == 1
    assert statuses(book.take(2)) == {"u1": "Running"}


def test_gone_travels_with_the_last_status_and_is_told_until_heard(book):
    put(book, "Succeeded")
    book.put_gone("u1", "default", "u1")
    report = book.take(1)
    assert report.pods[0].gone
    assert statuses(report) == {"u1": "Succeeded"}
    book.lost(1)
    assert book.take(2).pods[0].gone


def test_a_stored_status_need_not_be_told(book):
    book.seed("u1", "default", "u1", '{"phase":"Running"}')
    put(book, "Running")
    assert book.take(1) is None
    assert book.last_status("u1") == {"phase": "Running"}
    put(book, "Failed")
    assert statuses(book.take(2)) == {"u1": "Failed"}


def test_a_control_plane_that_holds_something_else_is_told_again(book):
    put(book, "Running")
    book.take(1)
    book.settle(1)
    book.compare("u1", '{"phase":"Running"}')
    assert book.take(2) is None
    book.compare("u1", '{"phase":"Pending"}')
    assert statuses(book.take(3)) == {"u1": "Running"}


def test_a_forgotten_pod_is_not_told(book):
    put(book, "Running")
    book.forget("u1")
    assert book.take(1) is None


def test_reports_are_bounded(book):
    for number in range(450):
        put(book, "Running", f"u{number}")
    sizes = [len(book.take(number).pods) for number in range(3)]
    assert sizes == [200, 200, 50]


def test_what_the_control_plane_holds_replaces_what_waited_to_be_told(book):
    book.put_status("uid-web", "default", "web", {"phase": "Running"})
    book.restore("uid-web", '{"phase":"Failed"}')
    assert book.last_status("uid-web") == {"phase": "Failed"}
    assert book.take(1) is None
    assert book.unacknowledged == 0
    book.put_gone("uid-web", "default", "web")
    book.restore("uid-web", '{"phase":"Failed"}')
    assert [each.gone for each in book.take(2).pods] == [True]
    book.restore("uid-nobody", "{}")
    assert book.last_status("uid-nobody") == {}
