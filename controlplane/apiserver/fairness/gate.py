"""The gate that requests of both front ends go through: at once while there is room, else in turns by user.

A thin shell around `queue`: futures, a clock, and counts of what users hold open. It must not know gRPC nor HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from api.errors import TooManyRequests
from controlplane.admission.request import Identity
from controlplane.apiserver.fairness.limits import LEVELS, Limits, level_of
from controlplane.apiserver.fairness.queue import Bounds, FairQueue, Flow

Held = Literal["watches", "streams"]

IDLE_SECONDS: Final = 10.0
"""A user who asks for nothing for so long (and up to as long again) is not about any more."""

SENDING: Final = 64
"""Watches of one user that send at a time; the others of an event's thousand watchers come after them."""

UNCOUNTED: Final = frozenset({"own", "nodes"})
"""Classes that ask for little besides what never waits: nobody has to make room because they are about."""


class Turn:
    """What a call waits for. `came`: it runs, even if whoever waited for it has gone by now."""

    __slots__ = ("came", "future")

    def __init__(self) -> None:
        self.came = False
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def come(self) -> None:
        """Let the call run."""
        self.came = True
        if not self.future.done():
            self.future.set_result(None)


@dataclass(frozen=True, slots=True)
class Class:
    """The room of one class of users: of calls, and of what watches send."""

    calls: FairQueue[Turn]
    events: FairQueue[Turn]


class User:
    """What one user has under way; `queue` and `events` None is of those who never wait.

    `about`: they asked for something lately, `asked`: since idle users were looked for. `counts`: others make room.
    """

    __slots__ = ("about", "asked", "counts", "events", "flow", "held", "queue", "sending", "unread_bytes")

    def __init__(self, name: str, room: Class | None) -> None:
        self.queue = None if room is None else room.calls
        self.events = None if room is None else room.events
        self.flow: Flow[Turn] = Flow(name)
        self.sending: Flow[Turn] = Flow(name)
        self.about = self.asked = False
        self.counts = True
        self.held: dict[Held, int] = {}
        self.unread_bytes = 0  # of answers that are ready

    @property
    def idle(self) -> bool:
        """Whether nothing of them is worth remembering."""
        flow = self.flow
        return not (self.asked or flow.running or flow.waiting or self.unread_bytes or any(self.held.values()))


class Ticket:
    """One call on its way through the gate. `end` must be called once, unless `wait` raises."""

    __slots__ = ("_size", "user")

    def __init__(self, user: User, size: int) -> None:
        self.user = user
        self._size = size

    def end(self) -> None:
        """The call is over."""
        queue = self.user.queue
        if queue is not None:
            let_run(queue.end(self.user.flow, self._size))

    def unread(self, size: int) -> Callable[[], None]:
        """Count an answer of so many bytes as unread until what is returned is called."""
        user = self.user
        user.unread_bytes += size

        def taken() -> None:
            user.unread_bytes -= size

        return taken


class Hold:
    """Something that a user keeps open. `end` must be called once."""

    __slots__ = ("_what", "user")

    def __init__(self, user: User, what: Held) -> None:
        self.user = user
        self._what = what

    def end(self) -> None:
        """It is closed."""
        self.user.held[self._what] -= 1

    def unread(self, size: int) -> Callable[[], None]:  # noqa: ARG002 - what stays open has no single answer
        """Nothing is counted."""
        return _nothing


class Gate:
    """One for all front ends of a replica. Cheap while nothing waits: some attribute tests and one small object a call."""

    def __init__(self, limits: Limits, monotonic: Callable[[], float]) -> None:
        self.limits = limits
        self._monotonic = monotonic
        calls = Bounds(
            calls=limits.calls + max(limits.calls // 3, 1),
            user_calls=limits.calls,
            alone_calls=limits.calls_alone,
            waiting_calls=limits.waiting_calls,
            waiting_bytes=limits.waiting_mebibytes << 20,
        )
        unread = self._unread_limit = limits.unread_mebibytes << 20
        events = Bounds(
            calls=2 * SENDING,
            user_calls=SENDING,
            bytes=4 * unread,
            user_bytes=unread,
            waiting_calls=None,
        )
        self._room = {level: Class(FairQueue(calls), FairQueue(events)) for level in LEVELS}
        for room in self._room.values():
            room.events.shared = True  # a stuck reader keeps its place for half a minute
        self._users: dict[tuple[str, str], User] = {}
        self._about = 0  # users who asked for something lately
        self._look_time = monotonic() + IDLE_SECONDS

    def user(self, identity: Identity) -> User:
        """What the caller has under way; of an impersonator all together, whomever they act as."""
        key = identity.impersonator, identity.impersonator or identity.user
        user = self._users.get(key)
        if user is None:
            level = level_of(identity)
            user = self._users[key] = User(key[1], None if level == "own" else self._room[level])
            user.counts = level not in UNCOUNTED
        return user

    def enter(self, identity: Identity, size: int = 0) -> Ticket | None:
        """Let a call in whose request has `size` bytes; None when it has to `wait` first. TooManyRequests."""
        user = self.user(identity)
        if user.queue is None:
            return Ticket(user, size)
        if not user.about:
            user.about = True
            self._count_about(self._about + user.counts)
        user.asked = True
        if self._monotonic() >= self._look_time:
            self._look_for_idle()
        if user.unread_bytes > self._unread_limit:
            raise TooManyRequests(
                f'user "{user.flow.user}" has {user.unread_bytes >> 20} MiB of answers here that are not read: read them, or cancel'
            )
        return Ticket(user, size) if user.queue.begin(user.flow, size) else None

    async def wait(self, identity: Identity, size: int = 0) -> Ticket:
        """Let a call in when its turn has come. TooManyRequests when too much waits, or for too long."""
        user = self.user(identity)
        queue, flow = user.queue, user.flow
        assert queue is not None, "who never waits passes"
        turn = Turn()
        let_run(queue.wait(flow, size, turn))
        try:
            async with asyncio.timeout(self.limits.waiting_seconds):
                await turn.future
        except BaseException as error:
            let_run(queue.end(flow, size) if turn.came else queue.forget(flow, size, turn))
            if not isinstance(error, TimeoutError):
                raise
            raise TooManyRequests(
                f'requests of user "{flow.user}" wait here for more than {self.limits.waiting_seconds:g} s: '
                "send fewer at a time, and retry in a second"
            ) from None
        return Ticket(user, size)

    def charge(self, identity: Identity, units: int) -> None:
        """What the user asked for cost so many calls more than was known when it was let in."""
        user = self.user(identity)
        if user.queue is not None:
            user.queue.charge(user.flow, units)

    async def send(self, user: User, size: int) -> None:
        """Return when a watch of the user may send so many bytes of events; `sent` must follow. It waits without limit.

        Nothing is lost meanwhile, since watches pull, and who does not read is cut off.
        """
        queue = user.events
        if queue is None or queue.begin(user.sending, size):
            return
        turn = Turn()
        let_run(queue.wait(user.sending, size, turn))
        try:
            await turn.future
        except BaseException:
            let_run(queue.end(user.sending, size) if turn.came else queue.forget(user.sending, size, turn))
            raise

    @staticmethod
    def sent(user: User, size: int) -> None:
        """They were sent, or never will be."""
        if user.events is not None:
            let_run(user.events.end(user.sending, size))

    def hold(self, identity: Identity, what: Held) -> Hold:
        """Count something that stays open until its `end`. TooManyRequests."""
        user = self.user(identity)
        held, most = user.held.get(what, 0), getattr(self.limits, what)
        if user.queue is not None and held >= most:
            raise TooManyRequests(
                f'user "{user.flow.user}" has {held} {what} open here, which is the limit: close some'
            )
        user.held[what] = held + 1
        return Hold(user, what)

    def _look_for_idle(self) -> None:
        """Forget users who have nothing under way, and count those who are about."""
        self._look_time = self._monotonic() + IDLE_SECONDS
        self._users = {key: user for key, user in self._users.items() if not user.idle}
        for user in self._users.values():
            user.about = user.asked or bool(user.flow.running or user.flow.waiting)
            user.asked = False
        self._count_about(sum(user.about and user.counts for user in self._users.values()))

    def _count_about(self, about: int) -> None:
        self._about = about
        for room in self._room.values():
            room.calls.shared = about > 1


def _nothing() -> None:
    pass


def let_run(turns: Sequence[Turn]) -> None:
    """Tell whoever waits for these turns that they have come."""
    for turn in turns:
        turn.come()
