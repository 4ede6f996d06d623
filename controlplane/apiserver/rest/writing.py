"""Create, update, patch and delete, of objects and of their status."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from api import manifest
from api.object import Object
from component.client import Collection, ObjectList, PatchType
from component.env import Env
from controlplane.admission.request import Remarks
from controlplane.apiserver.committing import How
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.ephemeral_containers import EPHEMERAL
from controlplane.apiserver.objects import tree_of
from controlplane.apiserver.rest import answers, bodies, encoding, forms, negotiation, queries
from controlplane.apiserver.rest.call import SENT, Call
from controlplane.apiserver.rest.refusals import bad_request, not_allowed, success
from controlplane.apiserver.rest.views import list_pieces, view_of
from controlplane.apiserver.server_side_apply import STATUS

SHOWN_WHEN_DELETED: Final = frozenset({"pods", "services", "serviceaccounts"})
"""Kinds whose deletion answers with the object even when it is gone at once, as in Kubernetes; others say Success."""

_PATCHED: Final = frozenset({STATUS, EPHEMERAL})
"""Subresources of which a patch says that nothing else counts."""


class Writing:
    """Hands writes to the core and shows what became of the object."""

    def __init__(self, core: ApiCore, env: Env) -> None:
        self._core = core
        self._env = env

    async def create(self, call: Call) -> web.StreamResponse:
        """A new object, from a post to its collection."""
        if call.kind.namespaced and not call.target.namespace:
            raise not_allowed("creating without a namespace in the path")
        tree = await bodies.object_of(call)
        tree = forms.to_store(call.kind, tree, new=True)
        created = await self._core.create(call.identity, tree, asked=call.allowed, **_how(call))
        return await _answer(call, created, 201)

    async def update(self, call: Call) -> web.StreamResponse:
        """Everything but the status."""
        tree = forms.to_store(call.kind, await bodies.object_of(call))
        return await _answer(call, await self._core.update(call.identity, tree, asked=call.allowed, **_how(call)))

    async def update_status(self, call: Call) -> web.StreamResponse:
        """Nothing but the status."""
        tree = await bodies.object_of(call)
        return await _answer(call, await self._core.update_status(call.identity, tree, **_how(call)))

    async def update_ephemeral(self, call: Call) -> web.StreamResponse:
        """Nothing but a pod's ephemeral containers."""
        tree = await bodies.object_of(call)
        return await _answer(call, await self._core.update_ephemeral(call.identity, tree, **_how(call)))

    async def patch(self, call: Call) -> web.StreamResponse:
        """An object, its status, or a pod's ephemeral containers; a patch of type "apply" makes what is not there."""
        patch_type = negotiation.patch_type(call.request.headers.get("Content-Type", ""))
        if patch_type == "strategic" and call.kind.custom is not None:
            raise negotiation.unsupported(negotiation.STRATEGIC, negotiation.CUSTOM_PATCH_TYPES)
        force = bool(queries.boolean(call.query, "force", default=False))
        if patch_type == "apply" and not call.query.get("fieldManager"):
            raise bad_request("fieldManager: Required value: who applies says as whose")
        if force and patch_type != "apply":
            raise bad_request("force: Forbidden: only an apply can take fields from others")
        how = _how(call)
        patched = await self._core.patch(
            call.identity,
            call.resource,
            call.target.namespace,
            call.target.name,
            patch_type,
            forms.patch_to_store(call.kind, patch_type, await _patch(call, patch_type)),
            subresource=call.target.subresource if call.target.subresource in _PATCHED else "",
            force=force,
            asked=call.allowed,
            unknown=queries.validation(call.query, call.kind) if call.kind.custom is not None else "Strict",
            version=call.target.version,
            **how,
        )
        return await _answer(call, patched, 201 if how["remarks"].makes else 200)

    async def delete(self, call: Call) -> web.StreamResponse:
        """One object."""
        wanted = await bodies.deleting(call.request)
        target = call.target
        deleted = await self._core.delete(
            call.identity,
            call.resource,
            target.namespace,
            target.name,
            asked=call.allowed,
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

    async def delete_collection(self, call: Call) -> web.StreamResponse:
        """Everything that is selected, or a page of it; answers with what was deleted. The first that cannot be tells why."""
        view = view_of(call, self._env.now())
        wanted = await bodies.deleting(call.request)
        options = queries.list_options(call.query)
        if wanted.uid or wanted.revision or options.at or options.fresh.not_older_than:
            raise bad_request("a collection is deleted as it is now: preconditions and resourceVersion are forbidden")
        collection = Collection(
            call.resource,
            call.target.namespace,
            options.label_selector,
            call.field_selector,
            wanted.grace_seconds,
            wanted.propagation,
        )
        deleted: list[Object] = []
        token = options.continue_token
        while True:
            results, token = await self._core.delete_collection(
                call.identity,
                collection,
                asked=call.allowed,
                limit=options.limit,
                continue_token=token,
                dry_run=wanted.dry_run,
            )
            for result in results:
                if result.error is not None:
                    raise result.error
                if result.object is not None:
                    deleted.append(result.object)
            if options.limit or not token:
                break
        listed = ObjectList(tuple(deleted), max((each.revision for each in deleted), default=0), token)
        return await answers.pieces(call.request, list_pieces(view, listed), view.form)


def _how(call: Call) -> How:
    size = len(call.request.get(SENT, b""))
    return {"dry_run": queries.dry_run(call.query), "remarks": Remarks(call.warnings.append), "size": size}


async def _patch(call: Call, patch_type: PatchType) -> bytes:
    """The patch as JSON, without unknown fields if the client wants it so; else they stay, for the core to refuse."""
    data = await bodies.read(call.request)
    if patch_type == "apply":  # YAML, of which JSON is a part
        tree = await asyncio.to_thread(manifest.load_value, data, "body")
    else:
        tree = await bodies.strict_json(data, call.query)
    if patch_type == "json" or (patch_type != "apply" and queries.validation(call.query, call.kind) == "Strict"):
        return data
    return encoding.encoded(await bodies.known_only(call, tree) if isinstance(tree, dict) else tree)


async def _answer(call: Call, stored: Object, status: int = 200) -> web.StreamResponse:
    form = negotiation.accepted(call.request.headers.get("Accept", ""))
    data = encoding.whole(forms.shown(call.kind, stored).json, stored.revision)
    return await answers.body(call.request, data, status, call.warnings, form)
