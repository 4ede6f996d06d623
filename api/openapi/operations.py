"""What can be done at which path, in words that every version of OpenAPI can be written from.

Made from the rows of discovery documents, so that both say the same. Operations have the names that Kubernetes gives them (`listCoreV1NamespacedPod`): generated clients and tools look for those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from api.openapi import machinery
from api.openapi.definitions import group_version_kind, list_name
from api.openapi.names import is_custom, name_of_kind

Row = Mapping[str, Any]
"""An APIResource of a discovery document: a resource or subresource, its kind and verbs."""

Method = Literal["get", "put", "post", "delete", "patch"]

JSON, YAML = "application/json", "application/yaml"
STREAM = "application/json;stream=watch"
STRATEGIC = "application/strategic-merge-patch+json"
PATCH_TYPES = ("application/json-patch+json", "application/merge-patch+json", STRATEGIC, "application/apply-patch+yaml")
CUSTOM_PATCH_TYPES = tuple(each for each in PATCH_TYPES if each != STRATEGIC)
"""Of custom kinds; clients choose by it how they apply."""

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
    "sinceTime": ("string", "Only lines since then, in RFC 3339."),
    "tailLines": ("integer", "Only so many lines at the end."),
    "limitBytes": ("integer", "At most so many bytes."),
    "timestamps": ("boolean", "A time in front of every line."),
    "command": ("string", "The program; each further one is an argument of it."),
    "ports": ("integer", "A port of the pod; each further one is another."),
    "stdin": ("boolean", "Send standard input."),
    "stdout": ("boolean", "Receive standard output."),
    "stderr": ("boolean", "Receive standard error."),
    "tty": ("boolean", "Give the program a terminal."),
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
_LOG = (
    "pretty",
    "container",
    "follow",
    "previous",
    "sinceSeconds",
    "sinceTime",
    "tailLines",
    "limitBytes",
    "timestamps",
)

_STREAMS = ("container", "stdin", "stdout", "stderr", "tty")
CONNECTED: Mapping[str, Sequence[str]] = {
    "exec": (*_STREAMS, "command"),
    "attach": _STREAMS,
    "portforward": ("ports",),
    "proxy": (),
}
"""Subresources that are streams in both directions, and their parameters."""

_ANSWERED_WITH_STATUS = frozenset({"Binding", "Eviction"})
"""What is posted and answered with its outcome, not with itself."""

_SHOWN_WHEN_DELETED = frozenset({"pods", "services", "serviceaccounts"})
"""Resources whose deletion answers with the object."""


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


class _Naming:
    """How the operations on a resource are called; `kind` is that of its objects, not of a subresource."""

    def __init__(self, api_version: str, kind: str, *, namespaced: bool) -> None:
        group, _, version = api_version.rpartition("/")
        words = (group.removesuffix(".k8s.io") or "core").split(".")
        camel = "".join(word.capitalize() for word in words)
        self._family = camel + version.capitalize()
        self.tag = f"{camel[0].lower()}{camel[1:]}_{version}"
        self._scope = "Namespaced" if namespaced else ""
        self._kind = kind

    def of(self, verb: str, behind: str = "", infix: str = "") -> str:
        """`readCoreV1NamespacedPodStatus`, `deleteCoreV1CollectionNamespacedPod`."""
        return f"{verb}{self._family}{infix}{self._scope}{self._kind}{behind}"

    def everywhere(self) -> str:
        """`listCoreV1PodForAllNamespaces`."""
        return f"list{self._family}{self._kind}ForAllNamespaces"


class _Resource:
    """One row of discovery, read."""

    def __init__(self, api_version: str, row: Row, owner: str) -> None:
        """`owner` is the kind whose subresource the row is, or the row's own kind."""
        self.plural, _, self.subresource = row["name"].partition("/")
        self.namespaced: bool = row["namespaced"]
        self.verbs: Sequence[str] = row["verbs"]
        self._served = served_kind(api_version, row)
        self.kind: str = row["kind"]
        self.definition = name_of_kind(*self._served)
        self.naming = _Naming(api_version, owner, namespaced=self.namespaced)
        self.patch_types = CUSTOM_PATCH_TYPES if is_custom(api_version.rpartition("/")[0]) else PATCH_TYPES
        self.root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"

    def operation(
        self, method: Method, name: str, text: str, action: str, query: Sequence[str], **more: Any
    ) -> Operation:
        """An operation on this resource."""
        return Operation(method, name, text, action, group_version_kind(*self._served), self.naming.tag, query, **more)


def served_kind(api_version: str, row: Row) -> tuple[str, str]:
    """(api version, kind) of what a row's path takes and gives: that of a subresource may be of another group."""
    if "version" not in row:
        return api_version, row["kind"]
    return f"{row['group']}/{row['version']}".lstrip("/"), row["kind"]


def paths(api_version: str, rows: Sequence[Row]) -> Iterator[Path]:
    """Everything that can be done with the resources of a group version."""
    kinds = {row["name"]: row["kind"] for row in rows}
    for row in rows:
        resource = _Resource(api_version, row, kinds[row["name"].partition("/")[0]])
        yield from (path for path in _of_resource(resource) if path.operations)


def _of_resource(resource: _Resource) -> Iterator[Path]:
    scope = ("namespace",) if resource.namespaced else ()
    base = f"{resource.root}{'/namespaces/{namespace}' if scope else ''}/{resource.plural}"
    if resource.subresource:
        yield Path(f"{base}/{{name}}/{resource.subresource}", (*scope, "name"), _of_part(resource))
        return
    yield Path(base, scope, _of_collection(resource))
    yield Path(f"{base}/{{name}}", (*scope, "name"), _of_object(resource))
    if resource.namespaced and "list" in resource.verbs:
        yield Path(f"{resource.root}/{resource.plural}", (), [_list(resource, resource.naming.everywhere())])


def _of_collection(resource: _Resource) -> list[Operation]:
    named = resource.naming.of
    made: Mapping[str, Callable[[], Operation]] = {
        "list": lambda: _list(resource, named("list")),
        "create": lambda: _create(resource),
        "deletecollection": lambda: resource.operation(
            *("delete", named("delete", infix="Collection"), f"Delete {resource.plural}."),
            *("deletecollection", _DELETE_ALL),
            body=machinery.DELETE_OPTIONS,
            answer=machinery.STATUS,
        ),
    }
    return [make() for verb, make in made.items() if verb in resource.verbs]


def _of_object(resource: _Resource) -> list[Operation]:
    found = _changing(resource, "", "an object")
    if "delete" in resource.verbs:
        answer = resource.definition if resource.plural in _SHOWN_WHEN_DELETED else machinery.STATUS
        own = {"body": machinery.DELETE_OPTIONS, "answer": answer, "statuses": (200, 202)}
        name = resource.naming.of("delete")
        found.append(resource.operation("delete", name, f"Delete a {resource.kind}.", "delete", _DELETE, **own))
    return found


def _of_part(resource: _Resource) -> list[Operation]:
    """What can be done with a subresource."""
    part = resource.subresource
    behind = part.capitalize()
    if part == "log":
        name = resource.naming.of("read", behind)
        text = "Read what a container wrote."
        return [resource.operation("get", name, text, "get", _LOG, produces=("text/plain",))]
    if part in CONNECTED:
        return _connecting(resource, behind)
    made = [_create(resource, behind)] if "create" in resource.verbs else []
    return made + _changing(resource, behind, f"the {part} of an object")


def _list(resource: _Resource, name: str) -> Operation:
    text = f"List or watch {resource.plural}."
    answer = list_name(resource.definition)
    return resource.operation("get", name, text, "list", _LIST, answer=answer, produces=(JSON, YAML, STREAM))


def _create(resource: _Resource, behind: str = "") -> Operation:
    answer = machinery.STATUS if resource.kind in _ANSWERED_WITH_STATUS else resource.definition
    own = {"body": resource.definition, "answer": answer, "statuses": (201,)}
    name = resource.naming.of("create", behind)
    return resource.operation("post", name, f"Create a {resource.kind}.", "post", _WRITE, **own)


def _connecting(resource: _Resource, behind: str) -> list[Operation]:
    methods: Mapping[str, Method] = {
        "get": "get",
        "create": "post",
        "update": "put",
        "patch": "patch",
        "delete": "delete",
    }
    return [
        resource.operation(
            *(method, resource.naming.of("connect", behind, infix=method.capitalize())),
            *(f"Connect to the {resource.subresource} of an object.", "connect"),
            query=CONNECTED[resource.subresource],
            produces=("*/*",),
        )
        for verb, method in methods.items()
        if verb in resource.verbs
    ]


def _changing(resource: _Resource, behind: str, what: str) -> list[Operation]:
    """Read, replace and patch an object or a part of it."""
    named, own = resource.naming.of, resource.definition
    made: Mapping[str, Callable[[], Operation]] = {
        "get": lambda: resource.operation("get", named("read", behind), f"Read {what}.", "get", _READ, answer=own),
        "update": lambda: resource.operation(
            *("put", named("replace", behind), f"Replace {what}.", "put", _WRITE),
            body=own,
            answer=own,
        ),
        "patch": lambda: resource.operation(
            *("patch", named("patch", behind), f"Change {what}.", "patch", _PATCH),
            body=machinery.PATCH,
            answer=own,
            statuses=(200, 201),
            consumes=resource.patch_types,
        ),
    }
    return [make() for verb, make in made.items() if verb in resource.verbs]
