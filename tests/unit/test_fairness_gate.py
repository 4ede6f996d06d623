"""Who is one user, who never waits, and who is about."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from api.errors import TooManyRequests
from controlplane.admission.request import ACCOUNTS_GROUP, MASTERS_GROUP, REPLICAS_GROUP, Identity, node_identity
from controlplane.apiserver.fairness.gate import IDLE_SECONDS, Gate
from controlplane.apiserver.fairness.limits import CONTROL_PLANE, Limits, level_of

JANE, JOE = Identity("jane", ("dev",)), Identity("joe", ("dev",))
LIMITS = Limits(calls=1, calls_alone=3, waiting_seconds=60.0, watches=1)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("identity", "level"),
    [
        (Identity(CONTROL_PLANE, (MASTERS_GROUP,)), "own"),
        (Identity("system:replica:r1", (REPLICAS_GROUP,)), "own"),
        (node_identity("n1"), "nodes"),
        (Identity("kubernetes-admin", (MASTERS_GROUP,)), "masters"),
        (Identity("system:serviceaccount:a:b", (ACCOUNTS_GROUP, f"{ACCOUNTS_GROUP}:a")), "accounts"),
        (JANE, "users"),
        (Identity(CONTROL_PLANE, (MASTERS_GROUP, REPLICAS_GROUP), impersonator="jane"), "users"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.user,
)
def test_every_user_has_a_class_and_nobody_acts_their_way_into_a_better_one(identity, level):
    assert level_of(identity) == level


def test_who_acts_as_many_others_remains_one_user():
    gate = Gate(LIMITS, Clock())
    acting = [Identity(name, impersonator="jane") for name in ("a", "b")]
    assert gate.user(acting[0]) is gate.user(acting[1])
    assert gate.user(acting[0]) is not gate.user(JANE)


def test_one_who_is_alone_may_run_more_until_another_asks_for_something():
    clock = Clock()
    gate = Gate(LIMITS, clock)
    first = [gate.enter(JANE) for _ in range(3)]
    assert all(first)
    assert gate.enter(JANE) is None
    for ticket in first:
        ticket.end()
    gate.enter(JOE).end()
    running = gate.enter(JANE)
    assert gate.enter(JANE) is None
    running.end()
    for _ in range(2):  # joe does not ask again
        clock.now += IDLE_SECONDS
        gate.enter(JANE).end()
    assert gate.enter(JANE)
    assert gate.enter(JANE)


def test_nodes_and_the_control_plane_make_nobody_give_way():
    gate = Gate(LIMITS, Clock())
    for identity in (node_identity("n1"), Identity(CONTROL_PLANE, (MASTERS_GROUP,)), JANE):
        gate.enter(identity).end()
    assert [bool(gate.enter(JANE)) for _ in range(4)] == [True, True, True, False]


def test_the_control_plane_never_waits_and_has_no_limits():
    gate = Gate(LIMITS, Clock())
    own = Identity(CONTROL_PLANE, (MASTERS_GROUP,))
    assert all(gate.enter(own, 100 << 20) for _ in range(1_000))
    assert all(gate.hold(own, "watches") for _ in range(1_000))


def test_users_with_nothing_under_way_are_forgotten_and_those_with_open_watches_are_not():
    clock = Clock()
    gate = Gate(LIMITS, clock)
    for number in range(1_000):
        gate.enter(Identity(f"user-{number}")).end()
    held = gate.hold(JOE, "watches")
    for _ in range(2):
        clock.now += IDLE_SECONDS
        gate.enter(JANE).end()
    assert {user.flow.user for user in gate._users.values()} == {"jane", "joe"}
    with pytest.raises(TooManyRequests):
        gate.hold(JOE, "watches")
    held.end()
    gate.hold(JOE, "watches").end()


async def test_a_turn_that_comes_while_its_caller_goes_is_given_back():
    gate = Gate(LIMITS, Clock())
    gate.enter(JOE).end()
    running = gate.enter(JANE)
    waiting = asyncio.ensure_future(gate.wait(JANE))
    await asyncio.sleep(0)
    running.end()  # the turn has come
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert gate.user(JANE).flow.running == 0
    gate.enter(JANE).end()


@pytest.mark.parametrize("field", Limits.__struct_fields__)
def test_a_limit_of_nothing_is_refused_by_name(field):
    with pytest.raises(msgspec.ValidationError, match=rf"limits\.{field} must be more than 0"):
        msgspec.convert({field: 0}, Limits)
