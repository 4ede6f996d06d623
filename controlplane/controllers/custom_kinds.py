"""Custom kinds as garbage collection and the deletion of namespaces need them: which there are, and a cache of each.

Both look through every kind. When a definition comes or goes, they begin anew with the kinds that there are then, which loses
nothing: they look at the state of things, not at changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from api.custom_kind import established, kinds_of
from api.scheme import Scheme
from component.client import ApiClient
from component.env import Env
from component.informer import Change, Informer, PartialObjectMetadata, owner_uids
from component.tasks import run_together
from controlplane.controllers.loop import ControllerLoop

log = structlog.get_logger()

Build = Callable[[Scheme, Mapping[str, Informer[Any]]], Sequence[ControllerLoop]]
"""(all kinds, a cache of each by resource) -> the loops that look through all of them."""


class _OtherKinds(Exception):
    """There are other kinds than before."""


class CustomKinds:
    """Keeps the loops running that `build` makes, with the kinds of `definitions` besides those in `caches`."""

    def __init__(
        self,
        client: ApiClient,
        env: Env,
        definitions: Informer[Any],
        caches: Mapping[str, Informer[Any]],
        build: Build,
    ) -> None:
        self._client = client
        self._env = env
        self._definitions = definitions
        self._caches = caches
        self._build = build
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled."""
        await self._definitions.wait_synced()
        unsubscribe = self._definitions.subscribe(self._note)
        try:
            while True:
                self._changed.clear()
                await self._run_with(self._scheme())
        finally:
            unsubscribe()

    async def _run_with(self, scheme: Scheme) -> None:
        """Run until other kinds are there."""
        custom = {
            kind.resource: Informer(
                self._client, kind.resource, PartialObjectMetadata, self._env, indexes={"owners": owner_uids}
            )
            for kind in scheme.kinds
            if kind.custom is not None
        }
        loops = self._build(scheme, {**self._caches, **custom})
        try:
            await run_together(
                self._until_other(frozenset(custom)),
                *(informer.run() for informer in custom.values()),
                *(loop.run() for loop in loops),
            )
        except _OtherKinds:
            log.info("kinds_changed")
        finally:
            for informer in custom.values():
                await informer.forget()

    async def _until_other(self, resources: frozenset[str]) -> None:
        """Raise _OtherKinds when these are not the custom kinds any more."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            now = frozenset(kind.resource for kind in self._scheme().kinds if kind.custom is not None)
            if now != resources:
                raise _OtherKinds

    def _note(self, _: Change[Any]) -> None:
        self._changed.set()

    def _scheme(self) -> Scheme:
        definitions = [cached.object.tree() for cached in self._definitions.items()]
        definitions.sort(key=lambda each: each["metadata"]["name"])
        return Scheme([kind for each in definitions if established(each) for kind in kinds_of(each)])
