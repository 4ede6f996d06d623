"""The table of kinds: names, scope and type of each, and the way from JSON to its type."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from api.errors import Invalid, NotFound
from api.object import Tree

if TYPE_CHECKING:  # a type is loaded when a kind's is first asked for: the command line seldom needs one
    from api.custom_kind import Custom
    from api.meta import Resource


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object. `resource` is the plural, with the group behind a dot unless it is the core group.

    `module`, below `api`, defines its type, which bears the kind's name. A kind that a CustomResourceDefinition made has in
    `custom` what that says of it; its type tells of the metadata only. `categories` are names that stand for several kinds.
    """

    api_version: str
    kind: str
    resource: str
    singular: str
    short_names: tuple[str, ...]
    namespaced: bool
    module: str
    has_status: bool
    categories: tuple[str, ...] = ()
    custom: Custom | None = None

    @property
    def type(self) -> builtins.type[Resource]:
        """The typed view of its objects."""
        return _type(self.module, self.kind if self.custom is None else "CustomObject")

    @property
    def group(self) -> str:
        """The API group; "" is the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def plural(self) -> str:
        """The resource without its group."""
        return self.resource.partition(".")[0]


@cache
def _type(module: str, name: str) -> builtins.type[Resource]:
    found: builtins.type[Resource] = getattr(importlib.import_module(f"api.{module}"), name)
    return found


RBAC = "rbac.authorization.k8s.io"
AUTHORIZATION = "authorization.k8s.io"
AUTHENTICATION = "authentication.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
"""The resource whose objects make further kinds."""

KINDS: tuple[Kind, ...] = (
    Kind("v1", "Namespace", "namespaces", "namespace", ("ns",), False, "namespace", True),
    Kind("v1", "Node", "nodes", "node", ("no",), False, "node", True),
    Kind("v1", "Pod", "pods", "pod", ("po",), True, "pod", True),
    Kind("v1", "Service", "services", "service", ("svc",), True, "service", True),
    Kind("v1", "Endpoints", "endpoints", "endpoints", ("ep",), True, "endpoints", False),
    Kind("v1", "ConfigMap", "configmaps", "configmap", ("cm",), True, "config", False),
    Kind("v1", "Secret", "secrets", "secret", (), True, "config", False),
    Kind("v1", "ServiceAccount", "serviceaccounts", "serviceaccount", ("sa",), True, "config", False),
    Kind("v1", "LimitRange", "limitranges", "limitrange", ("limits",), True, "policy", False),
    Kind("v1", "ResourceQuota", "resourcequotas", "resourcequota", ("quota",), True, "policy", True),
    Kind("v1", "Event", "events", "event", ("ev",), True, "event", False),
    Kind("apps/v1", "ReplicaSet", "replicasets.apps", "replicaset", ("rs",), True, "apps", True),
    Kind("apps/v1", "Deployment", "deployments.apps", "deployment", ("deploy",), True, "apps", True),
    Kind(
        *("discovery.k8s.io/v1", "EndpointSlice", "endpointslices.discovery.k8s.io", "endpointslice"),
        *(("eps",), True, "network", False),
    ),
    Kind(
        *("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses.scheduling.k8s.io", "priorityclass"),
        *(("pc",), False, "scheduling", False),
    ),
    Kind("coordination.k8s.io/v1", "Lease", "leases.coordination.k8s.io", "lease", (), True, "coordination", False),
    Kind(
        *("apiextensions.k8s.io/v1", "CustomResourceDefinition", DEFINITIONS, "customresourcedefinition"),
        *(("crd", "crds"), False, "apiextensions", True),
        categories=("api-extensions",),
    ),
    *(
        Kind(f"{RBAC}/v1", kind, f"{kind.lower()}s.{RBAC}", kind.lower(), (), namespaced, "rbac", False)
        for kind, namespaced in (
            *(("Role", True), ("RoleBinding", True)),
            *(("ClusterRole", False), ("ClusterRoleBinding", False)),
        )
    ),
    *(
        Kind(f"{ADMISSION}/v1", kind, f"{kind.lower()}s.{ADMISSION}", kind.lower(), (), False, "webhooks", False)
        for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    ),
)

EVENTS_V1 = Kind("events.k8s.io/v1", "Event", "events.events.k8s.io", "event", ("ev",), True, "events_v1", False)
"""Another form of the core group's Events (`api.events_v1`): served beside them, never stored."""

REVIEWS: tuple[Kind, ...] = (
    *(
        Kind(
            f"{AUTHORIZATION}/v1",
            kind,
            f"{kind.lower()}s.{AUTHORIZATION}",
            kind.lower(),
            (),
            local,
            "authorization",
            True,
        )
        for kind, local in (
            *(("SubjectAccessReview", False), ("LocalSubjectAccessReview", True)),
            *(("SelfSubjectAccessReview", False), ("SelfSubjectRulesReview", False)),
        )
    ),
    Kind(
        *(f"{AUTHENTICATION}/v1", "SelfSubjectReview", f"selfsubjectreviews.{AUTHENTICATION}", "selfsubjectreview"),
        *((), False, "authentication", True),
    ),
)
"""Kinds that are only created: the answer is in what the create returns, and nothing is stored."""


class Scheme:
    """All kinds that a cluster knows: those of this program and `custom` ones, one `Kind` for each version that is served.

    Of several versions of a kind the first is the one that is meant when none is named.
    """

    def __init__(self, custom: Sequence[Kind] = ()) -> None:
        self._by_resource = {kind.resource: kind for kind in (*reversed(custom), *KINDS)}
        self.custom = tuple(kind for kind in custom if kind.custom is not None and kind.custom.served)
        self._reviews = {kind.resource: kind for kind in REVIEWS}
        self._by_kind = {(kind.api_version, kind.kind): kind for kind in (*self.custom, *KINDS, *REVIEWS)}
        self._by_path = {(kind.api_version, kind.plural): kind for kind in (*self.custom, *KINDS, EVENTS_V1)}
        first = [kind for kind in custom if self._by_resource[kind.resource] is kind]
        self.kinds = (*KINDS, *first)
        self._by_word = {word.lower(): kind for kind in reversed(self.kinds) for word in _words(kind)}

    def by_resource(self, resource: str) -> Kind:
        """Find a kind by plural and group, such as `deployments.apps`. Raises NotFound."""
        if kind := self._by_resource.get(resource):
            return kind
        raise NotFound(f'there is no resource "{resource}"')

    def served(self, resource: str) -> Kind:
        """Find a kind as `by_resource`, also among those that are only created. Raises NotFound."""
        return self._reviews.get(resource) or self.by_resource(resource)

    def by_kind(self, api_version: str, kind: str) -> Kind:
        """Find a kind by what objects say of themselves. Raises NotFound, naming the version that exists."""
        if found := self._by_kind.get((api_version, kind)):
            return found
        for other in (*self.kinds, *REVIEWS):
            if other.kind == kind:
                raise NotFound(f'there is no kind "{kind}" in "{api_version}"; use apiVersion "{other.api_version}"')
        raise NotFound(f'there is no kind "{kind}" in "{api_version}"')

    def by_path(self, api_version: str, plural: str) -> Kind:
        """Find a kind by the version and the plural that a path names. Raises NotFound."""
        if found := self._by_path.get((api_version, plural)):
            return found
        raise NotFound(f'there is no resource "{plural}" in "{api_version}"')

    def lookup(self, word: str) -> Kind:
        """Find a kind by what people type: plural, plural.group, singular, kind or short name, in any case. Raises NotFound."""
        if kind := self._by_word.get(word.lower()):
            return kind
        raise NotFound(f'there is no resource type "{word}"')

    def in_category(self, word: str) -> Sequence[Kind]:
        """The custom kinds that a name for several stands for."""
        return [kind for kind in self.kinds if word in kind.categories]


def _words(kind: Kind) -> Iterator[str]:
    yield from (kind.resource, kind.plural, kind.singular, *kind.short_names)
    yield f"{kind.singular}.{kind.group}".rstrip(".")
    if kind.custom is not None:
        yield from (kind.kind, f"{kind.plural}.{kind.api_version.rpartition('/')[2]}.{kind.group}")


BUILT_IN = Scheme()
"""The kinds of this program alone."""


def by_resource(resource: str) -> Kind:
    """Find one of this program's kinds, as `Scheme.by_resource`."""
    return BUILT_IN.by_resource(resource)


def by_kind(api_version: str, kind: str) -> Kind:
    """Find one of this program's kinds, as `Scheme.by_kind`."""
    return BUILT_IN.by_kind(api_version, kind)


def served(resource: str) -> Kind:
    """Find one of this program's kinds, as `Scheme.served`."""
    return BUILT_IN.served(resource)


def lookup(word: str) -> Kind:
    """Find one of this program's kinds, as `Scheme.lookup`."""
    return BUILT_IN.lookup(word)


def decode(kind: Kind, source: Tree | bytes) -> Any:
    """Return the typed view of a tree or of JSON. Raises Invalid for a wrong type; unknown fields are ignored."""
    try:
        if isinstance(source, bytes):
            return msgspec.json.decode(source, type=kind.type)
        return msgspec.convert(source, type=kind.type)
    except msgspec.DecodeError as error:
        raise Invalid(f"{kind.kind}: {error}") from error
