"""Whose request runs next, when not all can run at once: users take turns, by calls and by bytes.

Surplus round robin: each user in line may start calls until its credit is used up, then it is the next one's turn. What a
call costs beyond its request, such as a long list, is charged when it is known. Pure: it must not know a clock, tasks,
nor what the calls are.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from api.errors import TooManyRequests

Item = TypeVar("Item")

TURN_UNITS: Final = 4  # started in one turn, where they are small
UNIT_BYTES: Final = 32 << 10  # cost as much as a call
LARGEST_DEBT_UNITS: Final = 256


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much runs and waits at a time.

    `calls` and `bytes` run together while several users are about, of them `user_calls` and `user_bytes` of one; one who
    is alone may run `alone_calls` and `alone_bytes`. A call that is larger than all the bytes runs when nothing else does.
    `waiting_calls` (None: any number) and `waiting_bytes` may wait of one user.
    """

    calls: int = 32
    bytes: int = 4 << 20
    user_calls: int = 24
    user_bytes: int = 2 << 20
    alone_calls: int = 512
    alone_bytes: int = 16 << 20
    waiting_calls: int | None = 1_024
    waiting_bytes: int = 32 << 20


@dataclass(slots=True, eq=False)
class Flow(Generic[Item]):
    """The calls of one user. `in_line`: it takes part in the turns; else it waits for nothing, or for calls of its own."""

    user: str
    running: int = 0
    running_bytes: int = 0
    waiting: deque[tuple[int, Item]] = field(default_factory=deque)
    waiting_bytes: int = 0
    credit: int = 0
    in_line: bool = False


class FairQueue(Generic[Item]):
    """One class of users. What it says may run counts as running until `end`.

    While a call waits, either the class runs as much as it may, or its own user does. Nobody in line is passed over by
    another user more often than a turn, and the debts of either, allow.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._line: deque[Flow[Item]] = deque()
        self.shared = False  # several users are about
        self.running = 0
        self.running_bytes = 0

    def begin(self, flow: Flow[Item], size: int) -> bool:
        """Whether a call may run at once."""
        if self._line or flow.waiting or not self._fits(flow, size):
            return False
        self._count(flow, size)
        return True

    def wait(self, flow: Flow[Item], size: int, item: Item) -> list[Item]:
        """Let a call that may not run yet wait. Returns those that run now. TooManyRequests when too much waits already."""
        bounds = self._bounds
        if bounds.waiting_calls is not None and (
            len(flow.waiting) >= bounds.waiting_calls
            or (flow.waiting and flow.waiting_bytes + size > bounds.waiting_bytes)
        ):
            raise TooManyRequests(
                f'user "{flow.user}" has {len(flow.waiting)} requests ({flow.waiting_bytes >> 10} KiB) waiting here already: '
                "send fewer at a time, and retry in a second"
            )
        flow.waiting.append((size, item))
        flow.waiting_bytes += size
        if not flow.in_line and self._within_own(flow, flow.waiting[0][0]):
            self._line_up(flow)
        return self.start()

    def forget(self, flow: Flow[Item], size: int, item: Item) -> list[Item]:
        """Take back a call that waits. Returns those that run now because it stood in their way."""
        flow.waiting.remove((size, item))
        flow.waiting_bytes -= size
        if not flow.waiting and flow.in_line:
            self._leave_line(flow)
        elif flow.waiting and not flow.in_line and self._within_own(flow, flow.waiting[0][0]):
            self._line_up(flow)
        return self.start()

    def charge(self, flow: Flow[Item], units: int) -> None:
        """A call cost so many calls more than it said; it matters only while somebody waits."""
        if self._line or flow.waiting:
            flow.credit = max(flow.credit - units, -LARGEST_DEBT_UNITS)

    def end(self, flow: Flow[Item], size: int) -> list[Item]:
        """A call is over. Returns those that run now in its place."""
        self.running -= 1
        self.running_bytes -= size
        flow.running -= 1
        flow.running_bytes -= size
        if not flow.waiting and not self._line:
            return []
        if flow.waiting and not flow.in_line and self._within_own(flow, flow.waiting[0][0]):
            self._line_up(flow)
        return self.start()

    def start(self) -> list[Item]:
        """Let run what may, in turns."""
        started: list[Item] = []
        while self._line:
            flow = self._line[0]
            size, item = flow.waiting[0]
            if not self._fits_class(size):
                break
            if not self._within_own(flow, size):
                self._leave_line(flow)
                continue
            if flow.credit <= 0:
                flow.credit += TURN_UNITS
                self._line.rotate(-1)
                continue
            flow.credit -= 1 + size // UNIT_BYTES
            flow.waiting.popleft()
            flow.waiting_bytes -= size
            self._count(flow, size)
            started.append(item)
            if not flow.waiting:
                self._leave_line(flow)
        return started

    def _count(self, flow: Flow[Item], size: int) -> None:
        self.running += 1
        self.running_bytes += size
        flow.running += 1
        flow.running_bytes += size

    def _fits(self, flow: Flow[Item], size: int) -> bool:
        return self._fits_class(size) and self._within_own(flow, size)

    def _fits_class(self, size: int) -> bool:
        bounds = self._bounds
        calls, total = (bounds.calls, bounds.bytes) if self.shared else (bounds.alone_calls, bounds.alone_bytes)
        return self.running < calls and (self.running_bytes + size <= total or not self.running)

    def _within_own(self, flow: Flow[Item], size: int) -> bool:
        bounds = self._bounds
        calls, total = (
            (bounds.user_calls, bounds.user_bytes) if self.shared else (bounds.alone_calls, bounds.alone_bytes)
        )
        return flow.running < calls and (flow.running_bytes + size <= total or not flow.running)

    def _line_up(self, flow: Flow[Item]) -> None:
        flow.in_line = True
        flow.credit = min(flow.credit, 0)  # what was saved up while nobody waited does not count
        self._line.append(flow)

    def _leave_line(self, flow: Flow[Item]) -> None:
        flow.in_line = False
        self._line.remove(flow)
