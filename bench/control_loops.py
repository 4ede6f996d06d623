"""How soon controllers and scheduler act again: from a moment until the pods of a Deployment made right after it are bound.

The nodes are played: each has a session with a replica, as an agent has, that says that the node is ready and counts
what it is sent for done. So what counts is that the Deployment's controller made a ReplicaSet, the ReplicaSet's controller
its pods, and the scheduler bound them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Sequence

import grpc.aio

from api.errors import AlreadyExists, ApiError
from api.v1 import node_pb2, node_pb2_grpc
from bench.deployment import tree_of
from bench.report import until
from component import pki, rpc
from component.rpc_client import RpcClient

NODES, PODS = 3, 3
BOUND_SECONDS = 60.0
HEARTBEAT_SECONDS = 1.0
AGAIN_SECONDS = 0.1
STATUS = {
    "conditions": [{"type": "Ready", "status": "True"}],
    "capacity": {"cpu": "64", "memory": "256Gi", "pods": "10000"},
    "allocatable": {"cpu": "64", "memory": "256Gi", "pods": "10000"},
}


@contextlib.asynccontextmanager
async def playing_nodes(ca: pki.KeyPair, endpoints: Sequence[str]) -> AsyncIterator[None]:
    """Nodes whose sessions move to another replica when theirs is gone."""
    tasks = []
    for number in range(NODES):
        pair = pki.issue(ca, f"system:node:n{number}", time.time(), groups=["system:nodes"])
        tls = rpc.Tls(ca.cert_pem, pair.cert_pem, pair.key_pem)
        tasks.append(asyncio.ensure_future(_play(f"n{number}", tls, endpoints)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pods_bound(client: RpcClient, name: str) -> float:
    """Create a Deployment; the monotonic time when all its pods were seen bound. TimeoutError after BOUND_SECONDS."""

    async def created() -> bool:
        try:
            await client.create(tree_of(name, PODS))
        except AlreadyExists:
            return True  # by an attempt of which nobody knew the outcome
        except ApiError:
            return False
        return True

    await until(created, BOUND_SECONDS, f"Deployment {name} created")
    bound: set[str] = set()
    async with asyncio.timeout(BOUND_SECONDS):
        async with contextlib.aclosing(client.watch("pods", "default", label_selector=f"app={name}")) as batches:
            async for batch in batches:
                pods = (event.object for event in batch if event.object is not None)
                bound |= {pod.name for pod in pods if pod.tree()["spec"].get("nodeName")}
                if len(bound) == PODS:
                    break
    return time.monotonic()


async def _play(node: str, tls: rpc.Tls, endpoints: Sequence[str]) -> None:
    for endpoint in itertools.cycle(endpoints):
        async with rpc.channel(endpoint, tls) as channel:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await _session(node_pb2_grpc.NodeServiceStub(channel), node)
        await asyncio.sleep(AGAIN_SECONDS)


async def _session(stub: node_pb2_grpc.NodeServiceStub, node: str) -> None:
    """Until it ends. AioRpcError tells why, where it was not the replica's end."""
    call = stub.Session()
    labels = json.dumps({"kubernetes.io/hostname": node})
    register = node_pb2.Register(node=node, node_status=json.dumps(STATUS), node_labels=labels)
    await call.write(node_pb2.AgentMessage(register=register))

    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            await call.write(node_pb2.AgentMessage(heartbeat=node_pb2.Heartbeat()))

    beating = asyncio.ensure_future(beat())
    try:
        async for _ in call:
            pass
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        call.cancel()
