"""What an API made of an object that it accepted: nothing that was said may be gone or different."""

from __future__ import annotations

from typing import Any

from api.errors import Invalid
from api.quantity import parse

SET_BY_SERVER = frozenset(
    (
        *("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
        *("deletionGracePeriodSeconds", "managedFields", "selfLink", "generateName"),
    )
)

CLEARED = frozenset({"spec.sessionAffinityConfig"})
"""Goes with the session affinity, as in Kubernetes, so that a patch can switch that off alone."""


def changed_status(sent: Any, stored: Any) -> list[str]:
    """The same of a status."""
    return list(_changed({"status": sent.get("status")}, stored, ""))


def changed_fields(sent: Any, stored: Any) -> list[str]:
    """Paths of what was said and is not what is stored; null and empty say nothing, lists may have grown at the end."""
    said = {name: value for name, value in sent.items() if name not in {"metadata", "status", "stringData"}}
    metadata = sent.get("metadata")
    if isinstance(metadata, dict):
        said["metadata"] = {name: value for name, value in metadata.items() if name not in SET_BY_SERVER}
    return list(_changed(said, stored, ""))


def _changed(said: Any, stored: Any, path: str):
    if isinstance(said, dict) and isinstance(stored, dict):
        for name, value in said.items():
            where = f"{path}.{name}" if path else str(name)
            if name in stored:
                yield from _changed(value, stored[name], where)
            elif not _nothing(value) and where not in CLEARED:
                yield f"{where} is gone: {value!r}"
    elif isinstance(said, list) and isinstance(stored, list):
        if len(said) > len(stored):
            yield f"{path} has {len(stored)} of {len(said)} elements"
        for index, (one, other) in enumerate(zip(said, stored, strict=False)):
            yield from _changed(one, other, f"{path}[{index}]")
    elif not _same(said, stored) and not (said == 0 and path.endswith(".targetPort")):  # 0: that of the port
        yield f"{path} was {said!r} and is {stored!r}"


def _nothing(value: Any) -> bool:
    return value is None or value in ("", [], {}) or (isinstance(value, dict) and all(map(_nothing, value.values())))


def _same(said: Any, stored: Any) -> bool:
    if said == stored and type(said) is type(stored):
        return True
    if said is None or said == "":
        return True
    try:
        return parse(said) == parse(stored)
    except (Invalid, TypeError):
        return False
