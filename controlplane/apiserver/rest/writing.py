"""Create, update, patch and delete, of objects and of their status."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from api.object import Object
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.objects import tree_of
from controlplane.apiserver.rest import answers, bodies, encoding, negotiation, queries
from controlplane.apiserver.rest.call import Call
from controlplane.apiserver.rest.refusals import not_allowed, success
from controlplane.apiserver.server_side_apply import STATUS

SHOWN_WHEN_DELETED: Final = frozenset({"pods", "services", "serviceaccounts"})
"""Kinds whose deletion answers with the object even when it is gone at once, as in Kubernetes; others say Success."""


class Writing:
    """Hands writes to the core and shows what became of the object."""

    def __init__(self, core: ApiCore) -> None:
        self._core = core

    async def create(self, call: Call) -> web.StreamResponse:
        """A new object, from a post to its collection."""
        if call.kind.namespaced and not call.target.namespace:
            raise not_allowed("creating without a namespace in the path")
        tree = await bodies.object_of(call)
        created = await self._core.create(call.identity, tree, dry_run=queries.dry_run(call.query))
        return await _answer(call, created, 201)

    async def update(self, call: Call) -> web.StreamResponse:
        """Everything but the status."""
        tree = await bodies.object_of(call)
        return await _answer(call, await self._core.update(call.identity, tree, dry_run=queries.dry_run(call.query)))

    async def update_status(self, call: Call) -> web.StreamResponse:
        """Nothing but the status."""
        tree = await bodies.object_of(call)
        dry_run = queries.dry_run(call.query)
        return await _answer(call, await self._core.update_status(call.identity, tree, dry_run=dry_run))

    async def patch(self, call: Call) -> web.StreamResponse:
        """An object, or its status."""
        patch_type = negotiation.patch_type(call.request.headers.get("Content-Type", ""))
        data = await bodies.read(call.request)
        if patch_type != "json" and queries.validation(call.query) != "Strict":
            data = encoding.encoded(bodies.known_only(call, bodies.json_object(data)))
        patched = await self._core.patch(
            call.identity,
            call.kind.resource,
            call.target.namespace,
            call.target.name,
            patch_type,
            data,
            subresource=STATUS if call.target.subresource == STATUS else "",
            dry_run=queries.dry_run(call.query),
        )
        return await _answer(call, patched)

    async def delete(self, call: Call) -> web.StreamResponse:
        """One object."""
        wanted = await bodies.deleting(call.request)
        target = call.target
        deleted = await self._core.delete(
            call.identity,
            call.kind.resource,
            target.namespace,
            target.name,
            uid=wanted.uid,
            revision=wanted.revision,
            grace_seconds=wanted.grace_seconds,
            propagation=wanted.propagation,
            dry_run=wanted.dry_run,
        )
        waits = "deletionTimestamp" in tree_of(deleted.json)["metadata"]
        if waits or call.kind.resource in SHOWN_WHEN_DELETED:
            return await _answer(call, deleted)
        return await answers.tree(call.request, success(target, deleted.uid))


async def _answer(call: Call, stored: Object, status: int = 200) -> web.StreamResponse:
    form = negotiation.accepted(call.request.headers.get("Accept", ""))
    data = encoding.whole(stored.json, stored.revision)
    return await answers.body(call.request, data, status, call.warnings, form)
