"""Paths of Kubernetes' API: which objects of which kind a URL means. Pure; the kinds are given.

/api/v1/... is the core group, /apis/GROUP/VERSION/... every other. It must not know who asks, nor what for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import msgspec
from msgspec import structs

from api.errors import NotFound
from api.scheme import BUILT_IN, Kind, Scheme
from api.shape import fields

MISSING: Final = "the server could not find the requested resource"
CORE_PREFIX: Final = "api"
GROUP_PREFIX: Final = "apis"
WATCH_PREFIX: Final = "watch"
STATUS: Final = "status"
EPHEMERAL: Final = "ephemeralcontainers"
SCALE: Final = "scale"
EXEC: Final = "exec"
ATTACH: Final = "attach"
PORT_FORWARD: Final = "portforward"

PROXY: Final = "proxy"

_PROXY: Final = re.compile(rf"(/api/[^/]+/namespaces/[^/]+/[^/]+/[^/]+/{PROXY})(/.*)?")
"""A path that goes on inside the pod or Service that it names."""

_OF_NODES: Final = re.compile(rf"/api/[^/]+/nodes/[^/]+/{PROXY}(/.*)?")

_OFFERED: Final = frozenset(
    {
        *(("pods", each) for each in ("log", EXEC, ATTACH, PORT_FORWARD, PROXY, EPHEMERAL)),
        ("services", PROXY),
        ("namespaces", "finalize"),
    }
)

_OF_NAMESPACES: Final = frozenset({STATUS, "finalize"})
"""What may follow a namespace's name without being a resource inside it."""


class Target(msgspec.Struct, frozen=True):
    """What a path means. `name` "" is the collection, `namespace` "" all namespaces or a kind without.

    `kind` is None for what is not stored and can only be posted to. `watching` says that the path has the retired
    prefix that makes a list a watch. `tail` is what follows a `proxy`, with its slash and still encoded.
    """

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    kind: Kind | None = None
    watching: bool = False
    tail: str = ""

    @property
    def resource(self) -> str:
        """Plural and group, as `api.scheme` writes it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """Group and version, as objects write it."""
        return f"{self.group}/{self.version}" if self.group else self.version


@dataclass(frozen=True, slots=True)
class GroupVersion:
    """A path that ends with a version (or, `version` "", a group): its documents describe it."""

    group: str
    version: str = ""


def parse(raw_path: str, others: Mapping[tuple[str, str], bool], kinds: Scheme = BUILT_IN) -> Target | GroupVersion:
    """Return what a path, still percent-encoded, means, `kinds` being those there are. NotFound.

    `others` are the resources that are not stored, as (api version, plural), and whether they stand in namespaces.
    """
    if _OF_NODES.fullmatch(raw_path):
        raise NotFound(
            "nodes/proxy is not supported: nodes listen on nothing; there are logs, exec and proxies of pods"
        )
    if proxied := _PROXY.fullmatch(raw_path):
        raw_path = proxied[1]
    prefix, *parts = raw_path.strip("/").split("/")
    if "%" in raw_path:
        prefix, *parts = map(unquote, (prefix, *parts))
    group = ""
    if prefix == GROUP_PREFIX and parts:
        group, *parts = parts
        if not parts:
            return GroupVersion(group)
    if not parts or prefix not in {CORE_PREFIX, GROUP_PREFIX}:
        raise NotFound(MISSING)
    version, *parts = parts
    if not parts:
        return GroupVersion(group, version)
    watching = parts[0] == WATCH_PREFIX and len(parts) > 1
    place = _place(parts[1:] if watching else parts)
    target = _target(group, version, place, others, kinds, watching=watching)
    return structs.replace(target, tail=proxied[2] or "") if proxied else target


def has_scale(kind: Kind) -> bool:
    """Whether objects of a kind have a number of replicas that can be set alone."""
    if kind.custom is not None:
        return kind.custom.scale is not None
    spec = fields(kind.type).get("spec")
    return spec is not None and spec.struct is not None and {"replicas", "selector"} <= fields(spec.struct).keys()


def offers(kind: Kind, subresource: str) -> bool:
    """Whether objects of a kind have a subresource that is read or written; "" is the object itself."""
    match subresource:
        case "status":
            return kind.has_status
        case "scale":
            return has_scale(kind)
        case "":
            return True
    return (kind.resource, subresource) in _OFFERED


class _Place(msgspec.Struct, frozen=True):
    plural: str
    namespace: str = ""
    in_namespace: bool = False
    name: str = ""
    subresource: str = ""


def _place(parts: Sequence[str]) -> _Place:
    """How the parts after the version are to be read. NotFound when an empty one or too many are among them."""
    if not all(parts):
        raise NotFound(MISSING)
    match parts:
        case ["namespaces", namespace, subresource] if subresource in _OF_NAMESPACES:
            return _Place("namespaces", name=namespace, subresource=subresource)
        case ["namespaces", namespace, plural, *rest] if len(rest) <= 2:
            name, subresource = (*rest, "", "")[:2]
            return _Place(plural, namespace, in_namespace=True, name=name, subresource=subresource)
        case [plural, *rest] if len(rest) <= 2:
            name, subresource = (*rest, "", "")[:2]
            return _Place(plural, name=name, subresource=subresource)
    raise NotFound(MISSING)


def _target(
    group: str, version: str, place: _Place, others: Mapping[tuple[str, str], bool], kinds: Scheme, *, watching: bool
) -> Target:
    api_version = f"{group}/{version}" if group else version
    namespaced = others.get((api_version, place.plural))
    kind: Kind | None = None
    if namespaced is None:
        try:
            kind = kinds.by_path(api_version, place.plural)
        except NotFound:
            raise NotFound(MISSING) from None
        namespaced = kind.namespaced
    if place.in_namespace and not namespaced:
        raise NotFound(MISSING)
    if namespaced and place.name and not place.in_namespace:
        raise NotFound(MISSING)
    return Target(group, version, place.plural, place.namespace, place.name, place.subresource, kind, watching)
