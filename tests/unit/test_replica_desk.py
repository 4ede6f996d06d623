"""Asking for changes of the membership at a replica that cannot know how they end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from api import errors
from api.v1 import apiserver_pb2 as pb
from controlplane.apiserver.replica_desk import ReplicaDesk
from controlplane.raft.membership import Member, Membership
from controlplane.raft.protocol import RaftStatus

MEMBERSHIP = Membership((Member("r1"), Member("r2"), Member("r3")))


class Peers:
    async def change_membership(self, _leader, _change):
        raise AssertionError("there is no leader to ask")


@pytest.mark.parametrize("state", [{"cut_off": True}, {"connected": False}], ids=["cut off", "without Raft"])
async def test_a_replica_without_a_majority_sends_who_asks_for_a_change_on_to_others(state):
    """It may be out itself without knowing: those who were asked first told that the removal had not happened."""
    status = RaftStatus("follower", 3, "", 9, 9, membership=MEMBERSHIP, **state)
    desk = ReplicaDesk("r2", SimpleNamespace(status=status), None, Peers())
    async with asyncio.timeout(5):
        with pytest.raises(errors.Unavailable, match="reaches no majority"):
            await desk.remove(pb.RemoveReplicaRequest(replica="r2"), None)
        with pytest.raises(errors.Unavailable, match="reaches no majority"):
            await desk.transfer(pb.TransferLeadershipRequest(), None)
