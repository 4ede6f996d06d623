"""Two ways to speak to the replicas: each attempt by itself on one address, or through the product's own client."""

from __future__ import annotations

from typing import Any

import grpc.aio

from api import errors
from api.object import Object, Tree, canonical
from api.v1 import apiserver_pb2 as pb
from api.v1 import resource_pb2
from component.client import ObjectList
from component.env import Env
from component.rpc import Tls
from component.rpc_client import RpcClient
from component.rpc_failover import Replica, judge

RESOURCE = "secrets"
ATTEMPT_SECONDS = 4.0


class Pinned:
    """Sends every request once, to one replica: what it answers is the outcome of that one attempt.

    Unavailable means that nothing was done, Unknown that it may have been.
    """

    def __init__(self, address: str, tls: Tls | None) -> None:
        self.address = address
        self._replica = Replica(address, tls)

    async def create(self, tree: Tree) -> Object:
        return _object(await self._once("Create", pb.CreateRequest(object=_proto(tree))))

    async def update(self, tree: Tree) -> Object:
        return _object(await self._once("Update", pb.UpdateRequest(object=_proto(tree))))

    async def delete(self, namespace: str, name: str, uid: str) -> Object:
        request = pb.DeleteRequest(resource=RESOURCE, namespace=namespace, name=name, uid=uid)
        return _object(await self._once("Delete", request))

    async def get(self, namespace: str, name: str) -> Object:
        return _object(await self._once("Get", pb.GetRequest(resource=RESOURCE, namespace=namespace, name=name)))

    async def list(self, namespace: str) -> ObjectList:
        response = await self._once("List", pb.ListRequest(resource=RESOURCE, namespace=namespace))
        assert not response.continue_token, "the workload's objects fit into one page"
        return ObjectList(tuple(map(_object, response.items)), response.resource_version)

    async def close(self) -> None:
        await self._replica.close()

    async def _once(self, method: str, request: Any) -> Any:
        if not await self._replica.connect(1.0):
            raise errors.Unavailable(f"{self.address} accepts no connection")
        try:
            return await getattr(self._replica.stub, method)(request, timeout=ATTEMPT_SECONDS)
        except grpc.aio.AioRpcError as failure:
            verdict, error = judge(failure)
        if verdict == "doubtful":
            raise errors.Unknown(str(error))
        raise error


class Roaming:
    """The product's client: it repeats attempts by itself, on any replica."""

    address = "any"

    def __init__(self, endpoints: list[str], tls: Tls | None, env: Env, timeout_seconds: float) -> None:
        self._client = RpcClient(endpoints, tls, env, timeout_seconds=timeout_seconds)

    async def create(self, tree: Tree) -> Object:
        return await self._client.create(tree)

    async def update(self, tree: Tree) -> Object:
        return await self._client.update(tree)

    async def delete(self, namespace: str, name: str, uid: str) -> Object:
        try:
            return await self._client.delete(RESOURCE, namespace, name, uid=uid)
        except (errors.NotFound, errors.Conflict) as error:  # may answer the repetition of an attempt that worked
            raise errors.Unknown(str(error)) from None

    async def get(self, namespace: str, name: str) -> Object:
        return await self._client.get(RESOURCE, namespace, name)

    async def list(self, namespace: str) -> ObjectList:
        return await self._client.list(RESOURCE, namespace)

    async def close(self) -> None:
        await self._client.close()


Port = Pinned | Roaming


def _proto(tree: Tree) -> resource_pb2.Resource:
    return resource_pb2.Resource(json=canonical(tree).decode())


def _object(proto: resource_pb2.Resource) -> Object:
    return Object(RESOURCE, proto.namespace, proto.name, proto.uid, proto.resource_version, proto.json.encode())
