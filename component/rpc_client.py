"""The API over gRPC: `ApiClient` that fails over between replicas by itself, and the calls only people make.

Imported by the command line, so it must stay light (see `component.rpc`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Literal

import grpc
import grpc.aio

from api import errors
from api.object import Object, Tree
from api.v1 import apiserver_pb2 as pb
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
from component.rpc_cluster import ClusterCalls
from component.rpc_failover import Patience, judge
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

MANAGER = "tim"
"""As whose the changes are recorded that say nothing else (metadata.managedFields)."""

SETTLED_SECONDS = 1.0
"""A watch that lived so long was well; when it breaks, the whole time-out is there again to find another replica."""


class RpcClient(ClusterCalls):
    """Implements `component.client.ApiClient`; how a call finds its replica is `Calls`' business."""

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
        subresource: Literal["", "status", "ephemeralcontainers"] = "",
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

    async def attach(
        self, start: pb.AttachStart, frames: AsyncIterator[pb.StreamFrame] | None = None
    ) -> AsyncGenerator[pb.StreamFrame]:
        """Join what a container runs: sends `frames` (stdin, stdin_closed, resize), yields stdout and stderr, at last ended.

        Invalid (the container has no such stream), NotFound, NotReady, Unavailable.
        """
        async with aclosing(self._stream("Attach", _sent(pb.StreamFrame(attach=start), frames))) as received:
            async for frame in received:
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


async def _sent(first: pb.StreamFrame, rest: AsyncIterator[pb.StreamFrame] | None) -> AsyncIterator[pb.StreamFrame]:
    yield first
    if rest is not None:
        async for frame in rest:
            yield frame
