"""A stream whose server dies: whoever reads is told of the connection that broke, in words, over both kinds of links."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc.aio
import pytest

from api.errors import NotReady, Unavailable
from api.v1 import apiserver_pb2, apiserver_pb2_grpc, raft_pb2_grpc
from component.env import system_env
from component.rpc import MESSAGE_OPTIONS
from component.rpc_client import RpcClient
from component.rpc_server import CheckedCalls
from controlplane.apiserver.replica_link import Peers
from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.slow

START = apiserver_pb2.ExecStart(namespace="default", pod="a", command=["sleep"])
OUT = apiserver_pb2.StreamFrame(stdout=b"out")


class Replica(apiserver_pb2_grpc.ApiServerServicer, raft_pb2_grpc.ReplicaLinkServicer):
    """Serves streams that say something and go on; refuses those of pod b."""

    async def OpenNodeStream(self, request_iterator, context):  # noqa: N802 - the method of the contract
        first = await anext(aiter(request_iterator))
        if first.exec.pod == "b":
            raise NotReady("it waits")
        yield OUT
        await asyncio.Event().wait()

    Exec = OpenNodeStream


@asynccontextmanager
async def serving():
    server = grpc.aio.server(interceptors=[CheckedCalls(lambda _method, _context: None)], options=MESSAGE_OPTIONS)
    apiserver_pb2_grpc.add_ApiServerServicer_to_server(Replica(), server)
    raft_pb2_grpc.add_ReplicaLinkServicer_to_server(Replica(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield server, f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def opened(kind, address):
    """How a stream into a pod is opened, and what its loss is told as."""
    if kind == "client":
        async with RpcClient([address], None, system_env()) as client:
            yield client.exec, f"^the connection to {address} was lost$"
        return
    peers = Peers({"r1": address}, None)

    def relayed(start):
        async def frames():
            yield apiserver_pb2.StreamFrame(exec=start)
            await asyncio.Event().wait()

        return peers.open_node_stream("r1", frames())

    try:
        yield relayed, "^the connection to replica r1 was lost: retry$"
    finally:
        await peers.close()


@pytest.mark.parametrize("kind", ["client", "relaying replica"])
async def test_a_server_that_dies_is_told_as_a_lost_connection(kind):
    async with asyncio.timeout(DEADLINE_SECONDS), serving() as (server, address), opened(kind, address) as (call, told):
        frames = call(START)
        assert await anext(frames) == OUT
        await server.stop(0)
        with pytest.raises(Unavailable, match=told):
            await anext(frames)


@pytest.mark.parametrize("kind", ["client", "relaying replica"])
async def test_what_a_server_says_itself_is_told_as_it_is(kind):
    async with asyncio.timeout(DEADLINE_SECONDS), serving() as (_, address), opened(kind, address) as (call, _told):
        with pytest.raises(NotReady, match=r"^it waits$"):
            await anext(call(apiserver_pb2.ExecStart(namespace="default", pod="b", command=["sleep"])))
