"""The number of replicas of an object as a Scale of its own, which autoscalers and people set without the rest."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from api import json_patch, merge
from api.custom_kind import ScalePaths
from api.errors import Conflict, NotFound
from api.meta import LabelSelector
from api.object import Object, Tree, at
from api.scheme import Kind
from controlplane.admission.request import Remarks
from controlplane.admission.webhooks.attributes import posted
from controlplane.admission.webhooks.plugin import as_it_is
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.rest import answers, bodies, encoding, negotiation, queries
from controlplane.apiserver.rest.call import Call
from controlplane.apiserver.rest.refusals import bad_request

KIND: Final = "Scale"
API_VERSION: Final = "autoscaling/v1"
RETRIES: Final = 5

_OWN_PATHS: Final = ScalePaths("spec.replicas", "status.replicas", "spec.selector")
_METADATA: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class Scaling:
    """Reads and writes scales. Only the number of replicas can be changed through one."""

    def __init__(self, core: ApiCore) -> None:
        self._core = core

    async def get(self, call: Call) -> web.StreamResponse:
        """The scale of an object."""
        return await answers.tree(call.request, scale_of(call.kind, (await self._stored(call)).tree()))

    async def update(self, call: Call) -> web.StreamResponse:
        """Set the number of replicas. metadata.uid and resourceVersion are preconditions."""
        return await self._set(call, await bodies.value(call.request))

    async def patch(self, call: Call) -> web.StreamResponse:
        """Change the scale as a patch of any type says; it has no lists, so merging is one and the same."""
        patch_type = negotiation.patch_type(call.request.headers.get("Content-Type", ""))
        body = bodies.json_value(await bodies.read(call.request))
        if patch_type != "json" and type(body) is not dict:
            raise bad_request("the patch must be an object")
        for last in (*[False] * RETRIES, True):
            current = scale_of(call.kind, (await self._stored(call)).tree())
            changed = json_patch.json_patch(current, body) if patch_type == "json" else merge.merge_patch(current, body)
            try:
                return await self._set(call, changed)
            except Conflict:
                if last or _names_version(body):
                    raise
        raise AssertionError("the last attempt raises")

    async def _stored(self, call: Call) -> Object:
        target = call.target
        return await self._core.reads.get(
            call.identity, call.kind.resource, target.namespace, target.name, asked=call.asked
        )

    async def _set(self, call: Call, tree: Any) -> web.StreamResponse:
        given = bodies.converted(tree, _Scale, KIND)
        target = call.target
        if (given.metadata.name or target.name, given.metadata.namespace or target.namespace) != (
            target.name,
            target.namespace,
        ):
            raise bad_request("metadata: the scale is not that of the object in the path")
        preconditions = {"uid": given.metadata.uid, "resourceVersion": given.metadata.resource_version}
        change: Tree = {"metadata": {name: value for name, value in preconditions.items() if value}}
        _put(change, _paths(call.kind).spec_replicas, await self._admitted(call, given.spec.replicas))
        stored = await self._core.patch(
            call.identity,
            call.kind.resource,
            target.namespace,
            target.name,
            "merge",
            encoding.encoded(change),
            asked=call.asked,
            dry_run=queries.dry_run(call.query),
        )
        return await answers.tree(call.request, scale_of(call.kind, stored.tree()))

    async def _admitted(self, call: Call, replicas: int) -> int:
        """The number of replicas as webhooks want it, who are asked about the Scale and not about the object behind it."""
        if not self._core.asks_webhooks:
            return replicas
        old = scale_of(call.kind, (await self._stored(call)).tree())
        new = {**old, "spec": {"replicas": replicas}}
        asked = posted(call.identity, "UPDATE", call.asked, new, old, dry_run=queries.dry_run(call.query))
        changed = await self._core.consult(asked, Remarks(call.warnings.append), as_it_is)
        return bodies.converted(changed, _Scale, KIND).spec.replicas


def scale_of(kind: Kind, tree: Tree) -> Tree:
    """The scale of an object. NotFound for one of a custom kind that says nothing of a number."""
    paths, metadata = _paths(kind), tree["metadata"]
    replicas = at(tree, paths.spec_replicas, None)
    if kind.custom is None:
        selector = selector_text(msgspec.convert(at(tree, paths.selector, {}), LabelSelector))
    else:
        selector = str(at(tree, paths.selector, "")) if paths.selector else ""
        if type(replicas) is not int:
            raise NotFound(f'the spec replicas field ".{paths.spec_replicas}" does not exist')
    return {
        "kind": KIND,
        "apiVersion": API_VERSION,
        "metadata": {name: metadata[name] for name in _METADATA if name in metadata},
        "spec": {"replicas": replicas or 0},
        "status": {"replicas": at(tree, paths.status_replicas, 0), "selector": selector},
    }


def _paths(kind: Kind) -> ScalePaths:
    if kind.custom is None:
        return _OWN_PATHS
    assert kind.custom.scale is not None, "only kinds with a scale come here"
    return kind.custom.scale


def _put(tree: Tree, path: str, value: Any) -> None:
    *steps, last = path.split(".")
    for step in steps:
        tree = tree.setdefault(step, {})
    tree[last] = value


def selector_text(selector: LabelSelector) -> str:
    """A label selector as lists take it."""
    parts = [f"{key}={value}" for key, value in sorted(selector.match_labels.items())]
    for each in selector.match_expressions:
        values = ",".join(sorted(each.values))
        match each.operator:
            case "In":
                parts.append(f"{each.key} in ({values})")
            case "NotIn":
                parts.append(f"{each.key} notin ({values})")
            case "Exists":
                parts.append(each.key)
            case "DoesNotExist":
                parts.append(f"!{each.key}")
    return ",".join(parts)


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class _Spec(msgspec.Struct, forbid_unknown_fields=True):
    replicas: int = 0


class _Scale(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    api_version: str = API_VERSION
    kind: str = KIND
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: Any = None


def _names_version(patch: Any) -> bool:
    metadata = patch.get("metadata") if isinstance(patch, dict) else None
    return isinstance(metadata, dict) and "resourceVersion" in metadata
