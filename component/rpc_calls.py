"""How one call reaches a replica: which one, how often it is sent, and what a write says of itself so that it is done once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Self

import grpc
import grpc.aio

from api import errors
from api.v1 import apiserver_pb2 as pb
from component.env import Env
from component.rpc import Tls, answered, error_of
from component.rpc_failover import Explain, Patience, Repeat, Replicas, Warn

TIMEOUT_SECONDS = 30.0

SINCE_SECONDS = 5.0
"""A revision known for longer is asked for anew before a write: replicas remember what was done for some time only."""

Connect = Callable[[Sequence[str], Tls | None, Env, Explain | None], Replicas]
"""How the replicas at some addresses are reached."""


class Calls:
    """Calls to the replicas at `endpoints` ("host:port" of every one that is known).

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

    async def moment(
        self, *, revision: int | None = None, time: str = "", not_older_than: int | None = None
    ) -> pb.MomentResponse:
        """What a revision, a time (RFC 3339) or now stands for. Expired, Invalid for what has not come yet.

        Now is told by any replica that has reached `not_older_than`, without its asking a leader.
        """
        request = pb.MomentRequest(revision=revision, time=time, not_older_than=not_older_than)
        response: pb.MomentResponse = await self._read("Moment", request)
        return response

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

    async def _stream(self, method: str, request: Any) -> AsyncGenerator[Any]:
        """One streaming call on one replica: what a container prints cannot be asked for twice."""
        replica = await self._replicas.connected(Patience(self._env, self._timeout_seconds))
        call = getattr(replica.stub, method)(request)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as failure:
            error = error_of(failure)
            if isinstance(error, errors.Unavailable) and not answered(failure):
                raise errors.Unavailable(f"the connection to {replica.address} was lost") from None
            raise error from None
        finally:
            call.cancel()
