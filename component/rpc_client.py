"""The API over gRPC: `ApiClient` that fails over between replicas by itself, and the calls only people make.

Imported by the command line, so it must stay light (see `component.rpc`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal, Self

import grpc
import grpc.aio

from api import errors
from api.object import Object, Tree
from api.v1 import apiserver_pb2 as pb
from api.v1 import resource_pb2
from component.client import (
    ApplyOutcome,
    Binding,
    Collection,
    ObjectList,
    Operation,
    OperationResult,
    PatchType,
    Propagation,
    TransactionResult,
    WatchEvent,
)
from component.env import Env
from component.rpc import Tls, error_of
from component.rpc_failover import Explain, Patience, Repeat, Replicas, Warn, judge
from component.rpc_messages import (
    OUTCOMES,
    PATCH_TYPES,
    PROPAGATIONS,
    collection_message,
    deleted_of,
    message_of,
    object_of,
    operation_message,
    operation_result_of,
    stored_of,
)
from component.rpc_watch import watch_once

TIMEOUT_SECONDS = 30.0

MANAGER = "tim"
"""As whose the changes are recorded that say nothing else (metadata.managedFields)."""

SINCE_SECONDS = 5.0
"""A revision known for longer is asked for anew before a write: replicas remember what was done for some time only."""

Connect = Callable[[Sequence[str], Tls | None, Env, Explain | None], Replicas]
"""How the replicas at some addresses are reached."""

SETTLED_SECONDS = 1.0
"""A watch that lived so long was well; when it breaks, the whole time-out is there again to find another replica."""


class RpcClient:
    """Implements `component.client.ApiClient` on `endpoints` ("host:port" of every replica known).

    Each call has `timeout_seconds` altogether and moves to the next replica when one cannot serve. A write says which
    one it is, so that it is done once, however often and late it arrives; Unknown is raised when no replica could tell.
    What is no write of objects (leadership, members) is not sent again: when its connection breaks, Unknown. With `explain` errors tell
    why no replica can be reached; `warn` is told what the API warns of.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        tls: Tls | None,
        env: Env,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        explain: Explain | None = None,
        warn: Warn | None = None,
        connect: Connect = Replicas,
    ) -> None:
        self._env = env
        self._timeout_seconds = timeout_seconds
        self._replicas = connect(endpoints, tls, env, explain)
        self._replicas.warn = warn
        self._revision = 0  # the newest that a write made or was told
        self._revision_time = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End watches and streams and disconnect."""
        await self._replicas.close()

    async def create(self, tree: Tree, *, dry_run: bool = False) -> Object:
        """Store a new object. The uid is chosen here, so that a repeated attempt is recognised as the same one."""
        metadata = tree.get("metadata") or {}
        if isinstance(metadata, dict) and not metadata.get("uid"):
            tree = {**tree, "metadata": {**metadata, "uid": self._env.new_uid()}}
        return stored_of(await self._write("Create", pb.CreateRequest(object=message_of(tree), dry_run=dry_run)))

    async def get(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        at_revision: int | None = None,
        stale_seconds: float | None = None,
        not_older_than: int | None = None,
    ) -> Object:
        """Return one object, linearizably; or as it was at a revision. NotFound, Expired.

        With `stale_seconds` any replica may answer that knows everything acknowledged up to so long ago, with
        `not_older_than` any that has reached this revision; neither needs a leader.
        """
        request = pb.GetRequest(
            resource=resource,
            namespace=namespace,
            name=name,
            at_revision=at_revision,
            stale_seconds=stale_seconds,
            not_older_than=not_older_than,
        )
        return object_of(resource, await self._read("Get", request))

    async def list(
        self,
        resource: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        at_revision: int | None = None,
        stale_seconds: float | None = None,
        not_older_than: int | None = None,
    ) -> ObjectList:
        """Return all matching objects at one revision; `limit` 0 follows the pages, from the start if one expired.

        `stale_seconds` and `not_older_than` as in `get`.
        """
        request = pb.ListRequest(
            resource=resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            continue_token=continue_token,
            at_revision=at_revision,
            stale_seconds=stale_seconds,
            not_older_than=not_older_than,
        )
        if limit:
            return await self._page(request)
        try:
            return await self._all_pages(request)
        except errors.Expired:
            if continue_token or at_revision is not None:
                raise
            return await self._all_pages(request)

    async def update(self, tree: Tree, *, dry_run: bool = False) -> Object:
        """Replace all but the status. Conflict when metadata.resourceVersion or uid is not the stored one."""
        return await self._update("Update", tree, dry_run=dry_run)

    async def update_status(self, tree: Tree) -> Object:
        """Replace the status only. Conflict, NotFound."""
        return await self._update("UpdateStatus", tree, dry_run=False)

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        revision: int = 0,
        grace_seconds: int | None = None,
        propagation: Propagation = "",
        dry_run: bool = False,
    ) -> Object:
        """Mark for deletion or delete; returns the object as it is now, or was last. NotFound, Conflict."""
        request = pb.DeleteRequest(
            resource=resource,
            namespace=namespace,
            name=name,
            uid=uid,
            resource_version=revision,
            grace_seconds=grace_seconds,
            propagation=PROPAGATIONS[propagation],
            dry_run=dry_run,
        )
        return object_of(resource, await self._write("Delete", request))

    async def delete_collection(
        self, collection: Collection, *, dry_run: bool = False
    ) -> AsyncGenerator[Sequence[OperationResult]]:
        """Delete what a collection chooses, a page at a time; see `component.client.ApiClient`."""
        request = collection_message(collection, dry_run=dry_run)
        while True:
            response = await self._call("DeleteCollection", request, "safe")
            yield [deleted_of(collection.resource, result) for result in response.results]
            request.continue_token = response.continue_token
            if not response.continue_token:
                return

    async def apply(self, tree: Tree, *, dry_run: bool = False) -> tuple[Object, ApplyOutcome]:
        """Create, or merge three ways with what was last applied. Invalid."""
        request = pb.ApplyRequest(object=message_of(tree), dry_run=dry_run, field_manager=MANAGER)
        response = await self._write("Apply", request)
        return stored_of(response.object), OUTCOMES[response.outcome]

    async def transaction(self, operations: Sequence[Operation], *, dry_run: bool = False) -> TransactionResult:
        """Do all of it at one range of revisions, or nothing; see the result. TooLarge, Conflict."""
        request = pb.TransactionRequest(
            operations=map(operation_message, operations), dry_run=dry_run, field_manager=MANAGER
        )
        response = await self._write("Transaction", request)
        return TransactionResult(
            response.committed, tuple(map(operation_result_of, response.results)), response.resource_version
        )

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        patch_type: PatchType,
        patch: bytes,
        *,
        subresource: Literal["", "status"] = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Change the stored object as `patch` (JSON) says. NotFound, Invalid, Conflict."""
        request = pb.PatchRequest(
            resource=resource,
            namespace=namespace,
            name=name,
            type=PATCH_TYPES[patch_type],
            patch=patch.decode(),
            subresource=subresource,
            field_manager=field_manager or MANAGER,
            force=force,
            dry_run=dry_run,
        )
        return object_of(resource, await self._write("Patch", request))

    async def bind(self, bindings: Sequence[Binding]) -> Sequence[errors.ApiError | None]:
        """Assign pods to nodes; one answer per binding, None for a pod that was bound."""
        wire = [pb.Binding(namespace=b.namespace, name=b.name, uid=b.uid, node=b.node) for b in bindings]
        response = await self._call("Bind", pb.BindRequest(bindings=wire), "never")
        return [
            errors.ERRORS.get(result.reason, errors.ApiError)(result.message) if result.reason else None
            for result in response.results
        ]

    async def watch(
        self,
        resource: str,
        namespace: str = "",
        *,
        revision: int | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncGenerator[Sequence[WatchEvent]]:
        """Yield batches of changes after `revision`, oldest first, across lost connections: none missing, none twice.

        With None the objects there are come as one batch of ADDED that ends with a BOOKMARK. Raises Expired when
        no replica's history goes back to the revision, Unavailable when none could be reached for the client's time-out.
        """
        request = pb.WatchRequest(
            resource=resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            resource_version=revision,
        )
        patience = Patience(self._env, self._timeout_seconds)
        last: errors.ApiError | None = None
        expired = 0  # replicas, one after the other, whose history does not go back so far
        while True:
            replica = await self._replicas.connected(patience, last)
            connected_time = self._env.monotonic()
            try:
                async with aclosing(watch_once(replica, request)) as batches:
                    async for batch in batches:
                        expired = 0
                        request.resource_version = batch[-1].revision
                        yield batch
            except grpc.aio.AioRpcError as failure:
                verdict, last = judge(failure)
                expired += isinstance(last, errors.Expired)
                elsewhere = isinstance(last, errors.Expired) and expired < len(self._replicas)
                if verdict == "final" and not elsewhere:
                    raise last from None
            self._replicas.leave(replica)
            if self._env.monotonic() - connected_time > SETTLED_SECONDS:
                patience.restart()
            if not patience.remaining_seconds:
                raise last or errors.Unavailable("the watch was closed by every replica")
            await patience.pause()

    async def logs(self, request: pb.LogsRequest) -> AsyncGenerator[bytes]:
        """Yield a container's log as it is written. NotFound, NotReady (not started), Unavailable (its node)."""
        async with aclosing(self._stream("Logs", request)) as responses:
            async for response in responses:
                yield response.data

    async def exec(
        self, start: pb.ExecStart, frames: AsyncIterator[pb.StreamFrame] | None = None
    ) -> AsyncGenerator[pb.StreamFrame]:
        """Run a command in a container: sends `frames` (stdin, stdin_closed, resize), yields stdout, stderr, exit_code.

        NotFound, NotReady, Unavailable as Logs; a frame of type error is raised as the error it names.
        """
        async with aclosing(self._stream("Exec", _sent(pb.StreamFrame(exec=start), frames))) as received:
            async for frame in received:
                if frame.WhichOneof("frame") == "error":
                    raise errors.ERRORS.get(frame.error.reason, errors.ApiError)(frame.error.message)
                yield frame

    async def forward(
        self, start: pb.ForwardStart, frames: AsyncIterator[pb.StreamFrame]
    ) -> AsyncGenerator[pb.StreamFrame]:
        """Carry one connection to a port of a pod: sends `frames` (stdin, stdin_closed), yields stdout, stdout_closed.

        It is over with the last frame. NotFound, NotReady, Unavailable (nothing listens, or the node is out of reach).
        """
        async with aclosing(self._stream("PortForward", _sent(pb.StreamFrame(forward=start), frames))) as received:
            async for frame in received:
                yield frame

    async def moment(
        self, *, revision: int | None = None, time: str = "", not_older_than: int | None = None
    ) -> pb.MomentResponse:
        """What a revision, a time (RFC 3339) or now stands for. Expired, Invalid for what has not come yet.

        Now is told by any replica that has reached `not_older_than`, without its asking a leader.
        """
        request = pb.MomentRequest(revision=revision, time=time, not_older_than=not_older_than)
        response: pb.MomentResponse = await self._read("Moment", request)
        return response

    async def history(self, resource: str, namespace: str, name: str, *, limit: int = 0) -> pb.HistoryResponse:
        """Return the latest changes of an object, oldest first. NotFound.

        Where they do not go back to its creation, every replica is asked, and the one with the longest history counts.
        """
        request = pb.HistoryRequest(resource=resource, namespace=namespace, name=name, limit=limit)
        best: pb.HistoryResponse | None = None
        missing: errors.NotFound | None = None
        for _ in range(len(self._replicas)):
            try:
                found: pb.HistoryResponse = await self._call("History", request, "read")
            except errors.NotFound as error:
                missing = error
            else:
                if best is None or found.oldest_revision < best.oldest_revision:
                    best = found
                if not found.complete or (found.changes and found.changes[0].type == resource_pb2.ADDED):
                    break
            self._replicas.turn()
        if best is None:
            assert missing is not None, "there is a replica"
            raise missing
        return best

    async def cluster_status(self) -> pb.ClusterStatusResponse:
        """Who answers, and how the replicas are. Works without a quorum."""
        response: pb.ClusterStatusResponse = await self._call("ClusterStatus", pb.ClusterStatusRequest(), "read")
        return response

    async def create_join_token(self, role: str, *, name: str = "", ttl_seconds: int = 0) -> pb.CreateJoinTokenResponse:
        """Make a single-use token for one node ("node"). A repeated attempt may leave an unused token, which expires."""
        request = pb.CreateJoinTokenRequest(role=role, name=name, ttl_seconds=ttl_seconds)
        response: pb.CreateJoinTokenResponse = await self._call("CreateJoinToken", request, "safe")
        return response

    async def create_token(
        self,
        namespace: str,
        service_account: str,
        *,
        audiences: Sequence[str] = (),
        expiration_seconds: int = 0,
        pod: str = "",
        uid: str = "",
    ) -> pb.CreateTokenResponse:
        """Make a token for a service account; with `pod` it is good only while that pod exists. NotFound, Conflict."""
        bound = pb.BoundObject(kind="Pod", api_version="v1", name=pod, uid=uid) if pod else None
        request = pb.CreateTokenRequest(
            namespace=namespace,
            service_account=service_account,
            audiences=audiences,
            expiration_seconds=expiration_seconds,
            bound=bound,
        )
        response: pb.CreateTokenResponse = await self._call("CreateToken", request, "safe")
        return response

    async def backup(self) -> AsyncGenerator[bytes]:
        """Yield the pieces of a backup file. Unavailable without a quorum or when the connection breaks: start anew."""
        async with aclosing(self._stream("Backup", pb.BackupRequest())) as chunks:
            async for chunk in chunks:
                yield chunk.data

    async def remove_replica(self, replica: str) -> None:
        """Take a replica out; returns once that is committed. NotFound, NotReady."""
        await self._call("RemoveReplica", pb.RemoveReplicaRequest(replica=replica), "never")

    async def transfer_leadership(self, to: str = "") -> str:
        """Let another replica lead and return its id. NotFound, NotReady."""
        request = pb.TransferLeadershipRequest(to=to)
        response: pb.TransferLeadershipResponse = await self._call("TransferLeadership", request, "never")
        return response.leader

    async def _call(self, method: str, request: Any, repeat: Repeat) -> Any:
        return await self._replicas.call(method, request, self._timeout_seconds, repeat)

    async def _write(self, method: str, request: Any) -> Any:
        """A write of objects, done once."""
        if request.dry_run:
            return await self._call(method, request, "safe")
        if self._env.monotonic() - self._revision_time > SINCE_SECONDS or not self._revision:
            seen = await self.moment(not_older_than=0)
            if not seen.revision:  # an empty cluster, or a replica that knows nothing yet
                seen = await self.moment()
            self._revision, self._revision_time = seen.revision, self._env.monotonic()
        request.sending.id = self._env.rng.randbytes(16)
        request.sending.since = self._revision
        response = await self._call(method, request, "write")
        revision = response.object.resource_version if method == "Apply" else response.resource_version
        if revision > self._revision:
            self._revision, self._revision_time = revision, self._env.monotonic()
        return response

    async def _read(self, method: str, request: pb.GetRequest | pb.ListRequest | pb.MomentRequest) -> Any:
        """A read; one of a revision goes to every replica until the history of one goes back, or reaches, far enough."""
        repeat: Repeat = "read"
        if isinstance(request, pb.MomentRequest):
            everywhere = True
        else:
            everywhere = request.HasField("at_revision") or request.HasField("not_older_than")
            repeat = "once" if request.HasField("stale_seconds") else "read"
        for _ in range(len(self._replicas) - 1 if everywhere else 0):
            try:
                return await self._call(method, request, repeat)
            except errors.Expired:
                self._replicas.turn()
        return await self._call(method, request, repeat)

    async def _update(self, method: str, tree: Tree, *, dry_run: bool) -> Object:
        request = pb.UpdateRequest(object=message_of(tree), dry_run=dry_run, field_manager=MANAGER)
        return stored_of(await self._write(method, request))

    async def _page(self, request: pb.ListRequest) -> ObjectList:
        response = await self._read("List", request)
        items = tuple(object_of(request.resource, item) for item in response.items)
        return ObjectList(items, response.resource_version, response.continue_token)

    async def _all_pages(self, request: pb.ListRequest) -> ObjectList:
        page = await self._page(request)
        items = list(page.items)
        while page.continue_token:
            following = pb.ListRequest()
            following.CopyFrom(request)
            following.continue_token = page.continue_token
            page = await self._page(following)
            items += page.items
        return ObjectList(tuple(items), page.revision)

    async def _stream(self, method: str, request: Any) -> AsyncGenerator[Any]:
        """One streaming call on one replica: what a container prints cannot be asked for twice."""
        replica = await self._replicas.connected(Patience(self._env, self._timeout_seconds))
        call = getattr(replica.stub, method)(request)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from None
        finally:
            call.cancel()


async def _sent(first: pb.StreamFrame, rest: AsyncIterator[pb.StreamFrame] | None) -> AsyncIterator[pb.StreamFrame]:
    yield first
    if rest is not None:
        async for frame in rest:
            yield frame
