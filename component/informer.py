"""A local cache of one resource, kept current by list and watch, for code that must look often and react at once.

It knows how to follow a resource, not what its objects mean. What it hands out is frozen and shared: never changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

import msgspec
import structlog

from api import errors
from api.meta import ObjectMeta, Resource, required
from api.object import Object
from component.client import ApiClient, WatchEvent
from component.env import Env
from component.shared_parts import SharedParts
from component.slices import let_others_run

log = structlog.get_logger()

FIRST_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 5.0
TAKEN_AT_ONCE = 100
"""Listed objects that are decoded and told to listeners before others may run: about 3 ms."""

CHANGED_AT_ONCE = 25
"""As many changed ones take as long, because what follows from a change is more."""

FORGOTTEN_AT_ONCE = 1_000
"""Objects that are freed before others may run: about 3 ms."""

Key = tuple[str, str]
"""Namespace ("" for cluster-scoped objects) and name."""


class HasMetadata(Protocol):
    """Any view of a whole object."""

    @property
    def metadata(self) -> ObjectMeta:
        """The object's metadata."""


View = TypeVar("View", bound=HasMetadata)


class PartialObjectMetadata(Resource):
    """A view of any kind that keeps only who it is; an informer of it caches no bodies."""

    api_version: str = required("")
    kind: str = required("")
    metadata: ObjectMeta = ObjectMeta()


class Cached(msgspec.Struct, Generic[View], frozen=True, gc=False):
    """An object as stored and its decoded view. `gc=False` is safe because neither leads back to it."""

    object: Object
    view: View

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return (self.object.namespace, self.object.name)

    @property
    def metadata(self) -> ObjectMeta:
        """The view's metadata."""
        return self.view.metadata


@dataclass(frozen=True, slots=True)
class Change(Generic[View]):
    """What happened to one object; `old` is None when it is new, `new` is None when it is gone."""

    old: Cached[View] | None
    new: Cached[View] | None

    @property
    def latest(self) -> Cached[View]:
        """The newer of the two states."""
        cached = self.new or self.old
        assert cached is not None
        return cached


Index = Callable[[Cached[View]], Iterable[str]]
Listener = Callable[[Change[View]], None]


def owner_uids(cached: Cached[View]) -> Iterable[str]:
    """Index: the uid of every owner."""
    return [owner.uid for owner in cached.metadata.owner_references]


class Informer(Generic[View]):
    """Follows one resource from `run` until cancelled.

    Listeners are called in the order of changes, after the cache holds the change; they must not block. One that raises
    is logged and misses that change; the others, and the cache, do not.
    After a compaction the cache is listed again and listeners get the differences, so that they never miss an
    object's latest state, only states between.
    """

    def __init__(
        self,
        client: ApiClient,
        resource: str,
        kind: type[View],
        env: Env,
        *,
        field_selector: str = "",
        indexes: Mapping[str, Index[View]] | None = None,
    ) -> None:
        self.resource = resource
        self._client = client
        self._kind = kind
        self._bodies = kind is not PartialObjectMetadata
        self._env = env
        self._field_selector = field_selector
        self._parts = SharedParts()
        self._index_functions = dict(indexes or {})
        # Keys are text, never tuples: the garbage collector looks through a dict of 100,000 tuples again and again.
        self._namespaces: dict[str, dict[str, Cached[View]]] = {}  # namespace: name
        self._length = 0
        # index: value: uid
        self._indexes: dict[str, dict[str, dict[str, Cached[View]]]] = {name: {} for name in self._index_functions}
        self._listeners: list[Listener[View]] = []
        self._revision = 0
        self._synced = False
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    @property
    def synced(self) -> bool:
        """Whether the first list is in the cache."""
        return self._synced

    @property
    def revision(self) -> int:
        """Every change of the resource up to this revision is in the cache."""
        return self._revision

    def subscribe(self, listener: Listener[View]) -> Callable[[], None]:
        """Call `listener` with every change from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def get(self, namespace: str, name: str) -> Cached[View] | None:
        """Return one object, None when the cache holds none of that name."""
        return self._namespaces.get(namespace, {}).get(name)

    def items(self) -> list[Cached[View]]:
        """All objects, in no meaningful order."""
        return [cached for named in self._namespaces.values() for cached in named.values()]

    async def each(self) -> AsyncGenerator[Cached[View]]:
        """Yield every object that is there now, as it is when its turn comes; others run now and then meanwhile."""
        for count, listed in enumerate(self.items(), start=1):
            cached = self.get(*listed.key)
            if cached is not None:
                yield cached
            if count % TAKEN_AT_ONCE == 0:
                await let_others_run()

    def __len__(self) -> int:
        """How many objects the cache holds."""
        return self._length

    def in_namespace(self, namespace: str) -> Mapping[str, Cached[View]]:
        """The objects of a namespace by name; a live view, for use before the next await."""
        return MappingProxyType(self._namespaces.get(namespace, {}))

    def by_index(self, index: str, value: str) -> list[Cached[View]]:
        """The objects whose index function yields `value`."""
        return list(self._indexes[index].get(value, {}).values())

    async def wait_synced(self) -> None:
        """Return once the first list is in the cache."""
        await self._wait(lambda: True)

    async def wait_revision(self, revision: int) -> None:
        """Return once the cache is at least as new as `revision`, the revision of an object of this resource.

        Waiting with the revision of a write makes the next look at the cache see that write ("fresh enough").
        """
        await self._wait(lambda: self._revision >= revision)

    async def wait_deleted(self, namespace: str, name: str, uid: str) -> None:
        """Return once the cache shows the object with `uid` as gone or as being deleted."""

        def deleted() -> bool:
            cached = self.get(namespace, name)
            return cached is None or cached.object.uid != uid or cached.metadata.deletion_timestamp is not None

        await self._wait(deleted)

    async def run(self) -> None:
        """List, then follow changes until cancelled; errors are retried with jittered back-off."""
        failures = 0
        listed = False
        while True:
            before = self._revision
            try:
                if not listed:
                    await self._list()
                    listed = True
                await self._follow()
            except errors.Expired:
                log.info("watch_expired", resource=self.resource, revision=self._revision)
                listed = False
            except errors.ApiError as error:
                log.warning("watch_failed", resource=self.resource, reason=error.reason, message=str(error))
            failures = 0 if self._revision > before else failures + 1
            longest = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(failures, 20), MAX_BACKOFF_SECONDS)
            await asyncio.sleep(longest * (1.0 - self._env.rng.random() / 2.0))

    async def forget(self) -> None:
        """Let go of everything, for when nobody looks any more: 100,000 objects freed at once would hold the loop."""
        self._synced = False
        self._parts = SharedParts()
        for index in self._indexes.values():
            index.clear()
        while self._namespaces:
            _, named = self._namespaces.popitem()
            while named:
                for _ in range(min(len(named), FORGOTTEN_AT_ONCE)):
                    named.popitem()
                await let_others_run()
        self._length = 0

    async def _list(self) -> None:
        listed = await self._client.list(self.resource, field_selector=self._field_selector)
        current: dict[Key, Object] = {}
        for start in range(0, len(listed.items), TAKEN_AT_ONCE):
            current.update(((item.namespace, item.name), item) for item in listed.items[start : start + TAKEN_AT_ONCE])
            await let_others_run()
        for cached in self.items():
            kept = current.get(cached.key)
            if kept is None or kept.uid != cached.object.uid:
                self._remove(cached.key)
        for count, (key, item) in enumerate(current.items(), start=1):
            known = self.get(*key)
            if known is None or known.object.revision != item.revision:
                self._put(item)
            if count % TAKEN_AT_ONCE == 0:
                await let_others_run()  # a new leader lists everything there is while it answers others
        self._synced = True
        self._advance(listed.revision)

    async def _follow(self) -> None:
        async for batch in self._client.watch(
            self.resource, revision=self._revision, field_selector=self._field_selector
        ):
            for start in range(0, len(batch), CHANGED_AT_ONCE):
                if len(batch) > CHANGED_AT_ONCE:
                    await let_others_run()
                for event in batch[start : start + CHANGED_AT_ONCE]:
                    self._apply(event)
            if batch:
                self._advance(batch[-1].revision)

    def _apply(self, event: WatchEvent) -> None:
        item = event.object
        if item is None:
            return
        if event.type == "DELETED":
            self._remove((item.namespace, item.name))
        elif event.type != "BOOKMARK":
            self._put(item)

    def _put(self, item: Object) -> None:
        key = (item.namespace, item.name)
        old = self.get(*key)
        try:
            view = self._parts.view(item, self._kind)
        except msgspec.ValidationError as error:
            # One object that a newer version wrote, or that was damaged, must not stop everybody else's work.
            log.warning("object_undecodable", resource=self.resource, namespace=key[0], name=key[1], message=str(error))
            self._remove(key)
            return
        if not self._bodies:
            item = msgspec.structs.replace(item, json=b"")
        new = Cached(item, view)
        if old is not None:
            self._unindex(old)
        else:
            self._length += 1
        self._namespaces.setdefault(item.namespace, {})[item.name] = new
        for name, function in self._index_functions.items():
            for value in function(new):
                self._indexes[name].setdefault(value, {})[item.uid] = new
        self._notify(Change(old, new))

    def _remove(self, key: Key) -> None:
        old = self.get(*key)
        if old is None:
            return
        self._length -= 1
        namespace = self._namespaces[key[0]]
        del namespace[key[1]]
        if not namespace:
            del self._namespaces[key[0]]
        self._unindex(old)
        self._notify(Change(old, None))

    def _unindex(self, old: Cached[View]) -> None:
        for name, function in self._index_functions.items():
            values = self._indexes[name]
            for value in function(old):
                entries = values.get(value)
                if entries is not None:
                    entries.pop(old.object.uid, None)
                    if not entries:
                        del values[value]

    def _notify(self, change: Change[View]) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(change)
            except Exception:
                # Without this, one listener's bug would end the watch, and with it everybody else's work.
                key = change.latest.key
                log.exception("listener_failed", resource=self.resource, namespace=key[0], name=key[1])

    def _advance(self, revision: int) -> None:
        self._revision = max(self._revision, revision)
        waiting, self._waiters = self._waiters, []
        for reached, waiter in waiting:
            if waiter.done():
                continue
            if reached():
                waiter.set_result(None)
            else:
                self._waiters.append((reached, waiter))

    async def _wait(self, reached: Callable[[], bool]) -> None:
        if self._synced and reached():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((reached, waiter))
        await waiter
