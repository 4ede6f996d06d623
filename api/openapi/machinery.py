"""The definitions that no kind of ours needs, but every client of Kubernetes: lists, errors, options of deletions, discovery.

Written as data: a type's meaning, and its fields in short (`string`, `int64`, `[]X`, `map X`, or the definition's name).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
TIME, MICRO_TIME = f"{META}.Time", f"{META}.MicroTime"
PATCH = f"{META}.Patch"
STATUS = f"{META}.Status"
DELETE_OPTIONS = f"{META}.DeleteOptions"
LIST_META = f"{META}.ListMeta"
MANAGED_FIELDS_ENTRY = f"{META}.ManagedFieldsEntry"
JSON = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"
SCALE = "io.k8s.api.autoscaling.v1.Scale"
BINDING = "io.k8s.api.core.v1.Binding"
EVICTION = "io.k8s.api.policy.v1.Eviction"

SCALARS: Mapping[str, Schema] = {
    TIME: {"type": "string", "format": "date-time", "description": "An instant, in RFC 3339."},
    MICRO_TIME: {"type": "string", "format": "date-time", "description": "An instant with microseconds, in RFC 3339."},
    QUANTITY: {"type": "string", "description": "An amount such as 250m, 64Mi or 2."},
    INT_OR_STRING: {"type": "string", "format": "int-or-string", "description": "A number, or a name or percentage."},
    f"{META}.FieldsV1": {"type": "object", "description": "A set of fields as a tree."},
    JSON: {"description": "Any value."},
    PATCH: {"type": "object", "description": "A change of an object, in the form that the content type names."},
}
"""Definitions that are not objects with fields."""

ALTERNATIVES: Mapping[str, Sequence[str]] = {QUANTITY: ("string", "number"), INT_OR_STRING: ("integer", "string")}
"""Definitions that several JSON types fit."""


@dataclass(frozen=True, slots=True)
class Described:
    """One object type: what it means, its fields, and those that must be there."""

    text: str
    fields: Mapping[str, str]
    required: tuple[str, ...] = ()
    kinds: tuple[tuple[str, str, str], ...] = field(default=())
    """(group, version, kind) that objects of this type name."""


_KIND = {"apiVersion": "string", "kind": "string"}
_OBJECT = {**_KIND, "metadata": f"{META}.ObjectMeta"}

OBJECTS: Mapping[str, Described] = {
    LIST_META: Described(
        "Where a list was read, and how to go on with it.",
        {"continue": "string", "remainingItemCount": "int64", "resourceVersion": "string", "selfLink": "string"},
    ),
    MANAGED_FIELDS_ENTRY: Described(
        "The fields that one manager set last.",
        {
            "apiVersion": "string",
            "fieldsType": "string",
            "fieldsV1": f"{META}.FieldsV1",
            "manager": "string",
            "operation": "string",
            "subresource": "string",
            "time": TIME,
        },
    ),
    STATUS: Described(
        "The outcome of a request that returns no object.",
        {
            **_KIND,
            "metadata": LIST_META,
            "status": "string",
            "message": "string",
            "reason": "string",
            "details": f"{META}.StatusDetails",
            "code": "int32",
        },
        kinds=(("", "v1", "Status"),),
    ),
    f"{META}.StatusDetails": Described(
        "What a request was refused for.",
        {
            "name": "string",
            "group": "string",
            "kind": "string",
            "uid": "string",
            "causes": f"[]{META}.StatusCause",
            "retryAfterSeconds": "int32",
        },
    ),
    f"{META}.StatusCause": Described(
        "One reason, and the field it is about.", {"field": "string", "message": "string", "reason": "string"}
    ),
    DELETE_OPTIONS: Described(
        "How an object is to be deleted.",
        {
            **_KIND,
            "dryRun": "[]string",
            "gracePeriodSeconds": "int64",
            "orphanDependents": "boolean",
            "preconditions": f"{META}.Preconditions",
            "propagationPolicy": "string",
        },
        kinds=(("", "v1", "DeleteOptions"),),
    ),
    f"{META}.Preconditions": Described(
        "What must still be true when the deletion happens.", {"resourceVersion": "string", "uid": "string"}
    ),
    f"{META}.WatchEvent": Described(
        "One change: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, and the object after it.",
        {"type": "string", "object": "object"},
        ("type", "object"),
    ),
    SCALE: Described(
        "How many pods a workload wants and has.",
        {**_OBJECT, "spec": "io.k8s.api.autoscaling.v1.ScaleSpec", "status": "io.k8s.api.autoscaling.v1.ScaleStatus"},
        kinds=(("autoscaling", "v1", "Scale"),),
    ),
    "io.k8s.api.autoscaling.v1.ScaleSpec": Described("What is wanted.", {"replicas": "int32"}),
    "io.k8s.api.autoscaling.v1.ScaleStatus": Described(
        "What there is, and which labels choose it.", {"replicas": "int32", "selector": "string"}, ("replicas",)
    ),
    BINDING: Described(
        "Puts a pod on a node.",
        {**_OBJECT, "target": "io.k8s.api.core.v1.ObjectReference"},
        ("target",),
        (("", "v1", "Binding"),),
    ),
    EVICTION: Described(
        "Asks for a pod to be deleted gracefully, if that is allowed now.",
        {**_OBJECT, "deleteOptions": DELETE_OPTIONS},
        kinds=(("policy", "v1", "Eviction"),),
    ),
}
