"""Objects over gRPC: messages to plain values and back. No rule of the API lives here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Protocol

from msgspec import structs

from api import retired
from api.errors import ApiError, Invalid
from api.object import Tree
from api.v1 import apiserver_pb2 as pb
from api.v1 import resource_pb2
from component import rpc
from component.client import ApplyOutcome, Binding, Collection, Operation, PatchType, Write
from component.rpc_server import Context
from component.slices import let_others_run
from controlplane.admission.request import Identity, Remarks
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.committing import How
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.freshness import Freshness
from controlplane.apiserver.messages import (
    PROPAGATIONS,
    deleted_message,
    history_message,
    list_bytes,
    message_of,
    moment_message,
    operation_of,
    result_of,
    sending_of,
    transaction_message,
    tree_of_message,
)
from controlplane.apiserver.past import At
from controlplane.rbac.attributes import on_path

PAGE_BYTES: Final = 3 << 20
"""Of one List response: below the 4 MB that gRPC clients accept unless told otherwise."""

DECODED_AT_ONCE: Final = 50  # operations of a transaction, before others may run

_PATCH_TYPES: dict[int, PatchType] = {
    pb.PatchRequest.JSON: "json",
    pb.PatchRequest.MERGE: "merge",
    pb.PatchRequest.STRATEGIC: "strategic",
    pb.PatchRequest.APPLY: "apply",
}
_OUTCOMES: dict[ApplyOutcome, pb.ApplyResponse.Outcome] = {
    "created": pb.ApplyResponse.CREATED,
    "configured": pb.ApplyResponse.CONFIGURED,
    "unchanged": pb.ApplyResponse.UNCHANGED,
}


ManagedRequest = pb.UpdateRequest | pb.ApplyRequest | pb.TransactionRequest | pb.PatchRequest


class JoinTokens(Protocol):
    """Makes tokens."""

    async def create_token(self, request: pb.CreateJoinTokenRequest) -> pb.CreateJoinTokenResponse:
        """Make and store a token. Invalid."""


class StatusSource(Protocol):
    """Knows how the replicas are."""

    async def cluster_status(self) -> pb.ClusterStatusResponse:
        """Answer without waiting for a quorum."""


class ApiService:
    """One method per RPC. Errors are raised; `component.rpc_server` turns them into statuses."""

    def __init__(
        self,
        core: ApiCore,
        tokens: JoinTokens,
        status: StatusSource,
        authenticator: Authenticator,
    ) -> None:
        self._core = core
        self._tokens = tokens
        self._status = status
        self._identify = authenticator.identify

    async def create(self, request: pb.CreateRequest, context: Context) -> resource_pb2.Resource:
        """Create."""
        tree = _modern(context, tree_of_message(request.object))
        return message_of(await self._core.create(self._identify(context), tree, **_how(request, context)))

    async def get(self, request: pb.GetRequest, context: Context) -> resource_pb2.Resource:
        """Get."""
        identity = self._identify(context)
        return message_of(
            await self._core.reads.get(
                identity,
                request.resource,
                request.namespace,
                request.name,
                fresh=_fresh(request),
                at=_at(request),
            )
        )

    async def list(self, request: pb.ListRequest, context: Context) -> bytes:
        """List, one page."""
        found = await self._core.reads.list(
            self._identify(context),
            request.resource,
            request.namespace,
            label_selector=request.label_selector,
            field_selector=request.field_selector,
            limit=request.limit,
            limit_bytes=PAGE_BYTES,
            continue_token=request.continue_token,
            fresh=_fresh(request),
            at=_at(request),
        )
        return await list_bytes(found)

    async def update(self, request: pb.UpdateRequest, context: Context) -> resource_pb2.Resource:
        """Update."""
        tree = _modern(context, tree_of_message(request.object))
        return message_of(await self._core.update(self._writer(request, context), tree, **_how(request, context)))

    async def update_status(self, request: pb.UpdateRequest, context: Context) -> resource_pb2.Resource:
        """UpdateStatus."""
        tree = _modern(context, tree_of_message(request.object))
        return message_of(
            await self._core.update_status(self._writer(request, context), tree, **_how(request, context))
        )

    async def delete(self, request: pb.DeleteRequest, context: Context) -> resource_pb2.Resource:
        """Delete."""
        return message_of(
            await self._core.delete(
                self._identify(context),
                request.resource,
                request.namespace,
                request.name,
                uid=request.uid,
                revision=request.resource_version,
                grace_seconds=request.grace_seconds if request.HasField("grace_seconds") else None,
                propagation=PROPAGATIONS.get(request.propagation, ""),
                **_how(request, context),
            )
        )

    async def delete_collection(
        self, request: pb.DeleteCollectionRequest, context: Context
    ) -> pb.DeleteCollectionResponse:
        """DeleteCollection, one page."""
        collection = Collection(
            request.resource,
            request.namespace,
            request.label_selector,
            request.field_selector,
            request.grace_seconds if request.HasField("grace_seconds") else None,
            PROPAGATIONS.get(request.propagation, ""),
        )
        results, continue_token = await self._core.delete_collection(
            self._identify(context),
            collection,
            limit=request.limit,
            continue_token=request.continue_token,
            dry_run=request.dry_run,
        )
        return pb.DeleteCollectionResponse(results=map(deleted_message, results), continue_token=continue_token)

    async def apply(self, request: pb.ApplyRequest, context: Context) -> pb.ApplyResponse:
        """Apply."""
        tree = _modern(context, tree_of_message(request.object))
        stored, outcome = await self._core.apply(self._writer(request, context), tree, **_how(request, context))
        return pb.ApplyResponse(object=message_of(stored), outcome=_OUTCOMES[outcome])

    async def transaction(self, request: pb.TransactionRequest, context: Context) -> pb.TransactionResponse:
        """Transaction."""
        identity = self._writer(request, context)
        operations: list[Operation | ApiError] = []
        for index, sent in enumerate(request.operations):
            if index % DECODED_AT_ONCE == 0:
                await let_others_run()
            operation = operation_of(sent)
            if isinstance(operation, Write):
                operation = replace(operation, tree=_modern(context, operation.tree))
            operations.append(operation)
        remarks, sending = _remarks(context), sending_of(request)
        done = await self._core.transaction(
            identity, operations, dry_run=request.dry_run, sending=sending, remarks=remarks
        )
        return transaction_message(done)

    async def patch(self, request: pb.PatchRequest, context: Context) -> resource_pb2.Resource:
        """Patch."""
        patch_type = _PATCH_TYPES.get(request.type)
        if patch_type is None:
            raise Invalid("type: Required value: JSON, MERGE, STRATEGIC or APPLY")
        if patch_type == "apply" and not request.field_manager:
            raise Invalid("field_manager: Required value: who applies says as whose")
        return message_of(
            await self._core.patch(
                self._writer(request, context),
                request.resource,
                request.namespace,
                request.name,
                patch_type,
                request.patch.encode(),
                subresource=request.subresource,
                force=request.force,
                **_how(request, context),
            )
        )

    async def moment(self, request: pb.MomentRequest, context: Context) -> pb.MomentResponse:
        """Moment."""
        revision = request.revision if request.HasField("revision") else None
        fresh = Freshness(not_older_than=_not_older_than(request))
        return moment_message(await self._core.reads.past.moment(At(revision, request.time), fresh))

    async def history(self, request: pb.HistoryRequest, context: Context) -> pb.HistoryResponse:
        """History."""
        found = await self._core.reads.history(
            self._identify(context), request.resource, request.namespace, request.name, limit=request.limit
        )
        return history_message(found)

    async def bind(self, request: pb.BindRequest, context: Context) -> pb.BindResponse:
        """Bind."""
        bindings = [Binding(each.namespace, each.name, each.uid, each.node) for each in request.bindings]
        return pb.BindResponse(results=map(result_of, await self._core.bind(self._identify(context), bindings)))

    def behaviours(self) -> dict[str, Callable[..., Any]]:
        """What answers each RPC, by name."""
        return {
            "Create": self.create,
            "Get": self.get,
            "List": self.list,
            "Update": self.update,
            "UpdateStatus": self.update_status,
            "Delete": self.delete,
            "DeleteCollection": self.delete_collection,
            "Apply": self.apply,
            "Transaction": self.transaction,
            "Patch": self.patch,
            "Moment": self.moment,
            "History": self.history,
            "Bind": self.bind,
            "CreateJoinToken": self.create_join_token,
            "ClusterStatus": self.cluster_status,
        }

    def _writer(self, request: ManagedRequest, context: Context) -> Identity:
        """Who asks, and as whose the changes are recorded: what the request says, or the program's name."""
        identity = self._identify(context)
        return structs.replace(identity, manager=request.field_manager or identity.manager or _program(context))

    async def create_join_token(
        self, request: pb.CreateJoinTokenRequest, context: Context
    ) -> pb.CreateJoinTokenResponse:
        """CreateJoinToken. Whoever may let in a replica gets all keys of the cluster with it."""
        asked = on_path("post", f"/timonier/join-tokens/{request.role or 'node'}")
        await self._core.authorize(self._identify(context), asked)
        return await self._tokens.create_token(request)

    async def cluster_status(
        self,
        request: pb.ClusterStatusRequest,
        context: Context,
    ) -> pb.ClusterStatusResponse:
        """ClusterStatus."""
        return await self._status.cluster_status()


def _modern(context: Context, tree: Tree) -> Tree:
    """The object in the API version of today; the caller is told if that is another one."""
    current, warning = retired.modern(tree)
    if warning:
        _warn(context, warning)
    return current


def _warn(context: Context, text: str) -> None:
    told = context.trailing_metadata() or ()
    entry = (rpc.WARNING_KEY, text.encode())
    if entry not in told:
        context.set_trailing_metadata((*told, entry))


def _program(context: Context) -> str:
    """The name of the program that calls: `grpcurl` of the user agent "grpcurl/1.9"; "" without one."""
    agent = next((value for key, value in context.invocation_metadata() or () if key == "user-agent"), "")
    return str(agent).partition("/")[0]


def _how(request: Any, context: Context) -> How:
    return {
        "dry_run": request.dry_run,
        "sending": sending_of(request),
        "remarks": _remarks(context),
        "size": request.ByteSize(),
    }


def _remarks(context: Context) -> Remarks:
    return Remarks(lambda text: _warn(context, text))


def _at(request: pb.GetRequest | pb.ListRequest) -> At:
    return At(request.at_revision if request.HasField("at_revision") else None, request.at_time)


def _fresh(request: pb.GetRequest | pb.ListRequest) -> Freshness:
    stale_seconds = request.stale_seconds if request.HasField("stale_seconds") else None
    return Freshness(stale_seconds, _not_older_than(request))


def _not_older_than(request: pb.GetRequest | pb.ListRequest | pb.MomentRequest) -> int | None:
    return request.not_older_than if request.HasField("not_older_than") else None
