"""Whom a Raft process lets in, and what it says of itself: membership applied to connections.

A replica that is behind must let in members it has not heard of yet, and nobody may let in one that was removed or
that the cluster left behind when it was recovered. Pure; it must not know sockets or certificates.
"""

from __future__ import annotations

from collections.abc import Mapping

from api.v1 import raft_pb2
from controlplane.raft.membership import Member, Membership


class Superseded(Exception):
    """The cluster goes on in a later incarnation without this replica: the process must end and never take part."""

    def __init__(self, peer: str, incarnation: int) -> None:
        super().__init__(
            f"replica {peer} is in incarnation {incarnation} of this cluster, which was recovered without this replica: "
            "what is here is history; `tim reset` this machine and join it anew as a replica"
        )


class Door:
    """What one replica knows of the cluster. `first` is the membership of its files."""

    def __init__(self, replica: str, cluster_uid: str, first: Membership) -> None:
        self._replica = replica
        self._cluster_uid = cluster_uid
        self._first = first
        self._own = first.member(replica) or Member(replica, voter=False)
        self._latest = first
        self._committed = first

    def set_membership(self, latest: Membership, committed: Membership) -> None:
        """The newest membership in the log, and the newest that is committed as far as this replica knows."""
        self._latest = latest
        self._committed = committed

    @property
    def peers(self) -> Mapping[str, str]:
        """Addresses of the replicas to have sessions with, by id.

        A replica that has no vote (yet) also keeps to those of its files: the memberships in the log that it is
        reading may be long past.
        """
        known = {each.replica: each.address for each in self._latest.members}
        if not self._latest.vote_of(self._own):
            known = {each.replica: each.address for each in self._first.members} | known
        known.pop(self._replica, None)
        return known

    @property
    def welcome(self) -> frozenset[tuple[str, str]]:
        """Id and uid of whom this replica has sessions with, by what it knows itself.

        Also who left by a change that is not committed: it may lead, and undo the change. Not when somebody else has
        its id by now, as whose its votes and acknowledgements would count.
        """
        known = {each.replica for each in self._latest.members}
        leaving = [each for each in self._committed.members if each.replica not in known]
        joined = [] if self._latest.vote_of(self._own) else self._first.members
        return frozenset((each.replica, each.uid) for each in (*self._latest.members, *leaving, *joined))

    def hello(self) -> raft_pb2.Hello:
        """Who this replica is and how new its membership."""
        incarnation, index = self._latest.age
        return raft_pb2.Hello(
            replica=self._replica,
            cluster_uid=self._cluster_uid,
            member_uid=self._own.uid,
            incarnation=incarnation,
            membership_index=index,
        )

    def objection(self, hello: raft_pb2.Hello) -> str:
        """Why the sender of a hello is not let in; "" for one who is. Raises Superseded."""
        if hello.cluster_uid != self._cluster_uid:
            return f"belongs to another cluster: {hello.cluster_uid!r}"
        self.check_incarnation(hello.replica, hello.incarnation)
        if hello.incarnation < self._latest.incarnation:
            return f"is of incarnation {hello.incarnation}, the cluster is in {self._latest.incarnation}"
        if (hello.incarnation, hello.membership_index) > self._latest.age:
            return ""
        if (hello.replica, hello.member_uid) in self.welcome:
            return ""
        return f"is no member of this cluster: {hello.replica!r}"

    def check_incarnation(self, peer: str, incarnation: int) -> None:
        """Raise Superseded when the peer is in a later incarnation than this replica."""
        if incarnation > self._latest.incarnation:
            raise Superseded(peer, incarnation)

    def farewell(self, hello: raft_pb2.Hello) -> raft_pb2.Farewell | None:
        """What to tell one who is not let in; None to another cluster's."""
        if hello.cluster_uid != self._cluster_uid:
            return None
        return raft_pb2.Farewell(incarnation=self._latest.incarnation, removed=True)
