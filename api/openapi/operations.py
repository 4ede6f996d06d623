"""What can be done at which path, in words that every version of OpenAPI can be written from.

Operations have the names that Kubernetes gives them (`listCoreV1NamespacedPod`): generated clients and tools look for those.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from api.openapi import machinery
from api.openapi.definitions import CORE, group_version_kind, list_name, name_of
from api.scheme import Kind, by_resource
from api.shape import fields

Method = Literal["get", "put", "post", "delete", "patch"]

JSON, YAML = "application/json", "application/yaml"
STREAM = "application/json;stream=watch"
PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)

PARAMETERS: Mapping[str, tuple[str, str]] = {
    "name": ("string", "Name of the object."),
    "namespace": ("string", "Namespace of the object."),
    "pretty": ("string", "Indent the answer."),
    "dryRun": ("string", "All: do everything but store the outcome."),
    "fieldManager": ("string", "Who sets the fields, at most 128 characters."),
    "fieldValidation": ("string", "What becomes of unknown fields: Strict, Warn or Ignore."),
    "force": ("boolean", "Take fields over from other managers. For apply patches only."),
    "labelSelector": ("string", "Only objects with these labels."),
    "fieldSelector": ("string", "Only objects with these values in fields."),
    "limit": ("integer", "At most so many objects; the answer says how to go on."),
    "continue": ("string", "Go on where the list before this one ended."),
    "resourceVersion": ("string", "Of which version the answer is to be; resourceVersionMatch says how exactly."),
    "resourceVersionMatch": ("string", "Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "Begin a watch with what there is."),
    "timeoutSeconds": ("integer", "End a watch after so many seconds."),
    "watch": ("boolean", "Send changes as they come."),
    "allowWatchBookmarks": ("boolean", "Tell how far the watch has come, now and then."),
    "gracePeriodSeconds": ("integer", "Seconds until what is deleted is ended by force."),
    "orphanDependents": ("boolean", "Old form of propagationPolicy."),
    "propagationPolicy": ("string", "What becomes of dependents: Orphan, Background or Foreground."),
    "container": ("string", "The container; needed when there are several."),
    "follow": ("boolean", "Go on with what is written from now on."),
    "previous": ("boolean", "Of the container before this one."),
    "sinceSeconds": ("integer", "Only lines of the last so many seconds."),
    "tailLines": ("integer", "Only so many lines at the end."),
    "limitBytes": ("integer", "At most so many bytes."),
    "timestamps": ("boolean", "A time in front of every line."),
}
"""The type of every parameter, and what it is for."""

_READ = ("pretty",)
_LIST = (
    *("pretty", "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit"),
    *("resourceVersion", "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch"),
)
_WRITE = ("pretty", "dryRun", "fieldManager", "fieldValidation")
_PATCH = (*_WRITE, "force")
_DELETE = ("pretty", "dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_DELETE_ALL = (*_DELETE, *_LIST[2:6])
_LOG = (*("pretty", "container", "follow", "previous", "sinceSeconds", "tailLines", "limitBytes", "timestamps"),)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method at one path. `body` and `answer` are definitions; no `answer` is plain text."""

    method: Method
    id: str
    text: str
    action: str
    kind: Mapping[str, str]
    tag: str
    query: Sequence[str]
    body: str = ""
    answer: str = ""
    statuses: Sequence[int] = (200,)
    consumes: Sequence[str] = (JSON, YAML)
    produces: Sequence[str] = (JSON, YAML)


@dataclass(frozen=True, slots=True)
class Path:
    """One path with what can be done there; `parameters` stand in braces in it."""

    path: str
    parameters: Sequence[str]
    operations: Sequence[Operation]


class _Names:
    """How the operations on a kind are called."""

    def __init__(self, kind: Kind) -> None:
        group, _, version = kind.api_version.rpartition("/")
        words = (group.removesuffix(".k8s.io") or "core").split(".")
        camel = "".join(word.capitalize() for word in words)
        self._family = camel + version.capitalize()
        self.tag = f"{camel[0].lower()}{camel[1:]}_{version}"
        self._scope = "Namespaced" if kind.namespaced else ""
        self._kind = kind.kind

    def of(self, verb: str, behind: str = "") -> str:
        """`readCoreV1NamespacedPodStatus`."""
        return f"{verb}{self._family}{self._scope}{self._kind}{behind}"

    def collection(self) -> str:
        """`deleteCoreV1CollectionNamespacedPod`."""
        return f"delete{self._family}Collection{self._scope}{self._kind}"

    def everywhere(self) -> str:
        """`listCoreV1PodForAllNamespaces`."""
        return f"list{self._family}{self._kind}ForAllNamespaces"


def root(kind: Kind) -> str:
    """Where the paths of a kind's group begin."""
    return f"/api/{kind.api_version}" if not kind.group else f"/apis/{kind.api_version}"


def paths(kind: Kind) -> Iterator[Path]:
    """Everything that can be done with a kind, collection first."""
    names = _Names(kind)
    own = group_version_kind(kind)
    scope = ("namespace",) if kind.namespaced else ()
    base = root(kind) + ("/namespaces/{namespace}" if kind.namespaced else "") + f"/{kind.plural}"
    yield Path(base, scope, list(_of_collection(kind, names, own)))
    yield Path(f"{base}/{{name}}", (*scope, "name"), list(_of_object(kind, names, own)))
    if kind.has_status:
        yield Path(
            f"{base}/{{name}}/status", (*scope, "name"), list(_changing(names, own, name_of(kind.type), "Status"))
        )
    if has_scale(kind):
        scale = {"group": "autoscaling", "kind": "Scale", "version": "v1"}
        yield Path(f"{base}/{{name}}/scale", (*scope, "name"), list(_changing(names, scale, machinery.SCALE, "Scale")))
    if kind is by_resource("pods"):
        yield from _of_pods(base, names, own)
    if kind.namespaced:
        everywhere = Operation(
            *("get", names.everywhere(), f"List the {kind.plural} of all namespaces.", "list", own, names.tag),
            _LIST,
            answer=list_name(kind),
            produces=(JSON, YAML, STREAM),
        )
        yield Path(f"{root(kind)}/{kind.plural}", (), [everywhere])


def has_scale(kind: Kind) -> bool:
    """Whether objects of a kind have a number of replicas that can be set alone."""
    spec = fields(kind.type).get("spec")
    return spec is not None and spec.struct is not None and {"replicas", "selector"} <= fields(spec.struct).keys()


def _of_collection(kind: Kind, names: _Names, own: Mapping[str, str]) -> Iterator[Operation]:
    name = name_of(kind.type)
    yield Operation(
        *("get", names.of("list"), f"List {kind.plural}.", "list", own, names.tag, _LIST),
        answer=list_name(kind),
        produces=(JSON, YAML, STREAM),
    )
    yield Operation(
        *("post", names.of("create"), f"Create a {kind.kind}.", "post", own, names.tag, _WRITE),
        body=name,
        answer=name,
        statuses=(201,),
    )
    yield Operation(
        *("delete", names.collection(), f"Delete {kind.plural}.", "deletecollection", own, names.tag, _DELETE_ALL),
        body=machinery.DELETE_OPTIONS,
        answer=machinery.STATUS,
    )


def _of_object(kind: Kind, names: _Names, own: Mapping[str, str]) -> Iterator[Operation]:
    yield from _changing(names, own, name_of(kind.type), "")
    yield Operation(
        *("delete", names.of("delete"), f"Delete a {kind.kind}.", "delete", own, names.tag, _DELETE),
        body=machinery.DELETE_OPTIONS,
        answer=machinery.STATUS,
        statuses=(200, 202),
    )


def _changing(names: _Names, own: Mapping[str, str], answer: str, behind: str) -> Iterator[Operation]:
    """Read, replace and patch an object or a part of it."""
    part = f"the {behind.lower()} of " if behind else ""
    text = f"{part}an object"
    yield Operation(
        *("get", names.of("read", behind), f"Read {text}.", "get", own, names.tag, _READ),
        answer=answer,
    )
    yield Operation(
        *("put", names.of("replace", behind), f"Replace {text}.", "put", own, names.tag, _WRITE),
        body=answer,
        answer=answer,
    )
    yield Operation(
        *("patch", names.of("patch", behind), f"Change {text}.", "patch", own, names.tag, _PATCH),
        body=machinery.PATCH,
        answer=answer,
        statuses=(200, 201),
        consumes=PATCH_TYPES,
    )


def _of_pods(base: str, names: _Names, own: Mapping[str, str]) -> Iterator[Path]:
    at = ("namespace", "name")
    log = Operation(
        *("get", names.of("read", "Log"), "Read what a container wrote.", "get", own, names.tag, _LOG),
        produces=("text/plain",),
    )
    yield Path(f"{base}/{{name}}/log", at, [log])
    binding = {"group": "", "kind": "Binding", "version": "v1"}
    yield Path(
        f"{base}/{{name}}/binding",
        at,
        [
            Operation(
                *("post", names.of("create", "Binding"), "Put a pod on a node.", "post", binding, names.tag),
                ("pretty", "dryRun", "fieldManager", "fieldValidation"),
                body=f"{CORE}.Binding",
                answer=machinery.STATUS,
                statuses=(201,),
            )
        ],
    )
