"""A sorted mapping whose copies are cheap: blocks of items, shared between copies until one of them is written.

Lookups and writes cost a binary search; `clone` costs one list of blocks (100,000 items: about 10 µs), so that a
snapshot or a paged list can keep a whole state still while writes go on. It must not know what it holds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

BLOCK_ITEMS: Final = 512

K = TypeVar("K", bound=tuple[str, ...])
V = TypeVar("V")


class _Block(Generic[K, V]):
    """A run of items in order. Only the map whose token it carries may change it in place."""

    __slots__ = ("keys", "token", "values")

    def __init__(self, keys: list[K], values: list[V], token: object) -> None:
        self.keys = keys
        self.values = values
        self.token = token


class SortedMap(Generic[K, V]):
    """Keys are tuples of strings, all of one length; iteration follows their order."""

    __slots__ = ("_blocks", "_firsts", "_length", "_token")

    def __init__(self) -> None:
        self._token = object()
        self._blocks: list[_Block[K, V]] = []
        self._firsts: list[K] = []  # a lower bound of each block's keys
        self._length = 0

    @classmethod
    def from_sorted(cls, items: Iterable[tuple[K, V]]) -> SortedMap[K, V]:
        """Build from items in strictly ascending order of their keys; raises ValueError when they are not."""
        new: SortedMap[K, V] = cls()
        last: K | None = None
        block: _Block[K, V] | None = None
        for key, value in items:
            if last is not None and not last < key:
                raise ValueError(f"keys out of order: {last} before {key}")
            if block is None or len(block.keys) >= BLOCK_ITEMS // 2:
                block = _Block([], [], new._token)
                new._blocks.append(block)
                new._firsts.append(key)
            block.keys.append(key)
            block.values.append(value)
            new._length += 1
            last = key
        return new

    def __len__(self) -> int:
        return self._length

    def clone(self) -> SortedMap[K, V]:
        """Return an independent copy that shares every block until either side changes it."""
        new: SortedMap[K, V] = SortedMap()
        new._blocks = self._blocks.copy()
        new._firsts = self._firsts.copy()
        new._length = self._length
        self._token = object()  # neither side owns the shared blocks any more
        return new

    def get(self, key: K) -> V | None:
        """Return the value at `key` or None."""
        at = bisect_right(self._firsts, key) - 1
        if at < 0:
            return None
        block = self._blocks[at]
        keys = block.keys
        i = bisect_left(keys, key)
        return block.values[i] if i < len(keys) and keys[i] == key else None

    def set(self, key: K, value: V) -> None:
        """Insert or replace."""
        at = bisect_right(self._firsts, key) - 1
        if at < 0:
            at = 0
            if not self._blocks:
                self._blocks.append(_Block([], [], self._token))
                self._firsts.append(key)
        block = self._own(at)
        keys = block.keys
        i = bisect_left(keys, key)
        if i < len(keys) and keys[i] == key:
            block.values[i] = value
            return
        keys.insert(i, key)
        block.values.insert(i, value)
        self._length += 1
        if i == 0:
            self._firsts[at] = key
        if len(keys) > BLOCK_ITEMS:
            self._split(at)

    def remove(self, key: K) -> bool:
        """Remove `key`; False if it is not there."""
        at = bisect_right(self._firsts, key) - 1
        if at < 0:
            return False
        keys = self._blocks[at].keys
        i = bisect_left(keys, key)
        if i == len(keys) or keys[i] != key:
            return False
        block = self._own(at)
        del block.keys[i], block.values[i]
        self._length -= 1
        if not block.keys:
            del self._blocks[at], self._firsts[at]
        return True

    def items(self, start: K | None = None) -> Iterator[tuple[K, V]]:
        """Iterate in order from the first key at or after `start`. The map must not change meanwhile."""
        at, i = 0, 0
        if start is not None and self._blocks:
            at = max(0, bisect_right(self._firsts, start) - 1)
            i = bisect_left(self._blocks[at].keys, start)
        for block in self._blocks[at:]:
            keys, values = block.keys, block.values
            yield from zip(keys[i:], values[i:], strict=True) if i else zip(keys, values, strict=True)
            i = 0

    def _own(self, at: int) -> _Block[K, V]:
        block = self._blocks[at]
        if block.token is not self._token:
            block = _Block(block.keys.copy(), block.values.copy(), self._token)
            self._blocks[at] = block
        return block

    def _split(self, at: int) -> None:
        block = self._blocks[at]
        middle = len(block.keys) // 2
        upper = _Block(block.keys[middle:], block.values[middle:], self._token)
        del block.keys[middle:], block.values[middle:]
        self._blocks.insert(at + 1, upper)
        self._firsts.insert(at + 1, upper.keys[0])
