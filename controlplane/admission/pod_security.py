"""Holds pods to the level that their namespace's labels name (Kubernetes: PodSecurity, "Pod Security Admission").

`enforce` refuses pods; `warn` tells whoever writes a pod or something that makes pods; `audit` tells the log. Who raises what is
enforced is told which pods there would be refused now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from api.errors import FieldError, Invalid
from api.faults import invalid
from api.object import Tree
from api.pod import PodSpec
from api.pod_security import LEVELS, violations
from controlplane.admission.request import Request, Snapshot

PREFIX: Final = "pod-security.kubernetes.io/"
MODES: Final = ("enforce", "audit", "warn")
LATEST: Final = "latest"
_NEWEST_MINOR: Final = 10_000

PODS_LOOKED_AT: Final = 100
"""Of a namespace whose level rises, one for each controller: some milliseconds."""

_PODS_READ: Final = 500


class PodSecurity:
    """Looks at pods when they are created or get ephemeral containers, at templates whenever they are written, and at the labels themselves."""

    def check(self, request: Request, snapshot: Snapshot) -> None:
        """Forbidden for a pod that violates what is enforced; Invalid for a label that names no level or version."""
        if request.verb not in {"create", "update", "update_ephemeral"}:
            return
        if request.kind.resource == "namespaces":
            _check_labels(request)
            _warn_of_pods(request, snapshot)
        elif (spec := _pod_spec(request)) is not None:
            namespace = snapshot.get("namespaces", "", request.namespace)
            labels = namespace.tree()["metadata"].get("labels", {}) if namespace is not None else {}
            if any(f"{PREFIX}{mode}" in labels for mode in MODES):
                _judge(request, msgspec.convert(spec, PodSpec), labels, snapshot)


def _pod_spec(request: Request) -> Tree | None:
    """The spec of a pod that is new or gets ephemeral containers, or of the template of whatever makes pods."""
    spec: Tree = request.tree.get("spec") or {}
    if request.kind.resource == "pods":
        return spec if request.verb in {"create", "update_ephemeral"} else None
    template = spec.get("template")
    found: Tree | None = template.get("spec") if type(template) is dict else None
    return found if found and "containers" in found else None


def _judge(request: Request, pod: PodSpec, labels: Mapping[str, str], snapshot: Snapshot) -> None:
    for mode in MODES:
        level, version = labels.get(PREFIX + mode, LEVELS[0]), labels.get(f"{PREFIX}{mode}-version", LATEST)
        if mode == "enforce" and request.kind.resource != "pods":
            continue
        found = violations(level, pod, _minor(version)) if level in LEVELS else []
        if not found:
            continue
        told = f'violate PodSecurity "{level}:{version}": {", ".join(found)}'
        match mode:
            case "enforce":
                raise request.forbidden(f"violates{told.removeprefix('violate')}")
            case "audit":
                snapshot.audit(f'{request.kind.resource} "{request.name}" would {told}')
            case _:
                snapshot.warn(f"would {told}")


def _check_labels(request: Request) -> None:
    labels = request.tree["metadata"].get("labels", {})
    faults: list[FieldError] = []
    for mode in MODES:
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            faults.append(invalid(f"metadata.labels[{PREFIX}{mode}]", level, f"must be one of {', '.join(LEVELS)}"))
        if version is not None and not _minor(version):
            why = 'must be "latest" or "v1.x"'
            faults.append(invalid(f"metadata.labels[{PREFIX}{mode}-version]", version, why))
    if faults:
        raise Invalid(f'Namespace "{request.name}" is invalid', faults)


def _warn_of_pods(request: Request, snapshot: Snapshot) -> None:
    """Tell which pods of a namespace violate the level that it is to enforce from now on, as Kubernetes does."""
    level, version = _enforced(request.tree)
    before, before_version = _enforced(request.old or {"metadata": {}})
    relaxed = version == before_version and LEVELS.index(level) <= (LEVELS.index(before) if before in LEVELS else 0)
    if request.verb != "update" or level == LEVELS[0] or relaxed:
        return
    pods = snapshot.list("pods", request.name)
    alike: dict[str, list[str]] = {}  # pods of one controller are made from one template
    trees = {each.name: each.tree() for each in pods[:_PODS_READ]}
    for name, tree in sorted(trees.items()):
        owners = tree["metadata"].get("ownerReferences") or [{"uid": name}]
        alike.setdefault(str(owners[0].get("uid")), []).append(name)
    reasons: dict[str, list[str]] = {}
    groups = list(alike.values())
    for names in groups[:PODS_LOOKED_AT]:
        found = violations(level, msgspec.convert(trees[names[0]]["spec"], PodSpec), _minor(version))
        if found:
            reasons.setdefault(", ".join(each.partition(" (")[0] for each in found), []).extend(names)
    if reasons:
        snapshot.warn(
            f'existing pods in namespace "{request.name}" violate the new PodSecurity enforce level "{level}:{version}"'
        )
    for reason, names in sorted(reasons.items()):
        others = len(names) - 1
        more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
        snapshot.warn(f"{min(names)}{more}: {reason}")
    if len(pods) > len(trees) or len(groups) > PODS_LOOKED_AT:
        snapshot.warn(f'not all of the {len(pods)} pods in namespace "{request.name}" were looked at')


def _enforced(namespace: Tree) -> tuple[str, str]:
    """Level and version."""
    labels = namespace["metadata"].get("labels") or {}
    return labels.get(f"{PREFIX}enforce", LEVELS[0]), labels.get(f"{PREFIX}enforce-version", LATEST)


def _minor(version: str) -> int:
    """The x of "v1.x", a large number for "latest", 0 for anything else."""
    if version == LATEST:
        return _NEWEST_MINOR
    minor = version.removeprefix("v1.")
    return int(minor) if minor != version and minor.isascii() and minor.isdigit() and len(minor) < 4 else 0
