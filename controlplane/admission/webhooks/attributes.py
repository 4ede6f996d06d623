"""What a webhook's rules, selectors and review see of a request, whatever it does: write an object, or open a connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from api.object import Tree
from api.scheme import ADMISSION
from controlplane.admission.request import Identity, Request, Verb
from controlplane.rbac.attributes import Attributes as Asked
from controlplane.rbac.attributes import on

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]

META: Final = "meta.k8s.io/v1"
EXEMPT: Final = frozenset(
    {
        ("mutatingwebhookconfigurations", ADMISSION),
        ("validatingwebhookconfigurations", ADMISSION),
    }
)
"""Nobody is asked about these: a broken webhook could not be removed otherwise."""

_OPERATIONS: Final[Mapping[Verb, Operation]] = {
    "create": "CREATE",
    "update": "UPDATE",
    "update_status": "UPDATE",
    "update_ephemeral": "UPDATE",
    "bind": "CREATE",
    "delete": "DELETE",
}
_SUBRESOURCES: Final[Mapping[Verb, str]] = {"update_status": "status", "update_ephemeral": "ephemeralcontainers"}
_OPTIONS: Final[Mapping[Operation, str]] = {
    "CREATE": "CreateOptions",
    "UPDATE": "UpdateOptions",
    "DELETE": "DeleteOptions",
}

_CONNECTIONS: Final[Mapping[tuple[str, str], str]] = {
    ("pods", "exec"): "PodExecOptions",
    ("pods", "attach"): "PodAttachOptions",
    ("pods", "portforward"): "PodPortForwardOptions",
    ("pods", "proxy"): "PodProxyOptions",
    ("services", "proxy"): "ServiceProxyOptions",
}
"""By resource and subresource, the kind of the options with which a connection is opened."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """One request. `group`, `version` and `resource` say what it is about, `kind` (api version, kind) what `tree` is.

    `versions` are all in which the resource is served; what is stored can be shown in each. `namespace` "" is the
    cluster scope; what is done to a Namespace happens in that namespace. `tree` is None in a deletion, `old` in everything that makes something new.
    """

    identity: Identity
    operation: Operation
    group: str
    version: str
    resource: str
    subresource: str
    kind: tuple[str, str]
    namespace: str
    name: str
    tree: Tree | None
    old: Tree | None
    options: Tree | None
    dry_run: bool = False
    versions: Sequence[str] = ()

    @property
    def exempt(self) -> bool:
        """Whether webhooks have no say: in what concerns themselves, and in what root does on a replica's machine."""
        return self.identity.local or (self.resource, self.group) in EXEMPT

    @property
    def of_namespace(self) -> bool:
        """Whether it is about a Namespace object itself."""
        return self.resource == "namespaces" and not self.group


def attributes_of(request: Request, versions: Sequence[str], *, dry_run: bool) -> Attributes:
    """What a write looks like to webhooks. What is stored has the resourceVersion that readers know."""
    kind, operation = request.kind, _OPERATIONS[request.verb]
    old = None if request.old is None else _versioned(request.old, request.revision)
    tree: Tree | None = request.tree
    if operation == "DELETE":
        tree = None
    elif operation == "UPDATE":
        tree = _versioned(request.tree, request.revision)
    options: dict[str, Any] = {"kind": _OPTIONS[operation], "apiVersion": META, **request.options}
    if request.identity.manager and operation != "DELETE":
        options["fieldManager"] = request.identity.manager
    if dry_run:
        options["dryRun"] = ["All"]
    group, _, version = kind.api_version.rpartition("/")
    return Attributes(
        identity=request.identity,
        operation=operation,
        group=group,
        version=version,
        resource=kind.plural,
        subresource=_SUBRESOURCES.get(request.verb, ""),
        kind=(kind.api_version, kind.kind),
        namespace=on(kind, "", request.namespace, request.name).namespace,
        name=request.name,
        tree=tree,
        old=old,
        options=options,
        dry_run=dry_run,
        versions=versions,
    )


def posted(
    identity: Identity,
    operation: Operation,
    asked: Asked,
    tree: Tree,
    old: Tree | None = None,
    *,
    dry_run: bool = False,
) -> Attributes:
    """What posting `tree` to a subresource, or opening a connection with it, looks like. Of these every group has one version."""
    version = "v1"
    options: Tree | None = None
    if operation != "CONNECT":
        options = {"kind": _OPTIONS[operation], "apiVersion": META} | ({"dryRun": ["All"]} if dry_run else {})
    return Attributes(
        identity=identity,
        operation=operation,
        group=asked.group,
        version=version,
        resource=asked.resource,
        subresource=asked.subresource,
        kind=(tree["apiVersion"], tree["kind"]),
        namespace=asked.namespace,
        name=asked.name,
        tree=tree,
        old=old,
        options=options,
        dry_run=dry_run,
        versions=(version,),
    )


def connecting(identity: Identity, asked: Asked, options: Tree) -> Attributes:
    """What opening a connection to `asked` looks like; values of `options` that say nothing are left out."""
    kind = _CONNECTIONS[asked.resource, asked.subresource]
    said = {name: value for name, value in options.items() if value}
    return posted(identity, "CONNECT", asked, {"apiVersion": "v1", "kind": kind, **said})


def _versioned(tree: Tree, revision: int) -> Tree:
    return {**tree, "metadata": {**tree["metadata"], "resourceVersion": str(revision)}} if revision else tree
