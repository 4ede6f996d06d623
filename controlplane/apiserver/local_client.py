"""The API for the parts that run inside the leading replica: no sockets, and every write carries the leader's epoch."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Literal

from msgspec import structs

from api.errors import ApiError
from api.object import Object, Tree
from component.client import (
    ApplyOutcome,
    Binding,
    Collection,
    EventType,
    ObjectList,
    OperationResult,
    PatchType,
    Propagation,
    WatchEvent,
)
from controlplane.admission.request import Identity
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.objects import object_at
from controlplane.apiserver.past import At
from controlplane.apiserver.watches import Batch
from controlplane.commands import ADDED, DELETED, MODIFIED
from controlplane.watch.events import HubEvent

_EVENT_TYPES: dict[int, EventType] = {ADDED: "ADDED", MODIFIED: "MODIFIED", DELETED: "DELETED"}


class LocalClient:
    """Implements `component.client.ApiClient`. With an `epoch`, writes fail with Conflict once it is over; 0: none."""

    def __init__(self, core: ApiCore, identity: Identity, epoch: int = 0) -> None:
        self._core = core
        self._identity = identity
        self._epoch = epoch

    async def create(self, tree: Tree, *, dry_run: bool = False) -> Object:
        """Store a new object. Invalid, AlreadyExists, NotFound (its namespace)."""
        return await self._core.create(self._identity, tree, dry_run=dry_run, epoch=self._epoch)

    async def get(self, resource: str, namespace: str, name: str, *, at_revision: int | None = None) -> Object:
        """Return one object, linearizably; or as it was at a revision. NotFound, Expired."""
        return await self._core.reads.get(self._identity, resource, namespace, name, at=At(at_revision))

    async def list(
        self,
        resource: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        at_revision: int | None = None,
    ) -> ObjectList:
        """Return all matching objects at one revision; `limit` 0 returns them whole."""
        return await self._core.reads.list(
            self._identity,
            resource,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_token=continue_token,
            at=At(at_revision),
        )

    async def update(self, tree: Tree, *, dry_run: bool = False) -> Object:
        """Replace all but the status. Conflict when metadata.resourceVersion or uid is not the stored one."""
        return await self._core.update(self._identity, tree, dry_run=dry_run, epoch=self._epoch)

    async def update_status(self, tree: Tree) -> Object:
        """Replace the status only. Conflict, NotFound."""
        return await self._core.update_status(self._identity, tree, epoch=self._epoch)

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        revision: int = 0,
        grace_seconds: int | None = None,
        propagation: Propagation = "",
        dry_run: bool = False,
    ) -> Object:
        """Mark for deletion or delete. NotFound, Conflict."""
        return await self._core.delete(
            self._identity,
            resource,
            namespace,
            name,
            uid=uid,
            revision=revision,
            grace_seconds=grace_seconds,
            propagation=propagation,
            dry_run=dry_run,
            epoch=self._epoch,
        )

    async def delete_collection(
        self, collection: Collection, *, dry_run: bool = False
    ) -> AsyncGenerator[Sequence[OperationResult]]:
        """Delete what a collection chooses, some at a time."""
        token = ""
        while True:
            results, token = await self._core.delete_collection(
                self._identity, collection, continue_token=token, dry_run=dry_run, epoch=self._epoch
            )
            yield results
            if not token:
                return

    async def apply(self, tree: Tree, *, dry_run: bool = False) -> tuple[Object, ApplyOutcome]:
        """Create, or merge three ways with what was last applied. Invalid."""
        return await self._core.apply(self._identity, tree, dry_run=dry_run, epoch=self._epoch)

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        patch_type: PatchType,
        patch: bytes,
        *,
        subresource: Literal["", "status", "ephemeralcontainers"] = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Change the stored object as `patch` (JSON) says. NotFound, Invalid, Conflict."""
        return await self._core.patch(
            structs.replace(self._identity, manager=field_manager or self._identity.manager),
            resource,
            namespace,
            name,
            patch_type,
            patch,
            subresource=subresource,
            force=force,
            dry_run=dry_run,
            epoch=self._epoch,
        )

    async def bind(self, bindings: Sequence[Binding]) -> Sequence[ApiError | None]:
        """Assign pods to nodes; one answer per binding, None for a pod that was bound."""
        return await self._core.bind(self._identity, bindings, epoch=self._epoch)

    async def watch(
        self,
        resource: str,
        namespace: str = "",
        *,
        revision: int | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncGenerator[Sequence[WatchEvent]]:
        """Yield batches of changes after `revision`, oldest first; None: what there is, a BOOKMARK, then changes."""
        batches = self._core.reads.watch(
            self._identity,
            resource,
            namespace,
            revision=revision,
            label_selector=label_selector,
            field_selector=field_selector,
        )
        async with aclosing(batches):
            async for batch in batches:
                yield [*map(_event, batch.events), *_bookmark(batch)]


def _event(event: HubEvent) -> WatchEvent:
    subject = object_at(event.envelope, event.body, event.revision)
    return WatchEvent(_EVENT_TYPES[event.type], event.revision, subject)


def _bookmark(batch: Batch) -> Sequence[WatchEvent]:
    return (WatchEvent("BOOKMARK", batch.bookmark, None),) if batch.bookmark else ()
