"""Events as events.k8s.io/v1 writes them: the same objects as the core group's, with other names for some fields. Pure.

Stored is the core form; whatever comes in or goes out in the other one is converted at the edge. Both ways nothing is lost:
the conversion only renames.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from api.errors import FieldError, Invalid
from api.event import EventSource
from api.meta import ObjectMeta, ObjectReference, Resource, required
from api.object import Tree
from api.selectors import parse_field_selector

API_VERSION: Final = "events.k8s.io/v1"
CORE_VERSION: Final = "v1"

RENAMED: Final = {
    "count": "deprecatedCount",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "involvedObject": "regarding",
    "lastTimestamp": "deprecatedLastTimestamp",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
}
"""Field of the core form -> of the other one."""

_TO_CORE: Final = {new: old for old, new in RENAMED.items()}
_REQUIRED: Final = ("eventTime", "reportingController", "reportingInstance", "action", "reason")
_SELECTED: Final = {
    "reason": "reason",
    "type": "type",
    "reportingController": "reportingComponent",
    "metadata.name": "metadata.name",
    "metadata.namespace": "metadata.namespace",
    **{
        f"regarding.{name}": f"involvedObject.{name}"
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
}


class EventSeries(Resource):
    """How often an event was repeated, and when last."""

    count: int | None = None
    last_observed_time: str | None = None


class Event(Resource):
    """One occurrence about an object, kept for a limited time; `type` is Normal or Warning."""

    api_version: str = required(API_VERSION)
    kind: str = required("Event")
    metadata: ObjectMeta = ObjectMeta()
    action: str | None = None
    deprecated_count: int | None = None
    deprecated_first_timestamp: str | None = None
    deprecated_last_timestamp: str | None = None
    deprecated_source: EventSource | None = None
    event_time: str | None = None
    note: str | None = None
    reason: str | None = None
    regarding: ObjectReference | None = None
    related: ObjectReference | None = None
    reporting_controller: str | None = None
    reporting_instance: str | None = None
    series: EventSeries | None = None
    type: str | None = None


def to_core(tree: Tree) -> Tree:
    """The core form of an object, or of a part of one. Invalid for a field that only the core form has."""
    if faults := [
        FieldError(old, f'unknown field; in {API_VERSION} it is "{new}"') for old, new in RENAMED.items() if old in tree
    ]:
        raise Invalid("Event is invalid", faults)
    found = {_TO_CORE.get(name, name): value for name, value in tree.items()}
    if found.get("apiVersion") == API_VERSION:
        found["apiVersion"] = CORE_VERSION
    return found


def from_core(tree: Tree) -> Tree:
    """The other form of a whole stored object. A null eventTime says, as in Kubernetes, that there is only the old time."""
    found = {RENAMED.get(name, name): value for name, value in tree.items()}
    return {"eventTime": None, **found, "apiVersion": API_VERSION}


def check_new(tree: Tree) -> None:
    """Invalid unless a new object, in the form of events.k8s.io, says what this version asks for, and nothing of the old."""
    faults = [FieldError(name, "Required value") for name in _REQUIRED if not tree.get(name)]
    faults += [
        FieldError(name, "Invalid value: needs to be unset")
        for name in sorted(RENAMED.values())
        if name.startswith("deprecated") and tree.get(name)
    ]
    if not tree.get("type"):
        faults.append(FieldError("type", "Required value: Normal or Warning"))
    if faults:
        raise Invalid("Event is invalid", faults)


def core_patch(patch_type: str, body: bytes) -> bytes:
    """A patch of the other form as one of the core form. Invalid for what is no JSON, or changes what is not there."""
    try:
        patch = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"the patch is not JSON: {error}") from error
    if patch_type == "json":
        return msgspec.json.encode([_core_operation(each) for each in patch]) if isinstance(patch, list) else body
    return msgspec.json.encode(to_core(patch)) if isinstance(patch, dict) else body


def core_field_selector(text: str) -> str:
    """A field selector of the other form as one of the core form. Invalid for a field that cannot be selected by."""
    terms = []
    for each in parse_field_selector(text).requirements:
        if each.field not in _SELECTED:
            raise Invalid(
                f'field selector: "{each.field}" is not supported for events.events.k8s.io; '
                f"use one of {', '.join(sorted(_SELECTED))}"
            )
        value = re.sub(r"([\\,=])", r"\\\1", each.value)
        terms.append(f"{_SELECTED[each.field]}{'!=' if each.negated else '='}{value}")
    return ",".join(terms)


def _core_operation(operation: Any) -> Any:
    """One step of a JSON patch, which names fields in its paths."""
    if not isinstance(operation, dict):
        return operation
    found = dict(operation)
    for name in ("path", "from"):
        if isinstance(path := found.get(name), str):
            found[name] = "/".join(_core_steps(path.split("/")))
    if found.get("path") == "" and isinstance(found.get("value"), dict):
        found["value"] = to_core(found["value"])
    return found


def _core_steps(steps: list[str]) -> Iterator[str]:
    """The parts of a path, of which the second one names a field of the object."""
    for index, step in enumerate(steps):
        if index == 1 and step in RENAMED:
            raise Invalid(f'the patch names the field "{step}"; in {API_VERSION} it is "{RENAMED[step]}"')
        yield _TO_CORE.get(step, step) if index == 1 else step
