"""The one shell around all controllers: events -> keys -> plan -> actions -> API calls.

A controller only says which keys a change concerns and what it wants done for a key. Everything about time,
failure and freshness is here: one pass per key at a time, retries with back-off, and no pass on a cache that is
older than the key's own last writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

import structlog

from api import errors
from api.errors import ApiError
from component.client import ApiClient
from component.env import Env
from component.informer import Change, Informer
from component.slices import let_others_run
from component.tasks import run_together
from component.workqueue import WorkQueue
from controlplane.controllers.actions import (
    Action,
    Delete,
    Record,
    Wake,
)
from controlplane.controllers.events import Recorder
from controlplane.controllers.turns import Turns
from controlplane.controllers.writes import perform

log = structlog.get_logger()

WORKERS = 8
MAX_CALLS = 64  # API calls in flight per controller
RESYNC_SECONDS = 300.0
ADDED_AT_ONCE = 500  # keys of a resync: 0.5 ms
STALE_SECONDS = 10.0  # how long a pass waits for its cache before it goes to the back of the queue

Key = tuple[str, ...]
"""What one pass is about: usually namespace and name."""


@dataclass(frozen=True, slots=True)
class Source:
    """A cache to listen to, and the keys that a change in it concerns."""

    informer: Informer[Any]
    keys: Callable[[Change[Any]], Iterable[Key]]


def own_key(change: Change[Any]) -> Iterable[Key]:
    """The changed object is the one to look at."""
    return [change.latest.key]


class Controller(Protocol):
    """What the loop needs to know of a controller."""

    @property
    def name(self) -> str:
        """A word for logs and events: "replicaset"."""

    def sources(self) -> Sequence[Source]:
        """The caches whose changes matter."""

    def all_keys(self) -> Iterable[Key]:
        """Every key there is, for the resync; a generator is asked bit by bit, while others run."""

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Observe and decide, from the caches; `failure` is why the key's last pass did not go through."""


@dataclass(slots=True)
class _Written:
    """What a key's last pass changed: the caches must show it before the next pass."""

    revisions: dict[str, int] = field(default_factory=dict)
    deletions: list[Delete] = field(default_factory=list)


@dataclass(slots=True)
class _Burst:
    """Actions performed together, and the first error among them."""

    failure: ApiError | None = None


class ControllerLoop:
    """Runs one controller until cancelled.

    Actions of one type next to each other are performed together, bounded by `MAX_CALLS`; the next ones only if all
    of those went well. The next pass is told what failed.
    """

    def __init__(
        self,
        controller: Controller,
        client: ApiClient,
        env: Env,
        recorder: Recorder,
        turns: Turns,
        *,
        workers: int | None = None,
        resync_seconds: float = RESYNC_SECONDS,
    ) -> None:
        self._controller = controller
        self._client = client
        self._env = env
        self._recorder = recorder
        self._turns = turns
        self._workers = workers or WORKERS
        self._resync_seconds = resync_seconds
        self._queue: WorkQueue[Key] = WorkQueue(env.rng)
        self._caches: Mapping[str, Informer[Any]] = {}
        self._written: dict[Key, _Written] = {}
        self._failures: dict[Key, ApiError] = {}
        self._calls = asyncio.Semaphore(MAX_CALLS)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do now or later, as far as is known."""
        return self._queue.idle

    def add(self, key: Key) -> None:
        """Look at a key for a reason that is in no cache."""
        self._queue.add(key)

    async def run(self) -> None:
        """Wait for the caches, look at everything once, then react to changes; ends by cancellation."""
        sources = self._controller.sources()
        self._caches = {source.informer.resource: source.informer for source in sources}
        for source in sources:
            await source.informer.wait_synced()
        unsubscribes = [source.informer.subscribe(self._listener(source)) for source in sources]
        try:
            await self._add_all()
            await run_together(*(self._work() for _ in range(self._workers)), self._resync())
        finally:
            for unsubscribe in unsubscribes:
                unsubscribe()
            self._queue.close()

    def _listener(self, source: Source) -> Callable[[Change[Any]], None]:
        def changed(change: Change[Any]) -> None:
            for key in source.keys(change):
                self._queue.add(key)

        return changed

    async def _add_all(self) -> None:
        for count, key in enumerate(self._controller.all_keys(), start=1):
            self._queue.add(key)
            if count % ADDED_AT_ONCE == 0:
                await let_others_run()

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._resync_seconds * (1.0 + self._env.rng.random() / 10.0))
            await self._add_all()

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._pass(key)
            except ApiError as error:
                self._failed(key, error)
            except Exception:
                log.exception("pass_broken", controller=self._controller.name, key=key)
                self._queue.retry(key)
            finally:
                self._queue.done(key)
            await self._turns.rest()

    async def _pass(self, key: Key) -> None:
        if not await self._caught_up(key):
            log.warning("cache_behind", controller=self._controller.name, key=key)
            self._queue.retry(key)
            return
        actions = await self._controller.plan(key, self._failures.get(key))
        error = await self._perform_all(key, actions)
        if error is None:
            self._failures.pop(key, None)
            self._queue.forget(key)
        else:
            self._failed(key, error)

    def _failed(self, key: Key, error: ApiError) -> None:
        """Retry; the next pass is told, unless the error is about our view or our API and not about what was asked."""
        delay = self._queue.retry(key)
        if isinstance(error, errors.Conflict | errors.AlreadyExists):
            return
        if isinstance(error, errors.Unavailable | errors.Unknown):
            log.info("pass_delayed", controller=self._controller.name, key=key, reason=error.reason)
            return
        self._failures[key] = error
        log.warning(
            "pass_failed",
            controller=self._controller.name,
            key=key,
            reason=error.reason,
            message=str(error),
            retry_seconds=round(delay, 3),
        )

    async def _caught_up(self, key: Key) -> bool:
        written = self._written.get(key)
        if written is None:
            return True
        try:
            async with asyncio.timeout(STALE_SECONDS):
                for resource, revision in written.revisions.items():
                    await self._caches[resource].wait_revision(revision)
                for deletion in written.deletions:
                    cache = self._caches[deletion.resource]
                    await cache.wait_deleted(deletion.namespace, deletion.name, deletion.uid)
        except TimeoutError:
            return False
        del self._written[key]
        return True

    async def _perform_all(self, key: Key, actions: Sequence[Action]) -> ApiError | None:
        """Perform in order, up to the first group with an error, which is returned."""
        failure: ApiError | None = None
        for kind, group in groupby(actions, type):
            if failure is not None and kind is not Wake:
                continue
            burst = _Burst()
            await asyncio.gather(*(self._perform(key, action, burst) for action in group))
            failure = failure or burst.failure
        return failure

    async def _perform(self, key: Key, action: Action, burst: _Burst) -> None:
        if isinstance(action, Wake):
            self._queue.add_after(key, action.seconds)
            return
        if isinstance(action, Record):
            self._recorder.record(action)
            return
        async with self._calls:
            await self._turns.rest()
            if burst.failure is not None:
                return  # what was refused once would be refused a hundred times
            try:
                result = await perform(self._client, action)
            except ApiError as error:
                burst.failure = error
                return
        if result is None or result.resource not in self._caches:
            return
        written = self._written.setdefault(key, _Written())
        if isinstance(action, Delete):
            written.deletions.append(action)
        else:
            newest = max(result.revision, written.revisions.get(result.resource, 0))
            written.revisions[result.resource] = newest
