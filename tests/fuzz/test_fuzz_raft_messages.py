"""Members of a cluster get messages of other members that are well formed and wrong.

A peer with a valid certificate may be broken. Whatever it says, a replica answers, ends the session (FrameError) or
ends itself with a reason (LogFailure and its like), and never changes what was committed.
"""

from __future__ import annotations

import random

import pytest

from api.v1 import raft_pb2
from controlplane.raft.append_rules import ConflictBelowCommit
from controlplane.raft.frames import FrameError, FrameReader, encode
from controlplane.raft.log import LogFailure, SafetyViolation
from tests.fuzz.messages import MessageFuzzer
from tests.simulation.raft_cluster import Cluster, Member

pytestmark = pytest.mark.slow

SEEDS = 60
MESSAGES = 40
KINDS = [field.name for field in raft_pb2.RaftMessage.DESCRIPTOR.oneofs[0].fields]


def committed(member: Member) -> dict[int, tuple[bytes, int]]:
    first = member.log.first_held_index
    return {
        index: member.log[index - member.log.first_index][::2]
        for index in range(max(1, first), member.node.status().commit_index + 1)
    }


def wrong_message(fuzzer: MessageFuzzer, rng: random.Random, member: Member) -> raft_pb2.RaftMessage:
    status = member.node.status()
    message = raft_pb2.RaftMessage(
        term=rng.choice((status.term, status.term, status.term, status.term + 1, 2**64 - 1, 2**32, 0))
    )
    kind = rng.choice(KINDS)
    getattr(message, kind).SetInParent()
    fuzzer.fill(getattr(message, kind))
    if kind == "append_entries" and rng.random() < 0.7:  # entries that follow each other get further
        for index, entry in enumerate(message.append_entries.entries, start=message.append_entries.prev_index + 1):
            entry.index = min(index, 2**64 - 1)
    return (fuzzer.mutated(message) if rng.random() < 0.3 else None) or message


@pytest.mark.parametrize("seed", range(SEEDS))
def test_wrong_messages_of_a_peer_change_nothing_that_is_committed(tmp_path, seed):
    rng = random.Random(seed)
    cluster = Cluster(tmp_path, seed=seed)
    try:
        leader = cluster.leader()
        for number in range(8):
            cluster.put(b"entry %d" % number, leader)
        cluster.run(0.1)
        target = rng.choice(list(cluster.members.values()))
        source = rng.choice([name for name in cluster.members if name != target.name])
        status = target.node.status()
        fuzzer = MessageFuzzer(rng, [status.term, status.last_index, status.commit_index], ["r1", "r2", "r3"])
        for _ in range(MESSAGES):
            before = committed(target)
            message = wrong_message(fuzzer, rng, target)
            try:
                cluster.deliver(source, target.name, message)
                target.node.step(0)
            except FrameError:
                continue  # the session ends
            except (ConflictBelowCommit, LogFailure, SafetyViolation):
                break  # the process ends and says why
            finally:
                after = committed(target)
                assert all(after.get(index, entry) == entry for index, entry in before.items()), message
                assert target.log.durable_index <= target.log.last_index
    finally:
        cluster.close()


def test_any_bytes_are_frames_or_refused_and_never_held_beyond_one_frame():
    rng = random.Random(7)
    good = [encode(raft_pb2.RaftMessage(term=number)) for number in range(5)]
    for _ in range(2000):
        stream = bytearray(b"".join(rng.choices(good, k=3)))
        for _ in range(rng.choice((0, 1, 3))):
            stream[rng.randrange(len(stream))] = rng.randrange(256)
        reader, bodies = FrameReader(), 0
        try:
            while stream:
                size = rng.choice((1, 3, 50))
                bodies += len(list(reader.feed(bytes(stream[:size]))))
                del stream[:size]
        except FrameError:
            continue
        assert bodies <= 3 * len(good[0]) // 4
