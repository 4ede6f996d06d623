"""Whose request runs next: examples of every rule, and what holds for any mix of users and calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import TooManyRequests
from controlplane.apiserver.fairness.queue import UNIT_BYTES, Bounds, FairQueue, Flow

MIB = 1 << 20


def shared_queue(**bounds) -> FairQueue[str]:
    queue = FairQueue(Bounds(**bounds))
    queue.shared = True
    return queue


def put(queue, flow, item, size=0) -> list[str]:
    """What runs because of this call."""
    return [item] if queue.begin(flow, size) else queue.wait(flow, size, item)


def test_a_call_runs_at_once_while_there_is_room():
    queue, jane = shared_queue(calls=2, user_calls=2), Flow("jane")
    assert [queue.begin(jane, 0) for _ in range(3)] == [True, True, False]


def test_one_user_cannot_take_all_the_room_while_others_are_about():
    queue, bad, good = shared_queue(calls=4, user_calls=3), Flow("bad"), Flow("good")
    assert [put(queue, bad, f"b{number}") for number in range(5)] == [["b0"], ["b1"], ["b2"], [], []]
    assert put(queue, good, "g") == ["g"]


def test_a_user_who_is_alone_may_run_more():
    queue, jane = FairQueue(Bounds(calls=2, user_calls=1, alone_calls=5)), Flow("jane")
    assert [queue.begin(jane, 0) for _ in range(6)] == [True] * 5 + [False]


def test_a_newcomer_waits_for_one_turn_of_a_user_who_has_hundreds_waiting():
    queue, bad, good = shared_queue(calls=1, user_calls=1), Flow("bad"), Flow("good")
    for number in range(500):
        put(queue, bad, f"b{number}")
    put(queue, good, "g")
    order = []
    while "g" not in order:
        order += queue.end(good if order and order[-1] == "g" else bad, 0)
    assert len(order) <= 9


def test_large_requests_use_up_a_turn_sooner():
    queue, large, small = shared_queue(calls=1, user_calls=1, waiting_bytes=64 * MIB), Flow("large"), Flow("small")
    assert put(queue, large, "first", MIB) == ["first"]
    for _ in range(50):
        put(queue, large, "L", MIB)
        put(queue, small, "s")
    order, running = [], (large, MIB)
    for _ in range(40):
        started = queue.end(*running)
        order += started
        running = (large, MIB) if started == ["L"] else (small, 0)
    assert order.count("s") >= 8 * order.count("L") > 0


def test_what_a_call_cost_beyond_its_request_is_charged_to_later_turns():
    queue, lists, gets = shared_queue(calls=1, user_calls=1), Flow("lists"), Flow("gets")
    put(queue, lists, "l")
    for _ in range(50):
        put(queue, lists, "l")
        put(queue, gets, "g")
    order, running = [], lists
    for _ in range(40):
        if running is lists:
            queue.charge(lists, 16)
        started = queue.end(running, 0)
        order += started
        running = lists if started == ["l"] else gets
    assert order.count("g") >= 4 * order.count("l") > 0


def test_running_bytes_of_a_user_and_of_all_are_bounded_but_one_call_may_be_larger():
    queue = shared_queue(bytes=10 * MIB, user_bytes=6 * MIB)
    jane, joe, large = Flow("jane"), Flow("joe"), Flow("large")
    assert put(queue, jane, "1", 4 * MIB) == ["1"]
    assert put(queue, jane, "2", 4 * MIB) == []
    assert put(queue, joe, "3", 5 * MIB) == ["3"]
    assert put(queue, large, "4", 11 * MIB) == []
    assert queue.end(jane, 4 * MIB) == []
    assert queue.end(joe, 5 * MIB) == ["4"]
    assert queue.end(large, 11 * MIB) == ["2"]


def test_a_user_who_is_alone_may_run_more_bytes():
    queue, jane = FairQueue(Bounds(user_bytes=MIB, alone_bytes=3 * MIB)), Flow("jane")
    assert [queue.begin(jane, MIB) for _ in range(4)] == [True, True, True, False]


def test_where_any_number_may_wait_nobody_is_refused():
    queue, jane = shared_queue(calls=1, user_calls=1, waiting_calls=None), Flow("jane")
    assert put(queue, jane, "1") == ["1"]
    assert [put(queue, jane, "2", 40 * MIB) for _ in range(2_000)] == [[]] * 2_000


def test_who_has_too_much_waiting_is_refused_by_name():
    queue, jane = shared_queue(calls=1, user_calls=1, waiting_calls=2, waiting_bytes=MIB), Flow("jane")
    for item in "abc":
        put(queue, jane, item)
    with pytest.raises(TooManyRequests, match='user "jane" has 2 requests'):
        queue.wait(jane, 0, "d")
    joe = Flow("joe")
    put(queue, joe, "e", 2 * MIB)
    with pytest.raises(TooManyRequests, match=r'user "joe" has 1 requests \(2048 KiB\)'):
        queue.wait(joe, 0, "f")


def test_a_call_that_is_taken_back_no_longer_stands_in_the_way():
    queue, large, small = shared_queue(bytes=4 * MIB, user_bytes=8 * MIB), Flow("large"), Flow("small")
    put(queue, small, "1", MIB)
    put(queue, large, "2", 4 * MIB)
    assert put(queue, small, "3", MIB) == []
    assert queue.forget(large, 4 * MIB, "2") == ["3"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 4), st.sampled_from((0, 1_000, MIB, 5 * MIB))),
        st.tuples(st.just("end"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("forget"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("charge"), st.integers(0, 4), st.just(3 * MIB)),
        st.tuples(st.just("shared"), st.integers(0, 1), st.just(0)),
    ),
    max_size=120,
)
BOUNDS = Bounds(
    calls=4, bytes=8 * MIB, user_calls=3, user_bytes=6 * MIB, alone_calls=8, alone_bytes=20 * MIB, waiting_calls=10
)


class Model:
    """What runs and what waits, kept beside the queue."""

    def __init__(self):
        self.queue = FairQueue(BOUNDS)
        self.flows = [Flow(str(number)) for number in range(5)]
        self.running: dict[int, tuple[Flow, int]] = {}
        self.waiting: dict[int, tuple[Flow, int]] = {}
        self.number = 0

    def put(self, flow, size):
        self.number += 1
        if self.queue.begin(flow, size):
            self.running[self.number] = flow, size
            return
        try:
            started = self.queue.wait(flow, size, self.number)
        except TooManyRequests:
            return
        self.waiting[self.number] = flow, size
        self.start(started)

    def start(self, numbers):
        for number in numbers:
            self.running[number] = self.waiting.pop(number)

    def end(self, nth):
        if self.running:
            number = sorted(self.running)[nth % len(self.running)]
            self.start(self.queue.end(*self.running.pop(number)))

    def forget(self, nth):
        if self.waiting:
            number = sorted(self.waiting)[nth % len(self.waiting)]
            flow, size = self.waiting.pop(number)
            self.start(self.queue.forget(flow, size, number))

    def check(self):
        queue = self.queue
        assert queue.running == len(self.running) <= BOUNDS.alone_calls
        assert queue.running_bytes == sum(size for _, size in self.running.values())
        for flow in self.flows:
            own = [size for each, size in self.running.values() if each is flow]
            assert (flow.running, flow.running_bytes) == (len(own), sum(own))
            assert len(flow.waiting) == sum(each is flow for each, _ in self.waiting.values())
            if flow.waiting:  # whoever waits waits for something that will end
                assert self.running
                assert flow.in_line or flow.running

    def drain(self):
        while self.running:
            self.end(0)
        assert not self.waiting


@given(steps=STEPS)
def test_bounds_hold_and_nothing_waits_for_nothing(steps):
    model = Model()
    for step, number, size in steps:
        match step:
            case "put":
                model.put(model.flows[number], size)
            case "end":
                model.end(number)
            case "forget":
                model.forget(number)
            case "charge":
                model.queue.charge(model.flows[number], size // UNIT_BYTES)
            case "shared":
                model.queue.shared = bool(number)
        model.check()
    model.drain()


@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=5),
    sizes=st.lists(st.sampled_from((0, 1_000, MIB)), min_size=5, max_size=5),
)
def test_nobody_in_line_is_passed_over_for_longer_than_turns_and_debts_allow(counts, sizes):
    """Between two calls of one user, each other one starts at most a turn and what large calls of the first cost."""
    queue = shared_queue(calls=1, user_calls=1, waiting_bytes=64 * MIB)
    flows = [Flow(str(number)) for number in range(len(counts))]
    assert queue.begin(flows[0], 0)
    for number, count in enumerate(counts):
        for _ in range(count):
            assert queue.wait(flows[number], sizes[number], number) == []
    running, since = (flows[0], 0), [0] * len(counts)
    while started := queue.end(*running):
        (number,) = started
        running = flows[number], sizes[number]
        for other, flow in enumerate(flows):
            since[other] = 0 if other == number or not flow.waiting else since[other] + 1
        turn = 4 * len(flows) * (2 + MIB // UNIT_BYTES // 4)
        assert max(since) <= turn
    assert not any(flow.waiting for flow in flows)
