"""A replica and what is too new for it, or no transaction at all: it stops or refuses, it never skips."""

from __future__ import annotations

import pytest

from api import errors
from component import pki
from component.signing import make_key
from controlplane.apiserver.replica_join import ReplicaJoinDesk
from controlplane.commands import (
    COMMAND_VERSION,
    Envelope,
    Key,
    Put,
    RaiseLevel,
    Transaction,
    encode_entry,
    encode_transaction,
)
from controlplane.config import ServerConfig
from controlplane.level import KNOWN_LEVEL, TooNew
from controlplane.raft.protocol import Entry
from controlplane.replica import Replica
from controlplane.store import snapshot
from controlplane.store.state import State
from tests.api_server import NoPeers, make_env, running_core
from tests.single_log import SingleLog

GOOD = encode_transaction(Transaction(b"g" * 16, (Put(Envelope(Key("pods", "d", "a"), "u"), b"{}"),)))
REMEDY = (
    f"the cluster is at level {KNOWN_LEVEL + 1}, this program knows {KNOWN_LEVEL}: "
    "install the version that the other replicas run"
)


def raised(index):
    transaction = encode_transaction(Transaction(index.to_bytes(16, "big"), (RaiseLevel(KNOWN_LEVEL + 1),)))
    return Entry(index, 1, encode_entry([transaction], 1))


async def test_a_snapshot_of_a_higher_level_is_not_gone_on_from(tmp_path):
    state = State()
    state.apply(raised(1))
    snapshot.write(state, tmp_path)
    replica = Replica("r1", SingleLog("r1"), NoPeers(), tmp_path, make_env())
    with pytest.raises(TooNew, match=REMEDY):
        await replica.start()
    await replica.close()
    assert snapshot.load_newest(tmp_path)[0].level == KNOWN_LEVEL + 1, "it is there for the newer program"


async def test_a_replica_ends_when_the_cluster_rises_above_what_it_knows(tmp_path):
    replica = Replica("r1", SingleLog("r1"), NoPeers(), tmp_path, make_env())
    await replica.start()
    with pytest.raises(errors.ApiError):  # Unknown: another replica may know the answer
        await replica.commit((RaiseLevel(KNOWN_LEVEL + 1),), deadline_seconds=0.2)
    with pytest.raises(TooNew, match=REMEDY):
        await replica.wait_failed()
    await replica.close()


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"junk",
        GOOD[:4] + b"i" * 16 + b"\xc1\xc1",
        GOOD[:-1],
        bytes([COMMAND_VERSION + 1]) + GOOD[1:],
        b"\xff" + GOOD[1:],
        b"\x00" + GOOD[1:],
    ],
    ids=["empty", "words", "after the id", "cut", "next version", "version 255", "version 0"],
)
async def test_what_another_replica_forwards_enters_the_log_only_if_every_member_can_read_it(tmp_path, junk):
    log = SingleLog("r1")
    replica = Replica("r1", log, NoPeers(), tmp_path, make_env())
    await replica.start()
    try:
        await replica.read_barrier()
        before = list(log._entries)
        with pytest.raises(errors.Invalid, match="not a transaction"):
            replica.accept(log.status.term, [GOOD, junk])
        await replica.read_barrier()
        assert log._entries == before, "nothing of the batch was taken"
        replica.accept(log.status.term, [GOOD])
        await replica.commit((Put(Envelope(Key("pods", "d", "b"), "v"), b"{}"),))
        assert replica.state.count("pods") == 2
    finally:
        await replica.close()


async def test_a_machine_with_an_older_program_is_not_let_in_as_a_replica(tmp_path):
    async with running_core(tmp_path) as cluster:
        await cluster.replica.commit((RaiseLevel(KNOWN_LEVEL),))
        ca = pki.make_ca("ca", 1.7e9)
        config = ServerConfig(replica="r1", cluster_uid="c1", replicas={"r1": "127.0.0.1"})
        desk = ReplicaJoinDesk(cluster.replica, config, dict, ca, ca, make_key(), bytes, cluster.env)
        pem = pki.make_request("system:replica:r4")[0].decode()
        given = {"token": "a.b", "name": "r4", "host": "127.0.0.1", "request": pem, "raft_request": pem}
        with pytest.raises(
            errors.NotReady, match="this machine's program knows " + str(KNOWN_LEVEL - 1) + ": install the version"
        ):
            await desk.join(**given, level=KNOWN_LEVEL - 1)
        with pytest.raises(errors.Unavailable, match="does not know its cluster yet"):  # a log without members
            await desk.join(**given, level=KNOWN_LEVEL)
