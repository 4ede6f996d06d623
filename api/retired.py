"""API versions that objects are not stored in: what they are called here, and what they meant.

Mostly those that Kubernetes served once and old manifests still carry; and the second form of Events.

Only where everything that such an object says can be said today; a field that has gone is then refused by its name. What
was assumed when a field was absent is written out where something else is assumed today.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.object import Tree
from api.scheme import EVENTS_V1

NO_LIMIT: Final = 2**31 - 1
"""What the first versions of Deployment assumed for limits: none."""


@dataclass(frozen=True, slots=True)
class Retired:
    """The version that took over, and how an object of the old one is written in it.

    `warned`: whether senders are told to write the new one.
    """

    now: str
    convert: Callable[[Tree], Tree]
    warned: bool = True


def current_version(api_version: str, kind: str) -> str:
    """The version to look the kind up by: another one only for a retired one."""
    found = RETIRED.get((api_version, kind))
    return found.now if found else api_version


def modern(tree: Tree) -> tuple[Tree, str]:
    """Return the object in the version that is stored, and what its sender is to be told, "" if nothing. Invalid."""
    api_version, kind = tree.get("apiVersion"), tree.get("kind")
    found = RETIRED.get((api_version, kind)) if type(api_version) is str and type(kind) is str else None
    if found is None:
        return tree, ""
    warning = f"{api_version} {kind} is retired: it was taken as {found.now} {kind}, write that instead"
    warning = warning if found.warned else ""
    return {**found.convert(tree), "apiVersion": found.now}, warning


def _same(tree: Tree) -> Tree:
    return tree


def _event(tree: Tree) -> Tree:
    from api import events_v1  # noqa: PLC0415 - the command line, which reads this table, seldom meets one

    return events_v1.to_core(tree)


def _labelled(tree: Tree) -> Tree:
    """Without a selector, or labels of its own, those of the template were meant."""
    spec, metadata = _object(tree, "spec"), _object(tree, "metadata")
    labels = _object(_object(_object(spec, "template"), "metadata"), "labels")
    if not labels:
        return tree
    spec = spec if spec.get("selector") else {**spec, "selector": {"matchLabels": labels}}
    metadata = metadata if metadata.get("labels") else {**metadata, "labels": labels}
    return {**tree, "metadata": metadata, "spec": spec}


def _deployment(limits: Mapping[str, int], surge: Mapping[str, int]) -> Callable[[Tree], Tree]:
    """With what that version assumed of `limits` and, in a rolling update, of both numbers of pods."""

    def convert(tree: Tree) -> Tree:
        tree = _labelled(tree)
        spec = {**limits, **_present(_object(tree, "spec"))}
        strategy = _present(_object(spec, "strategy"))
        if surge and strategy.get("type", "RollingUpdate") == "RollingUpdate":
            rolling = {**surge, **_present(_object(strategy, "rollingUpdate"))}
            spec["strategy"] = {**strategy, "type": "RollingUpdate", "rollingUpdate": rolling}
        return {**tree, "spec": spec}

    return convert


def _object(tree: Tree, name: str) -> Tree:
    """A part that is an object; an empty one for anything else, which is refused later, by its name."""
    found: Any = tree.get(name)
    return found if type(found) is dict else {}


def _present(tree: Tree) -> Tree:
    return {name: value for name, value in tree.items() if value is not None}


_RBAC: Final = "rbac.authorization.k8s.io"

RETIRED: Final[Mapping[tuple[str, str], Retired]] = {
    ("extensions/v1beta1", "Deployment"): Retired(
        "apps/v1",
        _deployment(
            {"revisionHistoryLimit": NO_LIMIT, "progressDeadlineSeconds": NO_LIMIT},
            {"maxUnavailable": 1, "maxSurge": 1},
        ),
    ),
    ("apps/v1beta1", "Deployment"): Retired("apps/v1", _deployment({"revisionHistoryLimit": 2}, {})),
    ("apps/v1beta2", "Deployment"): Retired("apps/v1", _same),
    ("extensions/v1beta1", "ReplicaSet"): Retired("apps/v1", _labelled),
    ("apps/v1beta2", "ReplicaSet"): Retired("apps/v1", _same),
    (EVENTS_V1.api_version, "Event"): Retired("v1", _event, warned=False),
    ("coordination.k8s.io/v1beta1", "Lease"): Retired("coordination.k8s.io/v1", _same),
    **{
        (f"{_RBAC}/v1beta1", kind): Retired(f"{_RBAC}/v1", _same)
        for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    },
}
"""By apiVersion and kind; the rules are those of Kubernetes' conversions and defaults of these versions."""
