"""Objects and transactions between messages and plain values: what is in a request, and what goes into an answer."""

from __future__ import annotations

from typing import Final

import msgspec

from api import scheme
from api.errors import ApiError, FieldError, Invalid, NotFound, TooLarge
from api.object import Object, Tree
from api.v1 import apiserver_pb2, resource_pb2
from component.client import (
    ObjectList,
    Operation,
    OperationOutcome,
    OperationResult,
    Propagation,
    Removal,
    TransactionResult,
    Write,
)
from component.slices import let_others_run
from controlplane.apiserver.past import Moment, ObjectHistory
from controlplane.apiserver.sending import ONCE, Sending
from controlplane.commands import ADDED, DELETED, MODIFIED, OBJECT_LIMIT_BYTES

REQUEST_LIMIT_CHARACTERS: Final = 2 * OBJECT_LIMIT_BYTES
"""Of an object as sent, which white space may make longer than it is stored; as over HTTPS. Beyond, it is not even decoded."""

PROPAGATIONS: Final[dict[int, Propagation]] = {
    apiserver_pb2.PROPAGATION_UNSPECIFIED: "",
    apiserver_pb2.BACKGROUND: "Background",
    apiserver_pb2.FOREGROUND: "Foreground",
    apiserver_pb2.ORPHAN: "Orphan",
}
_OUTCOMES: Final[dict[OperationOutcome, apiserver_pb2.TransactionResponse.Outcome]] = {
    "": apiserver_pb2.TransactionResponse.OUTCOME_UNSPECIFIED,
    "created": apiserver_pb2.TransactionResponse.CREATED,
    "configured": apiserver_pb2.TransactionResponse.CONFIGURED,
    "unchanged": apiserver_pb2.TransactionResponse.UNCHANGED,
    "deleted": apiserver_pb2.TransactionResponse.DELETED,
    "refused": apiserver_pb2.TransactionResponse.REFUSED,
}

_EVENT_TYPES: Final = {ADDED: resource_pb2.ADDED, MODIFIED: resource_pb2.MODIFIED, DELETED: resource_pb2.DELETED}


ENCODED_AT_ONCE: Final = 500  # objects of a list

WriteRequest = (
    apiserver_pb2.CreateRequest
    | apiserver_pb2.UpdateRequest
    | apiserver_pb2.DeleteRequest
    | apiserver_pb2.ApplyRequest
    | apiserver_pb2.PatchRequest
    | apiserver_pb2.TransactionRequest
)


def sending_of(request: WriteRequest) -> Sending:
    """Which request of the client this is. Invalid."""
    if not request.HasField("sending"):
        return ONCE
    sent = request.sending
    return Sending(sent.id, sent.since, sent.repeated)


def tree_of_message(resource: resource_pb2.Resource) -> Tree:
    """The object in a request. The envelope's fields may stand for what its JSON leaves out, not contradict it."""
    if len(resource.json) > REQUEST_LIMIT_CHARACTERS:
        raise TooLarge(
            f"the object is {len(resource.json)} characters long; an object may have {OBJECT_LIMIT_BYTES} bytes"
        )
    try:
        tree = msgspec.json.decode(resource.json)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Invalid("the object is not JSON", [FieldError("object.json", str(error))]) from error
    if not isinstance(tree, dict):
        raise Invalid("the object is not a JSON object", [FieldError("object.json", "expected { ... }")])
    _fill(tree, "apiVersion", resource.api_version)
    _fill(tree, "kind", resource.kind)
    metadata = tree.setdefault("metadata", {})
    if isinstance(metadata, dict):
        _fill(metadata, "namespace", resource.namespace)
        _fill(metadata, "name", resource.name)
        _fill(metadata, "uid", resource.uid)
        _fill(metadata, "resourceVersion", str(resource.resource_version or ""))
    return tree


def _fill(tree: Tree, name: str, value: str) -> None:
    if value and tree.get(name) not in (None, "", value):
        message = f'the message says "{value}", its JSON "{tree[name]}"'
        raise Invalid("the object contradicts itself", [FieldError(name, message)])
    if value:
        tree[name] = value


class _Types(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""


_read_types = msgspec.json.Decoder(_Types).decode


def message_of(stored: Object) -> resource_pb2.Resource:
    """The message of a stored object, or of a question with its answer."""
    try:
        kind = scheme.served(stored.resource)
    except NotFound:  # a custom kind: its objects say themselves what they are
        types, resource = _read_types(stored.json), stored.resource
    else:
        types, resource = _Types(kind.api_version, kind.kind), ""
    return resource_pb2.Resource(
        api_version=types.api_version,
        kind=types.kind,
        resource=resource,
        namespace=stored.namespace,
        name=stored.name,
        uid=stored.uid,
        resource_version=stored.revision,
        json=stored.json.decode(),
    )


async def list_bytes(listed: ObjectList) -> bytes:
    """The serialized response of a list. 2,000 objects of 1 KB take 8 ms, so others may run in between."""
    parts: list[bytes] = []
    for start in range(0, len(listed.items), ENCODED_AT_ONCE):
        if start:
            await let_others_run()
        items = map(message_of, listed.items[start : start + ENCODED_AT_ONCE])
        parts.append(apiserver_pb2.ListResponse(items=items).SerializeToString())
    end = apiserver_pb2.ListResponse(resource_version=listed.revision, continue_token=listed.continue_token)
    return b"".join((*parts, end.SerializeToString()))  # serialized messages concatenate: items is repeated


def result_of(error: ApiError | None) -> apiserver_pb2.BindResponse.Result:
    """The answer to one binding."""
    if error is None:
        return apiserver_pb2.BindResponse.Result()
    return apiserver_pb2.BindResponse.Result(reason=error.reason, message=str(error))


def deleted_message(result: OperationResult) -> apiserver_pb2.DeleteCollectionResponse.Result:
    """What became of one object of a collection: which one it was, without its JSON."""
    assert result.object is not None, "a collection is made of objects that were there"
    named = message_of(result.object)
    named.ClearField("json")
    if result.error is None:
        return apiserver_pb2.DeleteCollectionResponse.Result(object=named)
    reason, message = result.error.reason, str(result.error)
    return apiserver_pb2.DeleteCollectionResponse.Result(object=named, reason=reason, message=message)


def operation_of(sent: apiserver_pb2.Operation) -> Operation | ApiError:
    """One write of a transaction, or the error that it cannot be read."""
    try:
        return _operation_of(sent)
    except ApiError as error:
        return error


def transaction_message(result: TransactionResult) -> apiserver_pb2.TransactionResponse:
    """The answer to a transaction."""
    return apiserver_pb2.TransactionResponse(
        committed=result.committed, results=map(_result_message, result.results), resource_version=result.revision
    )


def moment_message(moment: Moment) -> apiserver_pb2.MomentResponse:
    """The answer about a point in history."""
    return apiserver_pb2.MomentResponse(
        revision=moment.revision,
        time=moment.time,
        oldest_revision=moment.oldest_revision,
        oldest_time=moment.oldest_time,
    )


def history_message(history: ObjectHistory) -> apiserver_pb2.HistoryResponse:
    """The changes of one object."""
    changes = [
        apiserver_pb2.HistoryResponse.Change(
            revision=each.revision,
            time=each.time,
            type=_EVENT_TYPES[each.type],
            uid=each.uid,
            paths=each.paths,
            user=each.actor,
        )
        for each in history.changes
    ]
    return apiserver_pb2.HistoryResponse(
        changes=changes,
        complete=history.complete,
        oldest_revision=history.oldest_revision,
        oldest_time=history.oldest_time,
    )


def _operation_of(sent: apiserver_pb2.Operation) -> Operation:
    match sent.WhichOneof("write"):
        case "create":
            return Write("create", tree_of_message(sent.create), len(sent.create.json))
        case "update":
            return Write("update", tree_of_message(sent.update), len(sent.update.json))
        case "apply":
            return Write("apply", tree_of_message(sent.apply), len(sent.apply.json))
        case "delete":
            deletion = sent.delete
            return Removal(
                deletion.resource,
                deletion.namespace,
                deletion.name,
                deletion.uid,
                deletion.resource_version,
                deletion.grace_seconds if deletion.HasField("grace_seconds") else None,
                PROPAGATIONS.get(deletion.propagation, ""),
            )
    raise Invalid("an operation says what to write: create, update, apply or delete")


def _result_message(result: OperationResult) -> apiserver_pb2.TransactionResponse.Result:
    message = apiserver_pb2.TransactionResponse.Result(outcome=_OUTCOMES[result.outcome])
    if result.object is not None:
        message.object.CopyFrom(message_of(result.object))
    error = result.error
    if error is not None:
        message.reason = error.reason
        message.message = str(error.args[0]) if error.args else ""
        message.fields.extend(
            apiserver_pb2.FieldFault(path=fault.path, message=fault.message) for fault in error.fields
        )
    return message
