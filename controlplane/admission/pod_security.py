"""Holds pods to the level that their namespace's labels name (Kubernetes: PodSecurity, "Pod Security Admission").

`enforce` refuses pods; `warn` tells whoever writes a pod or something that makes pods; `audit` tells the log.
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


class PodSecurity:
    """Looks at pods when they are created, at templates whenever they are written, and at the labels themselves."""

    def check(self, request: Request, snapshot: Snapshot) -> None:
        """Forbidden for a pod that violates what is enforced; Invalid for a label that names no level or version."""
        if request.verb not in {"create", "update"}:
            return
        if request.kind.resource == "namespaces":
            _check_labels(request)
        elif (spec := _pod_spec(request)) is not None:
            namespace = snapshot.get("namespaces", "", request.namespace)
            labels = namespace.tree()["metadata"].get("labels", {}) if namespace is not None else {}
            if any(f"{PREFIX}{mode}" in labels for mode in MODES):
                _judge(request, msgspec.convert(spec, PodSpec), labels, snapshot)


def _pod_spec(request: Request) -> Tree | None:
    """The spec of a new pod, or of the template of whatever makes pods."""
    spec: Tree = request.tree.get("spec") or {}
    if request.kind.resource == "pods":
        return spec if request.verb == "create" else None
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


def _minor(version: str) -> int:
    """The x of "v1.x", a large number for "latest", 0 for anything else."""
    if version == LATEST:
        return _NEWEST_MINOR
    minor = version.removeprefix("v1.")
    return int(minor) if minor != version and minor.isascii() and minor.isdigit() and len(minor) < 4 else 0
