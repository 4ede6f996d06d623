"""What is posted and answered but never stored: a binding, an eviction, and whatever other parts of the API offer so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from api.object import Tree
from api.scheme import REVIEWS
from component.client import Binding
from controlplane.admission.request import Identity
from controlplane.admission.webhooks.attributes import posted
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.rest import bodies
from controlplane.apiserver.rest.paths import Target
from controlplane.apiserver.rest.queries import Query
from controlplane.apiserver.rest.refusals import bad_request, success
from controlplane.rbac.attributes import Attributes

CREATED: Final = 201


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of a procedure: who, where, and the object that was posted; `query` holds what the path adds to it.

    Whoever calls may do what is `asked`; what is done for them beyond that has to be asked for again.
    """

    identity: Identity
    target: Target
    tree: Tree
    query: Query
    asked: Attributes


@dataclass(frozen=True, slots=True)
class Procedure:
    """A post with an answer. `resource` is a plural of its own, or with a `subresource` that of a stored kind.

    `answer` returns the object that goes back; it raises `api.errors` and Refusal. Whoever offers one is found by
    discovery and reached by its path with nothing else to do.
    """

    api_version: str
    resource: str
    kind: str
    namespaced: bool
    answer: Callable[[Asked], Awaitable[Tree]]
    subresource: str = ""
    kind_version: str = ""

    @property
    def posted_version(self) -> str:
        """The apiVersion of what is posted; of a subresource it may be of another group."""
        return self.kind_version or self.api_version


def checked(procedure: Procedure, tree: Any) -> Tree:
    """Return the posted object with its kind filled in. Refusal when it is another one."""
    if not isinstance(tree, dict):
        raise bad_request("the body must be an object")
    own: Tree = dict(tree)
    for name, wanted in (("apiVersion", procedure.posted_version), ("kind", procedure.kind)):
        if (own.get(name) or wanted) != wanted:
            raise bad_request(f'{name}: the object says "{own[name]}", here it is "{wanted}"')
        own[name] = wanted
    return own


def of_pods(core: ApiCore) -> Sequence[Procedure]:
    """Binding and eviction."""
    pods = _PodProcedures(core)
    return (
        Procedure("v1", "bindings", "Binding", namespaced=True, answer=pods.bind),
        Procedure("v1", "pods", "Binding", namespaced=True, answer=pods.bind, subresource="binding"),
        Procedure(
            *("v1", "pods", "Eviction"),
            namespaced=True,
            answer=pods.evict,
            subresource="eviction",
            kind_version="policy/v1",
        ),
    )


def of_reviews(core: ApiCore) -> Sequence[Procedure]:
    """Questions about who may do what."""

    async def answer(asked: Asked) -> Tree:
        metadata = bodies.converted(asked.tree.get("metadata") or {}, _Metadata, "metadata")
        namespace = asked.target.namespace
        if (metadata.namespace or namespace) != namespace:
            raise bad_request("metadata.namespace: it must be that of the path")
        tree = {**asked.tree, "metadata": {"namespace": namespace} if namespace else {}}
        return (await core.create(asked.identity, tree)).tree()

    return [
        Procedure(kind.api_version, kind.plural, kind.kind, namespaced=kind.namespaced, answer=answer)
        for kind in REVIEWS
    ]


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""


class _Reference(msgspec.Struct, rename="camel"):
    kind: str = "Node"
    name: str = ""


class _Binding(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    api_version: str
    kind: str
    target: _Reference
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Eviction(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    api_version: str
    kind: str
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    delete_options: Any = None


class _PodProcedures:
    def __init__(self, core: ApiCore) -> None:
        self._core = core

    async def bind(self, asked: Asked) -> Tree:
        """Assign a pod to a node."""
        binding = bodies.converted(asked.tree, _Binding, "Binding")
        name = _name(asked, binding.metadata)
        if binding.target.kind != "Node" or not binding.target.name:
            raise bad_request("target: a pod is bound to a Node, by its name")
        if asked.query.get("dryRun"):
            raise bad_request("dryRun is not supported for bindings")
        wanted = Binding(asked.target.namespace, name, binding.metadata.uid, binding.target.name)
        [error] = await self._core.bind(asked.identity, [wanted])
        if error is not None:
            raise error
        return success(asked.target, code=CREATED)

    async def evict(self, asked: Asked) -> Tree:
        """Delete a pod as draining does. Budgets are not there yet, so nothing stands against it."""
        eviction = bodies.converted(asked.tree, _Eviction, "Eviction")
        _name(asked, eviction.metadata)
        wanted = bodies.deleting_of(eviction.delete_options or {}, asked.query)
        target = asked.target
        await self._core.consult(posted(asked.identity, "CREATE", asked.asked, asked.tree, dry_run=wanted.dry_run))
        await self._core.delete(
            asked.identity,
            "pods",
            target.namespace,
            target.name,
            uid=wanted.uid,
            revision=wanted.revision,
            grace_seconds=wanted.grace_seconds,
            propagation=wanted.propagation,
            asked=asked.asked,
            dry_run=wanted.dry_run,
        )
        return success(target, code=CREATED)


def _name(asked: Asked, metadata: _Metadata) -> str:
    name = asked.target.name or metadata.name
    if not name or (metadata.name or name) != name:
        raise bad_request("metadata.name: it must be the pod's, as in the path")
    if (metadata.namespace or asked.target.namespace) != asked.target.namespace:
        raise bad_request("metadata.namespace: it must be that of the path")
    return name
