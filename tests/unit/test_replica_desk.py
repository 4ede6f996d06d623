"""Asking about the replicas, and for changes, at one that others know more than."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from api import errors
from api.v1 import apiserver_pb2 as pb
from controlplane.apiserver import replica_desk
from controlplane.apiserver.replica_desk import ReplicaDesk
from controlplane.apiserver.status import StatusSource
from controlplane.raft.membership import ChangeNotNow, Member, Membership
from controlplane.raft.protocol import RaftStatus, Vitals

MEMBERSHIP = Membership((Member("r1"), Member("r2"), Member("r3")))


class Peers:
    def __init__(self, leader=""):
        self.leader = leader

    async def status(self, replica):
        return pb.ReplicaStatus(id=replica, role="follower", leader=self.leader)

    async def change_membership(self, _leader, _change):
        raise AssertionError("there is no leader to ask")


@pytest.mark.parametrize("state", [{"cut_off": True}, {"connected": False}], ids=["cut off", "without Raft"])
async def test_a_replica_without_a_majority_sends_who_asks_for_a_change_on_to_others(state):
    """It may be out itself without knowing: those who were asked first told that the removal had not happened."""
    status = RaftStatus("follower", 3, "", 9, 9, membership=MEMBERSHIP, **state)
    desk = ReplicaDesk("r2", SimpleNamespace(status=status), None, Peers())
    async with asyncio.timeout(5):
        with pytest.raises(errors.Unavailable, match="is cut off"):
            await desk.remove(pb.RemoveReplicaRequest(replica="r2"), None)
        with pytest.raises(errors.Unavailable, match="is cut off"):
            await desk.transfer(pb.TransferLeadershipRequest(), None)


async def test_a_removal_that_does_not_come_about_says_what_it_waited_for(monkeypatch):
    class Waiting(Peers):
        async def change_membership(self, _leader, _change):
            raise ChangeNotNow("r3 did not answer the leader yet: retry")

    monkeypatch.setattr(replica_desk, "DEADLINE_SECONDS", 0.05)
    status = RaftStatus("follower", 3, "r1", 9, 9, membership=MEMBERSHIP)
    desk = ReplicaDesk("r2", SimpleNamespace(status=status), None, Waiting())
    with pytest.raises(errors.NotReady, match="r2 is not out yet, as r3 did not answer the leader yet: look at"):
        await desk.remove(pb.RemoveReplicaRequest(replica="r2"), None)
    with pytest.raises(errors.NotReady, match="no other replica leads, as r3 did not answer the leader yet: are"):
        await desk.transfer(pb.TransferLeadershipRequest(), None)


@pytest.mark.parametrize(
    ("cut_off", "leader", "sent_on"), [(True, "r3", True), (True, "", False), (False, "r3", False)]
)
async def test_who_asks_a_cut_off_replica_for_the_replicas_is_sent_on_to_those_who_know_a_leader(
    cut_off, leader, sent_on
):
    """It may be out; without the others it says what it knows, for nobody knows more."""
    status = RaftStatus("follower", 3, "", 9, 9, cut_off=cut_off, membership=MEMBERSHIP)
    state = SimpleNamespace(applied_index=9, revision=9, level=1, incarnation=0)
    members = SimpleNamespace(
        own="r2",
        hosts={"r1": "h1", "r2": "h2", "r3": "h3"},
        endpoints={},
        voters=frozenset(MEMBERSHIP.voters),
        grpc_port=7443,
    )
    raft = SimpleNamespace(vitals=Vitals())
    source = StatusSource(SimpleNamespace(status=status, state=state), members, raft, Peers(leader), "c", "1", 1)
    if sent_on:
        with pytest.raises(errors.Unavailable, match="others know a leader: ask them"):
            await source.cluster_status()
    else:
        assert [each.id for each in (await source.cluster_status()).replicas] == ["r1", "r2", "r3"]
