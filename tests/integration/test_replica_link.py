"""What one replica says to another, over real gRPC."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest

from api.v1 import raft_pb2, raft_pb2_grpc
from component.rpc import MESSAGE_OPTIONS
from controlplane.apiserver.replica_link import Peers

pytestmark = pytest.mark.slow


class Leader(raft_pb2_grpc.ReplicaLinkServicer):
    """Takes everything in and remembers how much came."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    async def Propose(self, request_iterator, context):  # noqa: N802 - the method of the contract
        async for batch in request_iterator:
            self.taken.append(batch.term)
            yield raft_pb2.ProposeReply(id=batch.id)


async def test_large_batches_may_be_on_their_way_at_once():
    leader = Leader()
    server = grpc.aio.server(options=MESSAGE_OPTIONS)
    raft_pb2_grpc.add_ReplicaLinkServicer_to_server(leader, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    peers = Peers({"r1": f"127.0.0.1:{port}"}, None)
    try:
        async with asyncio.timeout(10):
            await asyncio.gather(*(peers.propose("r1", term, [bytes(1 << 20)]) for term in range(1, 6)))
        assert leader.taken == [1, 2, 3, 4, 5]
    finally:
        await peers.close()
        await server.stop(None)
