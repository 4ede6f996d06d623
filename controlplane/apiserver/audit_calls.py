"""What a gRPC call asks for, in the words of the audit log: verb and object of each thing it does, and what it carries.

Pure. What cannot be told from the call alone is named by the call's own path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from api import errors, retired, scheme
from api.errors import NotFound
from api.v1 import apiserver_pb2 as pb
from api.v1 import resource_pb2
from controlplane.apiserver.authz import API_METHODS, PATHS
from controlplane.apiserver.incoming import DEFAULT_NAMESPACE
from controlplane.apiserver.rest.refusals import status_of
from controlplane.audit.log import Part
from controlplane.audit.record import Document
from controlplane.rbac.attributes import Attributes, on, on_path

OWN_METHODS: Final = ("/api.v1.ReplicaLink/", "/api.v1.NodeService/Dial", "/grpc.")
"""Calls of the control plane's own parts and health checks: reads, unless they are refused."""

NOT_COMMITTED: Final = (409, "NotCommitted")

_READS: Final = frozenset({"ClusterStatus", "Moment"})
_OPERATION_VERBS: Final = {"create": "create", "update": "update", "apply": "patch"}


class _Names(msgspec.Struct):
    namespace: str = ""
    name: str = ""


class _Head(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    metadata: _Names = msgspec.field(default_factory=_Names)


_read_head = msgspec.json.Decoder(_Head).decode


def parts_of(method: str, request: Any, answer: Any) -> Sequence[Part]:
    """What a call asked for: one part, or one for each write of a transaction and each binding.

    `request` is None when it did not parse or, of a stream, did not come; `answer` when the call failed.
    """
    find = _PARTS.get(method.removeprefix(API_METHODS)) if method.startswith(API_METHODS) else None
    parts = find(request, answer) if find is not None and request is not None else ()
    return parts or (Part(_path_of(method, request)),)


def _path_of(method: str, request: Any) -> Attributes:
    name = method.removeprefix(API_METHODS)
    if name == "CreateJoinToken" and request is not None:
        return on_path("post", f"/timonier/join-tokens/{request.role or 'node'}")
    if name == "RemoveReplica" and request is not None:
        return on_path("delete", f"/timonier/replicas/{request.replica}")
    if (path := PATHS.get(method)) is not None:
        return path if name != "Backup" else on_path("post", path.path)  # it hands out every Secret: more than a read
    return on_path("get" if name in _READS or method.startswith(OWN_METHODS) else "post", method)


def _writing(verb: str, subresource: str = "") -> Callable[[Any, Any], Sequence[Part]]:
    def parts(request: Any, answer: Any) -> Sequence[Part]:
        stored = answer.object if isinstance(answer, pb.ApplyResponse) else answer
        return _of_object(verb, request.object, stored, subresource)

    return parts


def _of_object(verb: str, sent: resource_pb2.Resource, stored: Any, subresource: str = "") -> Sequence[Part]:
    """One part, or none when the object does not say what it is, or contradicts itself."""
    try:
        head = _read_head(sent.json)
    except (msgspec.DecodeError, RecursionError):
        return ()
    envelope = (sent.api_version, sent.kind, sent.namespace, sent.name)
    inside = (head.api_version, head.kind, head.metadata.namespace, head.metadata.name)
    if any(one and other and one != other for one, other in zip(envelope, inside, strict=True)):
        return ()
    api_version, kind_name, namespace, name = (one or other for one, other in zip(inside, envelope, strict=True))
    try:
        kind = scheme.by_kind(retired.current_version(api_version, kind_name), kind_name)
    except NotFound:
        if not isinstance(stored, resource_pb2.Resource) or not stored.resource:
            return ()
        plural, _, group = stored.resource.partition(".")  # the answer says what a custom kind is called
        asked = Attributes(verb, group, plural, subresource, stored.namespace, stored.name)
    else:
        asked = on(kind, verb, namespace or DEFAULT_NAMESPACE, name, subresource)
    return (Part(asked, _text(sent.json), _object(stored)),)


def _named(verb: str) -> Callable[[Any, Any], Sequence[Part]]:
    def parts(request: Any, answer: Any) -> Sequence[Part]:
        return (Part(_resource(verb, request), answered=_object(answer)),)

    return parts


def _collected(verb: str) -> Callable[[Any, Any], Sequence[Part]]:
    def parts(request: Any, _answer: Any) -> Sequence[Part]:
        plural, _, group = request.resource.partition(".")
        return (Part(Attributes(verb, group, plural, namespace=request.namespace)),)

    return parts


def _patch(request: pb.PatchRequest, answer: Any) -> Sequence[Part]:
    asked = _resource("patch", request, request.subresource)
    return (Part(asked, _text(request.patch), _object(answer)),)


def _resource(verb: str, request: Any, subresource: str = "") -> Attributes:
    try:
        kind = scheme.by_resource(request.resource)
    except NotFound:
        plural, _, group = request.resource.partition(".")
        return Attributes(verb, group, plural, subresource, request.namespace, request.name)
    return on(kind, verb, request.namespace or DEFAULT_NAMESPACE, request.name, subresource)


def _transaction(request: pb.TransactionRequest, answer: pb.TransactionResponse | None) -> Sequence[Part]:
    found: list[Part] = []
    results = list(answer.results) if answer is not None else []
    for index, operation in enumerate(request.operations):
        result = results[index] if index < len(results) else None
        which = operation.WhichOneof("write") or ""
        stored = result.object if result is not None else None
        if which == "delete":
            parts: Sequence[Part] = (Part(_resource("delete", operation.delete), answered=_object(stored)),)
        elif which:
            parts = _of_object(_OPERATION_VERBS[which], getattr(operation, which), stored)
        else:
            parts = ()
        unknown = (Part(on_path("post", API_METHODS + "Transaction")),)
        if result is not None and answer is not None and not answer.committed:
            found += [_refused(part, result.reason, result.fields) for part in parts or unknown]
        else:
            found += parts or unknown
    return found


def _bindings(request: pb.BindRequest, answer: pb.BindResponse | None) -> Sequence[Part]:
    reasons = [each.reason for each in answer.results] if answer is not None else []
    found = []
    for index, each in enumerate(request.bindings):
        part = Part(Attributes("create", "", "pods", "binding", each.namespace or DEFAULT_NAMESPACE, each.name))
        reason = reasons[index] if index < len(reasons) else ""
        found.append(_refused(part, reason) if reason else part)
    return found


def _refused(part: Part, reason: str, fields: Sequence[pb.FieldFault] = ()) -> Part:
    """A part that was not done; `reason` "" when it could have been, but others of its transaction could not."""
    if not reason:
        return replace(part, code=NOT_COMMITTED[0], reason=NOT_COMMITTED[1], answered=None)
    error = errors.ERRORS.get(reason, errors.Conflict)("", [errors.FieldError(each.path, "") for each in fields])
    status = status_of(error)
    return replace(part, code=status["code"], reason=status["reason"], answered=None)


def _pod(verb: str, subresource: str, namespace: str, name: str) -> Sequence[Part]:
    return (Part(Attributes(verb, "", "pods", subresource, namespace or DEFAULT_NAMESPACE, name)),)


def _logs(request: pb.LogsRequest, _answer: Any) -> Sequence[Part]:
    return _pod("get", "log", request.namespace, request.pod)


def _exec(first: pb.StreamFrame, _answer: Any) -> Sequence[Part]:
    return _pod("create", "exec", first.exec.namespace, first.exec.pod)


def _attach(first: pb.StreamFrame, _answer: Any) -> Sequence[Part]:
    return _pod("create", "attach", first.attach.namespace, first.attach.pod)


def _forward(first: pb.StreamFrame, _answer: Any) -> Sequence[Part]:
    return _pod("create", "portforward", first.forward.namespace, first.forward.pod)


def _token(request: pb.CreateTokenRequest, _answer: Any) -> Sequence[Part]:
    namespace = request.namespace or DEFAULT_NAMESPACE
    return (Part(Attributes("create", "", "serviceaccounts", "token", namespace, request.service_account)),)


def _text(text: str) -> Document:
    return Document(text.encode())


def _object(stored: Any) -> Document | None:
    return _text(stored.json) if isinstance(stored, resource_pb2.Resource) and stored.json else None


_PARTS: Final[Mapping[str, Callable[[Any, Any], Sequence[Part]]]] = {
    "Create": _writing("create"),
    "Update": _writing("update"),
    "UpdateStatus": _writing("update", "status"),
    "Apply": _writing("patch"),
    "Get": _named("get"),
    "Delete": _named("delete"),
    "History": _named("get"),
    "List": _collected("list"),
    "Watch": _collected("watch"),
    "DeleteCollection": _collected("deletecollection"),
    "Patch": _patch,
    "Transaction": _transaction,
    "Bind": _bindings,
    "Logs": _logs,
    "Exec": _exec,
    "Attach": _attach,
    "PortForward": _forward,
    "CreateToken": _token,
}
