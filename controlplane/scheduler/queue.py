"""Pods that wait for a node: to be tried now, soon, or when something changes that may help them.

Time comes in as an argument, so that the rules can be tested without waiting. Bounded by the number of pods.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from dataclasses import dataclass
from itertools import count

from controlplane.scheduler.cycle import Waiting

FIRST_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 10.0
STUCK_SECONDS = 300.0  # repair only: events wake unschedulable pods


@dataclass(slots=True)
class _Entry:
    pod: Waiting
    number: int
    attempts: int = 0
    ready_time: float = 0.0  # not before this


class SchedulingQueue:
    """Active pods by priority, then by arrival; unschedulable ones until an event, no sooner than their back-off."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._active: dict[str, _Entry] = {}
        self._order: list[tuple[int, int, str]] = []  # a heap of all active ones, and of some that no longer are
        self._backoff: list[tuple[float, int, str]] = []
        self._unschedulable: dict[str, float] = {}
        self._in_cycle: dict[str, bool] = {}  # whether a helpful event came while the pod was being tried
        self._numbers = count()

    def __len__(self) -> int:
        """All pods that wait, in whatever state."""
        return len(self._entries)

    def __contains__(self, uid: str) -> bool:
        """Whether the pod waits."""
        return uid in self._entries

    def add(self, pod: Waiting) -> None:
        """A new pod, or one whose spec changed: to be tried at once."""
        entry = self._entries.get(pod.uid)
        if entry is None:
            entry = self._entries[pod.uid] = _Entry(pod, next(self._numbers))
        elif entry.pod == pod:
            return
        entry.pod = pod
        entry.ready_time = 0.0
        if pod.uid not in self._in_cycle:
            self._unschedulable.pop(pod.uid, None)
            self._activate(entry)

    def remove(self, uid: str) -> None:
        """The pod is bound or gone."""
        self._entries.pop(uid, None)
        self._active.pop(uid, None)
        self._unschedulable.pop(uid, None)
        self._in_cycle.pop(uid, None)

    def take(self, limit: int, now: float) -> list[Waiting]:
        """Take up to `limit` pods to try now; each must be given back with `failed` or end with `remove`."""
        self._mature(now)
        first: list[Waiting] = []
        while self._active and len(first) < limit:
            place = heapq.heappop(self._order)
            entry = self._active.get(place[2])
            if entry is None or place != _place(entry):
                continue  # taken, gone or changed since
            del self._active[entry.pod.uid]
            self._in_cycle[entry.pod.uid] = False
            first.append(entry.pod)
        if not self._active:
            self._order.clear()
        return first

    def failed(self, uid: str, now: float, *, unschedulable: bool) -> None:
        """Give a pod back: unschedulable ones wait for an event, others only for their back-off."""
        entry = self._entries.get(uid)
        helped = self._in_cycle.pop(uid, False)
        if entry is None:
            return
        longest = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(entry.attempts, 20), MAX_BACKOFF_SECONDS)
        entry.attempts += 1
        entry.ready_time = now + longest
        if unschedulable and not helped:
            self._unschedulable[uid] = now
        else:
            self._push(entry)

    def wake(self, now: float) -> None:
        """Something changed that may help: a node, or room on one."""
        waiting, self._unschedulable = self._unschedulable, {}
        for uid in waiting:
            entry = self._entries[uid]
            if entry.ready_time <= now:
                self._activate(entry)
            else:
                self._push(entry)
        for uid in self._in_cycle:
            self._in_cycle[uid] = True

    def due_seconds(self, now: float) -> float | None:
        """Seconds until `take` can give something without a further event; 0 at once, None never."""
        if self._active:
            return 0.0
        times = [self._backoff[0][0]] if self._backoff else []
        if self._unschedulable:
            times.append(min(self._unschedulable.values()) + STUCK_SECONDS)
        return max(0.0, min(times) - now) if times else None

    def unschedulable(self) -> Collection[str]:
        """The uids of the pods that wait for an event."""
        return self._unschedulable.keys()

    def _activate(self, entry: _Entry) -> None:
        self._active[entry.pod.uid] = entry
        heapq.heappush(self._order, _place(entry))

    def _push(self, entry: _Entry) -> None:
        heapq.heappush(self._backoff, (entry.ready_time, entry.number, entry.pod.uid))

    def _mature(self, now: float) -> None:
        while self._backoff and self._backoff[0][0] <= now:
            _, number, uid = heapq.heappop(self._backoff)
            entry = self._entries.get(uid)
            if entry is not None and entry.number == number and uid not in self._in_cycle:
                self._activate(entry)
        for uid, since in list(self._unschedulable.items()):
            if since + STUCK_SECONDS <= now:
                del self._unschedulable[uid]
                self._activate(self._entries[uid])


def _place(entry: _Entry) -> tuple[int, int, str]:
    """Where it stands among those to be tried: by priority, then by arrival."""
    return -entry.pod.priority, entry.number, entry.pod.uid
