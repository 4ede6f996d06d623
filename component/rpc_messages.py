"""Requests and answers of the API over gRPC, as plain values and back: the client's side.

Imported by the command line, so it must stay light (see `component.rpc`).
"""

from __future__ import annotations

from collections.abc import Iterable

from api import errors, scheme
from api.object import Object, Tree, canonical
from api.v1 import apiserver_pb2 as pb
from api.v1 import resource_pb2
from component.client import (
    ApplyOutcome,
    Collection,
    EventType,
    Operation,
    OperationOutcome,
    OperationResult,
    PatchType,
    Propagation,
    Removal,
    WatchEvent,
)

_EVENT_TYPES: dict[int, EventType] = {
    resource_pb2.ADDED: "ADDED",
    resource_pb2.MODIFIED: "MODIFIED",
    resource_pb2.DELETED: "DELETED",
    resource_pb2.BOOKMARK: "BOOKMARK",
}
PROPAGATIONS: dict[Propagation, pb.Propagation] = {
    "": pb.PROPAGATION_UNSPECIFIED,
    "Background": pb.BACKGROUND,
    "Foreground": pb.FOREGROUND,
    "Orphan": pb.ORPHAN,
}
OUTCOMES: dict[int, ApplyOutcome] = {
    pb.ApplyResponse.CREATED: "created",
    pb.ApplyResponse.CONFIGURED: "configured",
    pb.ApplyResponse.UNCHANGED: "unchanged",
}
PATCH_TYPES: dict[PatchType, pb.PatchRequest.Type] = {
    "json": pb.PatchRequest.JSON,
    "merge": pb.PatchRequest.MERGE,
    "strategic": pb.PatchRequest.STRATEGIC,
    "apply": pb.PatchRequest.APPLY,
}

_OPERATION_OUTCOMES: dict[int, OperationOutcome] = {
    pb.TransactionResponse.OUTCOME_UNSPECIFIED: "",
    pb.TransactionResponse.CREATED: "created",
    pb.TransactionResponse.CONFIGURED: "configured",
    pb.TransactionResponse.UNCHANGED: "unchanged",
    pb.TransactionResponse.DELETED: "deleted",
    pb.TransactionResponse.REFUSED: "refused",
}


def events_of(resource: str, events: Iterable[resource_pb2.WatchEvent]) -> Iterable[WatchEvent]:
    """The events of one response."""
    for event in events:
        kind = _EVENT_TYPES[event.type]
        subject = None if kind == "BOOKMARK" else object_of(resource, event.object)
        yield WatchEvent(kind, event.resource_version, subject)


def operation_message(operation: Operation) -> pb.Operation:
    """One operation of a transaction, to send."""
    if isinstance(operation, Removal):
        return pb.Operation(
            delete=pb.DeleteRequest(
                resource=operation.resource,
                namespace=operation.namespace,
                name=operation.name,
                uid=operation.uid,
                resource_version=operation.revision,
                grace_seconds=operation.grace_seconds,
                propagation=PROPAGATIONS[operation.propagation],
            )
        )
    message = pb.Operation()
    getattr(message, operation.verb).CopyFrom(message_of(operation.tree))
    return message


def operation_result_of(result: pb.TransactionResponse.Result) -> OperationResult:
    """What became of one operation of a transaction."""
    stored = stored_of(result.object) if result.HasField("object") else None
    error: errors.ApiError | None = None
    if result.reason:
        faults = [errors.FieldError(each.path, each.message) for each in result.fields]
        error = errors.ERRORS.get(result.reason, errors.ApiError)(result.message, faults)
    return OperationResult(_OPERATION_OUTCOMES[result.outcome], stored, error)


def collection_message(collection: Collection, *, dry_run: bool) -> pb.DeleteCollectionRequest:
    """The request for the first page of a collection's deletion."""
    return pb.DeleteCollectionRequest(
        resource=collection.resource,
        namespace=collection.namespace,
        label_selector=collection.label_selector,
        field_selector=collection.field_selector,
        grace_seconds=collection.grace_seconds,
        propagation=PROPAGATIONS[collection.propagation],
        dry_run=dry_run,
    )


def deleted_of(resource: str, result: pb.DeleteCollectionResponse.Result) -> OperationResult:
    """What became of one object of a collection."""
    error = errors.ERRORS.get(result.reason, errors.ApiError)(result.message) if result.reason else None
    return OperationResult("refused" if error else "deleted", object_of(resource, result.object), error)


def message_of(tree: Tree) -> resource_pb2.Resource:
    """An object to send: only what a request needs, the server reads the rest from the JSON."""
    return resource_pb2.Resource(json=canonical(tree).decode())


def object_of(resource: str, proto: resource_pb2.Resource) -> Object:
    """An object of `resource` as a replica sent it."""
    json = proto.json.encode()
    return Object(resource, proto.namespace, proto.name, proto.uid, proto.resource_version, json)


def stored_of(proto: resource_pb2.Resource) -> Object:
    """As `object_of`, of the resource that the message names."""
    return object_of(proto.resource or scheme.by_kind(proto.api_version, proto.kind).resource, proto)
