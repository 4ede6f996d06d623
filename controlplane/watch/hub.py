"""The latest changes of every kind, for any number of watchers that each keep their own place.

One ring per resource and no queue per watcher: a watcher holds a cursor and pulls. Rings are bounded in bytes
together, and a cursor that falls off gets Expired: that one mechanism bounds memory, slow readers and batching.
It must not know gRPC, sessions or how selectors are written.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from api import errors
from controlplane.commands import Change
from controlplane.watch.events import HubEvent, Opening, Record
from controlplane.watch.selection import Match, selection

HISTORY_BYTES: Final = 32 * 1024 * 1024
LOST_NODES: Final = 65_536  # nodes remembered, beyond those that exist, before idle readers are told to list again
SCAN_EVENTS: Final = 2_048  # looked at in one pull: a selector that matches nothing must not hold the loop

WOKEN_AT_ONCE: Final = 64  # watchers; 1 ms of work


class Revisioned(Protocol):
    """What a hub can be reset to."""

    @property
    def revision(self) -> int:
        """The newest revision."""


class _Waiters:
    """Cursors that wait for one topic. Each has a future of its own: cancelling one must not wake the others."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: dict[asyncio.Future[None], None] = {}  # a dict for its order, which a simulation repeats

    def __len__(self) -> int:
        return len(self._futures)

    def wake(self) -> None:
        futures, self._futures = self._futures, {}
        if futures:
            _wake(iter(futures))

    async def wait(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures[future] = None
        try:
            await future
        finally:
            self._futures.pop(future, None)


def _wake(futures: Iterator[asyncio.Future[None]]) -> None:
    """Wake some now, and others only when the loop has done something else: each will pull and send."""
    woken = 0
    for future in futures:
        if not future.done():
            future.set_result(None)
            woken += 1
            if woken == WOKEN_AT_ONCE:
                asyncio.get_running_loop().call_soon(_wake, futures)
                return


class _Ring:
    """The kept changes of one resource. Positions count all records ever appended and never come back."""

    __slots__ = (
        "_lost",
        "_lost_floor",
        "_positions",
        "_records",
        "_start",
        "expired",
        "floor",
        "opening",
        "size_bytes",
        "topics",
        "waiters",
    )

    def __init__(self, floor: int, opening: Opening | None) -> None:
        self.floor = floor  # changes at or before this revision are gone
        self.opening = opening
        self.size_bytes = 0
        self.expired = False
        self.waiters = _Waiters()
        self.topics: dict[str, tuple[list[int], _Waiters]] = {}  # node: positions of its records
        self._lost: dict[str, int] = {}  # node: position of its newest record that is gone
        self._lost_floor = -1  # for nodes that are not in `_lost`
        self._records: list[Record | None] = []
        self._start = 0  # of `_records`: those before are None, cut off now and then
        self._positions = 0  # position of `_records[0]`

    @property
    def tail(self) -> int:
        """Position of the oldest record."""
        return self._positions + self._start

    @property
    def head(self) -> int:
        """Position after the newest record."""
        return self._positions + len(self._records)

    def record(self, position: int) -> Record:
        record = self._records[position - self._positions]
        assert record is not None, "evicted"
        return record

    def records(self, start: int, stop: int) -> Iterator[Record]:
        """The records at the positions from `start`, not before the tail, up to but not `stop`."""
        return (each for each in self._records[start - self._positions : stop - self._positions] if each is not None)

    def lost(self, node: str, position: int) -> bool:
        """Whether a record at or after `position` is gone, of this node only if one is given."""
        return position < self.tail if not node else position <= self._lost.get(node, self._lost_floor)

    def append(self, record: Record) -> None:
        for node in record.nodes:
            self._topic(node)[0].append(self.head)
        self._records.append(record)
        self.size_bytes += record.size_bytes

    def wake(self, record: Record) -> None:
        self.waiters.wake()
        for node in record.nodes:
            if node in self.topics:
                self.topics[node][1].wake()

    def wake_all(self) -> None:
        self.waiters.wake()
        for _, waiters in self.topics.values():
            waiters.wake()

    def evict(self) -> None:
        """Forget the oldest record."""
        position = self.tail
        record = self.record(position)
        self.floor = record.change.revision
        self.size_bytes -= record.size_bytes
        self._records[self._start] = None
        self._start += 1
        if self._start > 512 and self._start * 2 > len(self._records):
            del self._records[: self._start]
            self._positions += self._start
            self._start = 0
        if len(self._lost) > LOST_NODES:
            self._lost.clear()
            self._lost_floor = position
        for node in record.nodes:
            positions, waiters = self.topics[node]
            del positions[: bisect_right(positions, position)]
            self._lost[node] = position
            if not positions and not waiters:
                del self.topics[node]

    def seek(self, revision: int) -> int:
        """Position of the first record after `revision`, which must not be below the floor."""
        low, high = self.tail, self.head
        while low < high:
            middle = (low + high) // 2
            if self.record(middle).change.revision <= revision:
                low = middle + 1
            else:
                high = middle
        return low

    def positions(self, node: str) -> list[int]:
        """Positions of a node's records, oldest first."""
        topic = self.topics.get(node)
        return topic[0] if topic else []

    async def wait(self, node: str) -> None:
        if not node:
            await self.waiters.wait()
            return
        topic = positions, waiters = self._topic(node)
        try:
            await waiters.wait()
        finally:
            if not positions and not waiters and self.topics.get(node) is topic:
                del self.topics[node]

    def _topic(self, node: str) -> tuple[list[int], _Waiters]:
        topic = self.topics.get(node)
        if topic is None:
            topic = self.topics[node] = ([], _Waiters())
        return topic


class Cursor:
    """One watcher's place in a ring; with a node, in the records that touch this node. Holds no memory of changes."""

    __slots__ = ("_hub", "_node", "_position", "_ring", "_seen")

    def __init__(self, hub: Hub, ring: _Ring, revision: int, node: str) -> None:
        self._hub = hub
        self._ring = ring
        self._node = node
        self._seen = revision
        self._position = ring.seek(revision)

    @property
    def revision(self) -> int:
        """Every change up to this revision was pulled or is not for this watcher: what a bookmark may say."""
        return self._seen if self._behind() else max(self._seen, self._hub.revision)

    async def wait(self) -> None:
        """Return once `pull` has something to look at, or an error to raise. May be cancelled at any time."""
        while not self._behind():
            await self._ring.wait(self._node)

    def pull(self, match: Match | None = None, limit: int = 512) -> list[HubEvent]:
        """Return the next changes that match, oldest first and at most `limit`, and move past them.

        Looks at a bounded number of changes: an empty list does not mean that `wait` would wait. Raises Expired when
        the reader fell so far behind that changes are gone, or the state was replaced; Unavailable when what is next
        cannot be opened.
        """
        ring = self._ring
        if self._missed():
            raise errors.Expired("the watch fell behind what is kept: list again and watch from there")
        if self._node:
            return self._pull_topic(match or selection(node=self._node), limit)
        found: list[HubEvent] = []
        position = max(self._position, ring.tail)
        for record in ring.records(position, position + SCAN_EVENTS):
            self._take(record, match, found)
            position += 1
            if len(found) == limit:
                break
        self._position = position
        return found

    def _pull_topic(self, match: Match | None, limit: int) -> list[HubEvent]:
        found: list[HubEvent] = []
        positions = self._ring.positions(self._node)
        first = bisect_right(positions, self._position - 1)
        for position in positions[first : first + SCAN_EVENTS]:
            if len(found) == limit:
                return found
            self._take(self._ring.record(position), match, found)
            self._position = position + 1
        if len(positions) <= first + SCAN_EVENTS:
            self._position = self._ring.head
        return found

    def _take(self, record: Record, match: Match | None, found: list[HubEvent]) -> None:
        change = record.change
        if change.revision <= self._seen:
            return  # the watch started at a revision that this replica had not reached yet
        if self._ring.opening is not None:
            record.open(self._ring.opening)
        self._seen = change.revision
        event = record.seen_by(match)
        if event is not None:
            found.append(event)

    def _missed(self) -> bool:
        """Whether changes for this watcher are gone."""
        ring = self._ring
        return ring.expired or (self._seen < ring.floor and ring.lost(self._node, self._position))

    def _behind(self) -> bool:
        """Whether `pull` has changes to look at or an error to raise."""
        if not self._node:
            return self._position < self._ring.head or self._ring.expired
        positions = self._ring.positions(self._node)
        return (bool(positions) and positions[-1] >= self._position) or self._missed()


class Hub:
    """All rings. `revision` is the newest one appended, of whatever resource."""

    def __init__(self, revision: int = 0, history_bytes: int = HISTORY_BYTES, opening: Opening | None = None) -> None:
        self.revision = revision
        self._opening = opening
        self._floor = revision  # nothing at or before it was ever appended
        self._history_bytes = history_bytes
        self._size_bytes = 0
        self._rings: dict[str, _Ring] = {}

    @property
    def size_bytes(self) -> int:
        """What the kept changes take, frames included."""
        return self._size_bytes

    def append(self, changes: Sequence[Change]) -> None:
        """Add changes in order of revision and wake who waits for them."""
        touched: list[tuple[_Ring, Record]] = []
        for change in changes:
            ring = self._ring(change.envelope.key.resource)
            record = Record.of(change)
            ring.append(record)
            self._size_bytes += record.size_bytes
            touched.append((ring, record))
        if not touched:
            return
        self.revision = max(self.revision, changes[-1].revision)
        if self._size_bytes > self._history_bytes:
            self._evict()
        for ring, record in touched:
            ring.wake(record)

    def cursor(self, resource: str, after_revision: int) -> Cursor:
        """Start after a revision, which may lie ahead; Expired when changes after it are gone."""
        return self.node_cursor("", after_revision, resource)

    def node_cursor(self, node: str, after_revision: int, resource: str = "pods") -> Cursor:
        """A cursor over the objects placed on a node only: it costs nothing while other nodes' pods change.

        Without a `match` of its own, `pull` shows a pod that is bound to the node as ADDED.
        """
        ring = self._ring(resource)
        if not self.holds(resource, after_revision):
            raise errors.Expired(
                f"changes of {resource} are kept since resource version {ring.floor} only, not {after_revision}: list again"
            )
        return Cursor(self, ring, after_revision, node)

    def holds(self, resource: str, after_revision: int) -> bool:
        """Whether a cursor can start after a revision: no change after it is gone."""
        return after_revision >= self._ring(resource).floor

    def reset(self, state: Revisioned) -> None:
        """Go on from a state that was installed whole: what lies between is not known, so older cursors expire."""
        if state.revision == self.revision:
            return
        rings, self._rings = self._rings, {}
        self._size_bytes = 0
        self.revision = self._floor = state.revision
        for ring in rings.values():
            ring.expired = True
            ring.wake_all()

    def _ring(self, resource: str) -> _Ring:
        ring = self._rings.get(resource)
        if ring is None:
            sealed = self._opening is not None and resource in self._opening.resources
            ring = self._rings[resource] = _Ring(self._floor, self._opening if sealed else None)
        return ring

    def _evict(self) -> None:
        """Make room, a sixteenth at a time. The largest ring gives: a chatty kind must not cost a quiet one its history."""
        target = self._history_bytes - self._history_bytes // 16
        while self._size_bytes > target:
            ring = max(self._rings.values(), key=lambda each: each.size_bytes)
            before = ring.size_bytes
            ring.evict()
            self._size_bytes += ring.size_bytes - before
