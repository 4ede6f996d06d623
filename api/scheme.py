"""The table of kinds: names, scope and type of each, and the way from JSON to its type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from api.apps import Deployment, ReplicaSet
from api.config import ConfigMap, Secret, ServiceAccount
from api.coordination import Lease
from api.errors import Invalid, NotFound
from api.event import Event
from api.meta import Resource
from api.namespace import Namespace
from api.network import EndpointSlice
from api.node import Node
from api.object import Tree
from api.pod import Pod
from api.service import Service


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object. `resource` is the plural, with the group behind a dot unless it is the core group."""

    api_version: str
    kind: str
    resource: str
    singular: str
    short_names: tuple[str, ...]
    namespaced: bool
    type: type[Resource]
    has_status: bool

    @property
    def group(self) -> str:
        """The API group; "" is the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def plural(self) -> str:
        """The resource without its group."""
        return self.resource.partition(".")[0]


KINDS: tuple[Kind, ...] = (
    Kind("v1", "Namespace", "namespaces", "namespace", ("ns",), False, Namespace, True),
    Kind("v1", "Node", "nodes", "node", ("no",), False, Node, True),
    Kind("v1", "Pod", "pods", "pod", ("po",), True, Pod, True),
    Kind("v1", "Service", "services", "service", ("svc",), True, Service, True),
    Kind("v1", "ConfigMap", "configmaps", "configmap", ("cm",), True, ConfigMap, False),
    Kind("v1", "Secret", "secrets", "secret", (), True, Secret, False),
    Kind("v1", "ServiceAccount", "serviceaccounts", "serviceaccount", ("sa",), True, ServiceAccount, False),
    Kind("v1", "Event", "events", "event", ("ev",), True, Event, False),
    Kind("apps/v1", "ReplicaSet", "replicasets.apps", "replicaset", ("rs",), True, ReplicaSet, True),
    Kind("apps/v1", "Deployment", "deployments.apps", "deployment", ("deploy",), True, Deployment, True),
    Kind(
        *("discovery.k8s.io/v1", "EndpointSlice", "endpointslices.discovery.k8s.io", "endpointslice"),
        *(("eps",), True, EndpointSlice, False),
    ),
    Kind("coordination.k8s.io/v1", "Lease", "leases.coordination.k8s.io", "lease", (), True, Lease, False),
)

_BY_RESOURCE = {kind.resource: kind for kind in KINDS}
_BY_KIND = {(kind.api_version, kind.kind): kind for kind in KINDS}
_BY_WORD = {
    word.lower(): kind
    for kind in KINDS
    for word in (
        kind.resource,
        kind.plural,
        kind.singular,
        f"{kind.singular}.{kind.group}".rstrip("."),
        *kind.short_names,
    )
}


def by_resource(resource: str) -> Kind:
    """Find a kind by plural and group, such as `deployments.apps`. Raises NotFound."""
    if kind := _BY_RESOURCE.get(resource):
        return kind
    raise NotFound(f'there is no resource "{resource}"')


def by_kind(api_version: str, kind: str) -> Kind:
    """Find a kind by what objects say of themselves. Raises NotFound, naming the version that exists."""
    if found := _BY_KIND.get((api_version, kind)):
        return found
    for other in KINDS:
        if other.kind == kind:
            raise NotFound(f'there is no kind "{kind}" in "{api_version}"; use apiVersion "{other.api_version}"')
    raise NotFound(f'there is no kind "{kind}" in "{api_version}"')


def lookup(word: str) -> Kind:
    """Find a kind by what people type: plural, plural.group, singular, kind or short name, in any case. Raises NotFound."""
    if kind := _BY_WORD.get(word.lower()):
        return kind
    raise NotFound(f'there is no resource type "{word}"')


def decode(kind: Kind, source: Tree | bytes) -> Any:
    """Return the typed view of a tree or of JSON. Raises Invalid for a wrong type; unknown fields are ignored."""
    try:
        if isinstance(source, bytes):
            return msgspec.json.decode(source, type=kind.type)
        return msgspec.convert(source, type=kind.type)
    except msgspec.DecodeError as error:
        raise Invalid(f"{kind.kind}: {error}") from error
