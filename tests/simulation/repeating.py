"""The product's own client on the simulated network: what it repeats, and where, is decided by production code.

Requests and answers travel encoded as over gRPC, to the production service of whatever API process is there. It must
not know what is asked.
"""

from __future__ import annotations

import asyncio
import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf import message_factory

from api import errors
from api.v1 import apiserver_pb2 as pb
from component import rpc
from component.env import Env
from component.rpc_client import RpcClient
from component.rpc_failover import Replica, Replicas
from controlplane.admission.request import MASTERS_GROUP, Identity
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.handlers import method_handlers
from controlplane.apiserver.service import ApiService
from controlplane.apiserver.watch_calls import WatchCalls
from tests.simulation.network import Lost, NobodyListens

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

ADMIN = Identity("kubernetes-admin", (MASTERS_GROUP,))
EPOCH_SECONDS = 1_750_000_000.0
TIMEOUT_SECONDS = 6.0
_ANSWERS = {
    method.name: message_factory.GetMessageClass(method.output_type)
    for method in pb.DESCRIPTOR.services_by_name["ApiServer"].methods
}


def handlers(core: ApiCore) -> dict[str, Any]:
    """The production service of one API process, for calls that everybody may make."""
    everybody = SimpleNamespace(identify=lambda _context: ADMIN)
    objects = ApiService(core, None, None, everybody)
    return method_handlers(objects.behaviours() | WatchCalls(core.reads, everybody).behaviours())


class RepeatingClient(RpcClient):
    """The production client at one host. `sendings` counts what was sent, each repetition too."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        rng = cluster.simulator.rng(f"repeating {name}")
        env = Env(
            lambda: cluster.simulator.now + 1000.0,
            lambda: cluster.simulator.now + EPOCH_SECONDS,
            rng,
            lambda: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        )
        self.sendings = 0
        self._at = cluster, name
        addresses = rng.sample(list(cluster.hosts), len(cluster.hosts))
        super().__init__(addresses, None, env, timeout_seconds=TIMEOUT_SECONDS, connect=self._connect)

    def _connect(self, addresses, _tls, env, _explain) -> Replicas:
        return SimReplicas(self, *self._at, addresses, env)


class SimReplicas(Replicas):
    """The production rules of failing over, on simulated connections."""

    def __init__(self, client: RepeatingClient, cluster: Cluster, name: str, addresses, env: Env) -> None:
        self._env = env
        self._explain = None
        self._replicas = [SimReplica(client, cluster, name, address) for address in addresses]
        self._current = 0


class SimReplica(Replica):
    """One replica as a client sees it."""

    def __init__(self, client: RepeatingClient, cluster: Cluster, name: str, address: str) -> None:
        self.address = address
        self.stub = self
        self._client = client
        self._cluster = cluster
        self._name = name
        self._asking = None
        self._connected = False
        self._check = self._call_health

    async def connect(self, timeout_seconds: float) -> bool:
        """Whether there is a connection: a packet goes there and back unless one did since the last failure."""
        if not self._connected:
            try:
                await self._call_health(b"", timeout=timeout_seconds)
            except grpc.aio.AioRpcError:
                return False
        return True

    async def close(self) -> None:
        """Nothing is held."""

    def __getattr__(self, method: str) -> Any:
        if method not in _ANSWERS:
            raise AttributeError(method)

        def call(request: Any, timeout: float | None = None) -> asyncio.Task[Any]:
            self._client.sendings += 1
            content = request.SerializeToString()
            return asyncio.get_running_loop().create_task(self._call(method, content, timeout))

        return call

    async def _call(self, method: str, content: bytes, seconds: float | None) -> Any:
        async def serve(api: Any) -> bytes:
            handler = api.handlers[method]
            return handler.response_serializer(await handler.unary_unary(handler.request_deserializer(content), None))

        return _ANSWERS[method].FromString(await self._ask(serve, seconds))

    async def _call_health(self, _request: bytes, *, timeout: float) -> None:  # noqa: ASYNC109 - as gRPC has it
        async def serve(_api: Any) -> None:
            pass

        await self._ask(serve, timeout)

    async def _ask(self, serve: Any, seconds: float | None) -> Any:
        """Errors as gRPC raises them: with our metadata when the server said so, bare when the connection failed."""
        try:
            async with asyncio.timeout(seconds):
                answer = await self._cluster.rpc.call(self._name, self.address, serve)
        except (NobodyListens, Lost) as error:
            self._connected = False
            raise _failure(grpc.StatusCode.UNAVAILABLE, str(error)) from None
        except TimeoutError:
            raise _failure(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded") from None
        except errors.ApiError as error:
            status = rpc.status_of(error)
            raise _failure(status.code, status.details, status.trailing_metadata) from None
        self._connected = True
        return answer


def _failure(code: grpc.StatusCode, details: str, metadata: Any = ()) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*metadata), details)
