"""Patches: strategic merge, three-way strategic merge (apply), JSON merge patch (RFC 7386).

Which lists merge by which key is Kubernetes' `patchMergeKey`, in one table; everything else comes from the types.
Functions never change their arguments, but results share unchanged parts with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from api.apps import DeploymentSpec, DeploymentStatus, ReplicaSetStatus
from api.config import ServiceAccount
from api.container import Container, EphemeralContainer
from api.errors import Invalid
from api.meta import ObjectMeta, Resource
from api.namespace import NamespaceStatus
from api.node import NodeSpec, NodeStatus
from api.object import Tree
from api.pod import PodSpec, PodStatus
from api.scheme import Kind
from api.service import ServiceSpec, ServiceStatus
from api.shape import fields
from api.webhooks import MutatingWebhookConfiguration, ValidatingWebhookConfiguration

Struct = type[Resource] | None
Key = tuple[str, ...]

MERGE_KEYS: dict[type[Resource], dict[str, tuple[str, ...]]] = {
    ObjectMeta: {"ownerReferences": ("uid",)},
    PodSpec: {
        "containers": ("name",),
        "initContainers": ("name",),
        "ephemeralContainers": ("name",),
        "volumes": ("name",),
        "imagePullSecrets": ("name",),
        "hostAliases": ("ip",),
        "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
        "resourceClaims": ("name",),
        "schedulingGates": ("name",),
    },
    Container: {
        "env": ("name",),
        "ports": ("containerPort", "protocol"),
        "volumeMounts": ("mountPath",),
        "volumeDevices": ("devicePath",),
    },
    EphemeralContainer: {
        "env": ("name",),
        "ports": ("containerPort", "protocol"),
        "volumeMounts": ("mountPath",),
        "volumeDevices": ("devicePath",),
    },
    PodStatus: {"conditions": ("type",), "podIPs": ("ip",), "hostIPs": ("ip",), "resourceClaimStatuses": ("name",)},
    NodeStatus: {"conditions": ("type",), "addresses": ("type",)},
    NamespaceStatus: {"conditions": ("type",)},
    ServiceSpec: {"ports": ("port", "protocol")},
    ServiceStatus: {"conditions": ("type",)},
    ServiceAccount: {"secrets": ("name",)},
    DeploymentStatus: {"conditions": ("type",)},
    ReplicaSetStatus: {"conditions": ("type",)},
    MutatingWebhookConfiguration: {"webhooks": ("name",)},
    ValidatingWebhookConfiguration: {"webhooks": ("name",)},
}
"""Lists that merge element by element. The first name is Kubernetes' key; the second tells elements apart that share it
(port 53 for TCP and UDP), where Kubernetes' own merge loses one of them."""

SETS: dict[type[Resource], frozenset[str]] = {
    ObjectMeta: frozenset({"finalizers"}),
    NodeSpec: frozenset({"podCIDRs"}),
}
"""Lists of scalars that merge as sets."""

RETAINED: dict[type[Resource], frozenset[str]] = {
    DeploymentSpec: frozenset({"strategy"}),
    PodSpec: frozenset({"volumes", "resourceClaims"}),
}
"""Unions: once such an object (or list element) changes, only the fields that are asked for stay."""

ABSENT_KEY = {"protocol": "TCP"}
"""What a key of `MERGE_KEYS` means that an element does not have."""

_DIRECTIVES = ("$patch", "$retainKeys")
_ORDER, _DELETE = "$setElementOrder/", "$deleteFromPrimitiveList/"


def _inner(struct: Struct, name: str) -> Struct:
    shape = fields(struct).get(name) if struct else None
    if shape is None:
        return None
    return shape.struct or (shape.item.struct if shape.item else None)


def _has_key(item: Any, key: str) -> bool:
    return type(item) is dict and type(item.get(key)) in {str, int}


def _key(item: Tree, keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(item.get(key, ABSENT_KEY.get(key))) for key in keys)


def _keyed(struct: Struct, name: str, *lists: Sequence[Any]) -> list[dict[Key, Tree]] | None:
    """Index each list by its merge key; None when the field has none or the elements cannot be told apart."""
    keys = MERGE_KEYS.get(struct, {}).get(name) if struct else None
    if not keys:
        return None
    if not all(_has_key(item, keys[0]) for items in lists for item in items):
        return None
    for count in range(1, len(keys) + 1):
        indexed = [{_key(item, keys[:count]): item for item in items} for items in lists]
        if all(len(index) == len(items) for index, items in zip(indexed, lists, strict=True)):
            return indexed
    return None


def three_way(kind: Kind, original: Tree, modified: Tree, current: Tree) -> Tree:
    """Return `current` with what changed from `original` (applied last) to `modified` (applied now).

    Fields in neither stay as they are: they belong to others. Fields that were applied and are not any more go.
    Applying the same twice changes nothing.
    """
    return _three_way_object(kind.type, original, modified, current)


def _three_way_object(struct: Struct, original: Tree, modified: Tree, current: Tree) -> Tree:
    result = {name: value for name, value in current.items() if name in modified or name not in original}
    for name, wanted in modified.items():
        result[name] = _three_way_value(struct, name, original.get(name), wanted, current.get(name))
    return result


def _three_way_value(struct: Struct, name: str, original: Any, wanted: Any, current: Any) -> Any:
    if type(wanted) is dict and type(current) is dict:
        before = original if type(original) is dict else {}
        merged = _three_way_object(_inner(struct, name), before, wanted, current)
        return _retain(struct, name, wanted, current, merged)
    if type(wanted) is list and type(current) is list:
        applied = original if type(original) is list else []
        if struct and name in SETS.get(struct, ()):
            return _lacking(current, _lacking(applied, wanted)) + _lacking(wanted, current)
        if keyed := _keyed(struct, name, applied, wanted, current):
            return _three_way_list(struct, name, *keyed)
    return wanted


def _retain(struct: Struct, name: str, wanted: Tree, current: Tree, merged: Tree) -> Tree:
    if struct and name in RETAINED.get(struct, ()) and merged != current:
        return {field: value for field, value in merged.items() if field in wanted}
    return merged


def _three_way_list(
    struct: Struct,
    name: str,
    original: dict[Key, Tree],
    wanted: dict[Key, Tree],
    current: dict[Key, Tree],
) -> list[Tree]:
    """Wanted elements in their order; elements of others stay behind the wanted one they followed."""
    inner = _inner(struct, name)
    followers: dict[Key | None, list[Tree]] = {}
    anchor = None
    for key, item in current.items():
        if key in wanted:
            anchor = key
        elif key not in original:
            followers.setdefault(anchor, []).append(item)
    result = followers.get(None, [])
    for key, item in wanted.items():
        if key in current:
            merged = _three_way_object(inner, original.get(key, {}), item, current[key])
            result.append(_retain(struct, name, item, current[key], merged))
        else:
            result.append(item)
        result += followers.get(key, ())
    return result


def strategic_merge(kind: Kind, current: Tree, patch: Tree) -> Tree:
    """Return `current` changed by a strategic merge patch.

    null deletes; `$patch: delete | replace | merge`, `$deleteFromPrimitiveList/...` and `$retainKeys` are honoured,
    `$setElementOrder/...` is ignored. Raises Invalid for other directives.
    """
    return _merge_object(kind.type, current, patch)


def _merge_object(struct: Struct, current: Tree, patch: Tree) -> Tree:
    match patch.get("$patch", "merge"):
        case "merge":
            result = dict(current)
        case "replace":
            result = {}
        case "delete":
            return {}
        case other:
            raise Invalid(f'patch: "$patch: {other}" is not known; use merge, replace or delete')
    if "$retainKeys" in patch:
        retained = {each for each in _directive_list("$retainKeys", patch["$retainKeys"]) if type(each) is str}
        result = {name: value for name, value in result.items() if name in retained}
    for name, wanted in patch.items():
        if name.startswith("$"):
            _apply_directive(result, name, wanted)
        elif wanted is None:
            result.pop(name, None)
        else:
            result[name] = _merge_value(struct, name, result.get(name), wanted)
    return result


def _directive_list(name: str, value: Any) -> list[Any]:
    if type(value) is not list:
        raise Invalid(f'patch: "{name}" needs a list')
    return value


def _apply_directive(result: Tree, name: str, value: Any) -> None:
    if name.startswith(_DELETE):
        field = name.removeprefix(_DELETE)
        gone = _directive_list(name, value)
        if type(result.get(field)) is list:
            result[field] = _lacking(result[field], gone)
    elif name not in _DIRECTIVES and not name.startswith(_ORDER):
        raise Invalid(f'patch: the directive "{name}" is not known')


def _merge_value(struct: Struct, name: str, current: Any, wanted: Any) -> Any:
    if type(wanted) is dict:
        return _merge_object(_inner(struct, name), current if type(current) is dict else {}, wanted)
    if type(wanted) is not list:
        return wanted
    before = current if type(current) is list else []
    if struct and name in SETS.get(struct, ()):
        return before + _lacking(wanted, before)
    if {"$patch": "replace"} in wanted:
        return [item for item in wanted if item != {"$patch": "replace"}]
    if keyed := _keyed(struct, name, before, wanted):
        return _merge_list(_inner(struct, name), *keyed)
    return wanted


def _lacking(items: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """Those of `items` that are not among `others`; lists may be as long as a request, so that nothing is searched for."""
    known = set(map(_told_apart, others))
    return [item for item in items if _told_apart(item) not in known]


def _told_apart(item: Any) -> str | bytes:
    return item if type(item) is str else msgspec.json.encode(item, order="sorted")


def _merge_list(struct: Struct, current: dict[Key, Tree], wanted: dict[Key, Tree]) -> list[Tree]:
    result = dict(current)
    for key, item in wanted.items():
        if item.get("$patch") == "delete":
            result.pop(key, None)
        else:
            result[key] = _merge_object(struct, result.get(key, {}), item)
    return list(result.values())


def merge_patch(current: Tree, patch: Tree) -> Tree:
    """Return `current` changed by a JSON merge patch: objects merge, null deletes, everything else replaces."""
    result = dict(current)
    for name, wanted in patch.items():
        if wanted is None:
            result.pop(name, None)
        elif type(wanted) is dict:
            before = result.get(name)
            result[name] = merge_patch(before if type(before) is dict else {}, wanted)
        else:
            result[name] = wanted
    return result
