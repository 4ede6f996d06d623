"""Documents that tell clients which kinds there are and what can be done with them, classic and aggregated. Pure.

Made from the kinds there are and the procedures: a new kind is in them without a word here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from api.custom_kind import version_rank
from api.object import Tree
from api.scheme import BUILT_IN, EVENTS_V1, KINDS, Kind, Scheme
from controlplane.apiserver.rest.paths import SCALE, STATUS, has_scale
from controlplane.apiserver.rest.procedures import Procedure

KUBERNETES_MAJOR: Final = "1"
KUBERNETES_MINOR: Final = "34"
"""The version of Kubernetes whose API this is, for clients and charts that choose by it."""

AGGREGATED: Final = "APIGroupDiscoveryList"
AGGREGATED_GROUP: Final = "apidiscovery.k8s.io"
AGGREGATED_VERSIONS: Final = ("v2", "v2beta1")

VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
"""Of every stored kind."""

CREATE: Final = ("create",)
CHANGE: Final = ("get", "patch", "update")

PROXIED: Final = ("create", "delete", "get", "patch", "update")

_IN_ALL: Final = frozenset({"pods", "services", "deployments.apps", "replicasets.apps"})
"""What `kubectl get all` shows."""

_GROUP_ORDER: Final = ("", "apps")  # clients that look for a name in several groups take the first
_SPECIAL: Final = {
    ("pods", "log"): ("Pod", ("get",)),
    ("pods", "attach"): ("PodAttachOptions", ("create", "get")),
    ("pods", "ephemeralcontainers"): ("Pod", CHANGE),
    ("pods", "exec"): ("PodExecOptions", ("create", "get")),
    ("pods", "portforward"): ("PodPortForwardOptions", ("create", "get")),
    ("pods", "proxy"): ("PodProxyOptions", PROXIED),
    ("services", "proxy"): ("ServiceProxyOptions", PROXIED),
    ("namespaces", "finalize"): ("Namespace", ("update",)),
}

Row = dict[str, Any]


KUBERNETES_VERSION: Final = f"v{KUBERNETES_MAJOR}.{KUBERNETES_MINOR}.0"


def version_info(version: str) -> Tree:
    """The answer of /version; `version` is this program's."""
    return {
        "major": KUBERNETES_MAJOR,
        "minor": KUBERNETES_MINOR,
        "gitVersion": f"{KUBERNETES_VERSION}+timonier.{version}",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": "linux",
    }


class Discovery:
    """All documents about some kinds, made once."""

    def __init__(self, procedures: Sequence[Procedure], kinds: Scheme = BUILT_IN) -> None:
        self._versions: dict[str, dict[str, list[Row]]] = {}  # group: version: resources
        for kind in (*KINDS, EVENTS_V1, *sorted(kinds.custom, key=_preference, reverse=True)):
            self._of(kind.api_version).extend(_rows(kind))
        for procedure in procedures:
            self._of(procedure.api_version).append(_procedure_row(procedure))
        for versions in self._versions.values():
            for rows in versions.values():
                rows.sort(key=itemgetter("name"))  # the order in which `kubectl get all` shows kinds
        order = {group: place for place, group in enumerate(_GROUP_ORDER)}
        self._groups = sorted(self._versions, key=lambda group: (order.get(group, len(order)), group))

    def _of(self, api_version: str) -> list[Row]:
        group, _, version = api_version.rpartition("/")
        return self._versions.setdefault(group, {}).setdefault(version, [])

    def rows(self) -> Mapping[str, Sequence[Row]]:
        """What is served, by api version: the core group first."""
        return {
            f"{group}/{version}" if group else version: rows
            for group in self._groups
            for version, rows in self._versions[group].items()
        }

    def core_versions(self, server_address: str) -> Tree:
        """The answer of /api."""
        return {
            "kind": "APIVersions",
            "versions": list(self._versions[""]),
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
        }

    def groups(self) -> Tree:
        """The answer of /apis."""
        groups = [self._group(group) for group in self._groups if group]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def group(self, group: str) -> Tree | None:
        """The answer of /apis/GROUP."""
        if not group or group not in self._versions:
            return None
        return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}

    def resources(self, group: str, version: str) -> Tree | None:
        """The answer of /api/v1 and /apis/GROUP/VERSION."""
        rows = self._versions.get(group, {}).get(version)
        if rows is None:
            return None
        api_version = f"{group}/{version}" if group else version
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": rows}

    def aggregated(self, version: str, *, core: bool) -> Tree:
        """The answer of /api and /apis for clients that want all in one; `version` is that of the document."""
        items = [self._aggregated_group(group) for group in self._groups if (group == "") == core]
        api_version = f"{AGGREGATED_GROUP}/{version}"
        return {"kind": AGGREGATED, "apiVersion": api_version, "metadata": {}, "items": items}

    def _group(self, group: str) -> Tree:
        versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in self._versions[group]]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _aggregated_group(self, group: str) -> Tree:
        versions = [
            {"version": version, "resources": _aggregated(group, version, rows), "freshness": "Current"}
            for version, rows in self._versions[group].items()
        ]
        metadata = {"name": group} if group else {}
        return {"metadata": {**metadata, "creationTimestamp": None}, "versions": versions}


def _preference(kind: Kind) -> tuple[int, int, int]:
    """By how much a version is to be tried before others of its group."""
    return version_rank(kind.api_version.rpartition("/")[2])


def _rows(kind: Kind) -> Iterable[Row]:
    """A kind's own row and those of its subresources."""
    row: Row = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(VERBS),
    }
    if kind.short_names:
        row["shortNames"] = list(kind.short_names)
    if kind.resource in _IN_ALL or kind.categories:
        row["categories"] = list(kind.categories) or ["all"]
    yield row
    if kind.has_status:
        yield _sub_row(kind, STATUS, kind.kind, CHANGE)
    if has_scale(kind):
        yield _sub_row(kind, SCALE, "Scale", CHANGE) | {"group": "autoscaling", "version": "v1"}
    for (resource, subresource), (shown, verbs) in _SPECIAL.items():
        if resource == kind.resource:
            yield _sub_row(kind, subresource, shown, verbs)


def _sub_row(kind: Kind, subresource: str, shown: str, verbs: Sequence[str]) -> Row:
    return {
        "name": f"{kind.plural}/{subresource}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": shown,
        "verbs": list(verbs),
    }


def _procedure_row(procedure: Procedure) -> Row:
    name = f"{procedure.resource}/{procedure.subresource}" if procedure.subresource else procedure.resource
    row: Row = {
        "name": name,
        "singularName": "" if procedure.subresource else procedure.kind.lower(),
        "namespaced": procedure.namespaced,
        "kind": procedure.kind,
        "verbs": list(CREATE),
    }
    if procedure.posted_version != procedure.api_version:
        group, _, version = procedure.posted_version.rpartition("/")
        row |= {"group": group, "version": version}
    return row


def _aggregated(group: str, version: str, rows: Sequence[Row]) -> list[Tree]:
    found: dict[str, Tree] = {}
    for row in rows:
        name, _, subresource = row["name"].partition("/")
        kind = {"group": row.get("group", group), "version": row.get("version", version), "kind": row["kind"]}
        if subresource:
            inner = {"subresource": subresource, "responseKind": kind, "verbs": row["verbs"]}
            found[name].setdefault("subresources", []).append(inner)
            continue
        found[name] = {
            "resource": name,
            "responseKind": kind,
            "scope": "Namespaced" if row["namespaced"] else "Cluster",
            "singularResource": row["singularName"],
            "verbs": row["verbs"],
        }
        found[name] |= {each: row[each] for each in ("shortNames", "categories") if each in row}
    return list(found.values())
