"""What one replica says to another, over real gRPC."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc.aio
import pytest

from api import errors
from api.v1 import raft_pb2, raft_pb2_grpc
from component.rpc import MESSAGE_OPTIONS
from controlplane.apiserver.replica_link import Peers, ReplicaLinkService
from controlplane.commands import Envelope, Key, Put, Transaction, encode_transaction
from controlplane.raft.membership import ChangeNotNow
from controlplane.raft.protocol import NotLeader
from tests.api_server import running_core
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow


class Leader(raft_pb2_grpc.ReplicaLinkServicer):
    """Takes everything in and remembers how much came."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    async def Propose(self, request_iterator, context):  # noqa: N802 - the method of the contract
        async for batch in request_iterator:
            self.taken.append(batch.term)
            yield raft_pb2.ProposeReply(id=batch.id)


class Silent(raft_pb2_grpc.ReplicaLinkServicer):
    """Answers nothing; counts the calls that came."""

    def __init__(self) -> None:
        self.calls = 0

    async def _never(self, *_arguments):
        self.calls += 1
        await asyncio.Event().wait()

    Status = ReadIndex = ChangeMembership = Propose = _never


@asynccontextmanager
async def served(servicer):
    """The calling side of a replica that `servicer` answers for, as r1."""
    server = grpc.aio.server(options=MESSAGE_OPTIONS)
    raft_pb2_grpc.add_ReplicaLinkServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    peers = Peers({"r1": f"127.0.0.1:{port}"}, None)
    try:
        yield peers
    finally:
        await peers.close()
        await server.stop(None)


async def test_large_batches_may_be_on_their_way_at_once():
    leader = Leader()
    async with served(leader) as peers, asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.gather(*(peers.propose("r1", term, [bytes(1 << 20)]) for term in range(1, 6)))
    assert leader.taken == [1, 2, 3, 4, 5]


async def test_junk_from_a_replica_is_refused_and_the_same_stream_goes_on(tmp_path):
    """A byte of another version would end every replica if it came into the log."""
    good = encode_transaction(Transaction(b"g" * 16, (Put(Envelope(Key("pods", "d", "a"), "u"), b"{}"),)))
    async with running_core(tmp_path) as cluster:
        log, state = cluster.log, cluster.replica.state
        service = ReplicaLinkService(cluster.replica, None, None, None, None, None)
        async with served(service) as peers, asyncio.timeout(DEADLINE_SECONDS):
            before = len(log._entries)
            for junk in (b"junk", b"", b"\xff" + good[1:], good[:-1]):
                with pytest.raises(NotLeader):
                    await peers.propose("r1", log.status.term, [good, junk])
            assert len(log._entries) == before
            await peers.propose("r1", log.status.term, [good])
            await cluster.replica.commit((Put(Envelope(Key("pods", "d", "b"), "v"), b"{}"),))
        assert (state.count("pods"), len(log._entries)) == (2, before + 2)


async def test_what_is_asked_of_a_replica_that_leaves_meanwhile_ends_without_an_answer_and_cancels_nobody():
    """A replica asked one for its status when it learned that it is gone; its API process ended at every start."""
    silent = Silent()
    async with served(silent) as peers, asyncio.timeout(DEADLINE_SECONDS):
        asked = [
            asyncio.ensure_future(call)
            for call in (
                peers.status("r1"),
                peers.read_index("r1"),
                peers.change_membership("r1", raft_pb2.LinkChange(remove="r9")),
                peers.propose("r1", 1, [b"x"]),
            )
        ]
        await eventually(lambda: silent.calls == len(asked))
        peers.set_endpoints({})
        answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [answers[0], *map(type, answers[1:])] == [None, NotLeader, ChangeNotNow, errors.Unavailable]
