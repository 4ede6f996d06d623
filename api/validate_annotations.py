"""Rules for annotations of pods that mean something to the control plane or to a node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from api.errors import FieldError
from api.faults import invalid, unsupported

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_APPARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
_APPARMOR_PROFILES: Final = ("runtime/default",)
_INT32: Final = 1 << 31


def pod_annotation_faults(annotations: Mapping[str, str], path: str) -> Iterator[FieldError]:
    """Yield what is wrong with the annotations of a pod or template (Kubernetes: "Well-Known Labels, Annotations and Taints")."""
    cost = annotations.get(DELETION_COST)
    if cost is not None and not _is_int32(cost):
        yield invalid(f"{path}[{DELETION_COST}]", cost, "must be a 32bit integer")
    for key, value in annotations.items():
        if key.startswith(_APPARMOR) and value not in _APPARMOR_PROFILES:
            yield unsupported(f"{path}[{key}]", value, _APPARMOR_PROFILES)


def _is_int32(text: str) -> bool:
    """Only one way of writing each number, as Kubernetes has it: no plus, no zeros in front."""
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdigit() and (digits == "0" == text or not digits.startswith("0"))
    return plain and -_INT32 <= int(text[:12]) < _INT32 and len(text) < 12
