"""How the replicas are, without waiting for a quorum."""

from __future__ import annotations

import asyncio
from typing import Protocol

from api import errors
from api.v1 import apiserver_pb2
from controlplane.config import join_host_port
from controlplane.members import Members
from controlplane.raft.protocol import Vitals
from controlplane.replica import Replica


class PeerStatus(Protocol):
    """The other replicas."""

    async def status(self, replica: str) -> apiserver_pb2.ReplicaStatus | None:
        """A peer's view of itself; None when it does not answer."""


class VitalSource(Protocol):
    """The local Raft process."""

    @property
    def vitals(self) -> Vitals:
        """How it does."""


class StatusSource:
    """Answers ClusterStatus from this replica's own view and what its peers say of themselves."""

    def __init__(
        self,
        replica: Replica,
        members: Members,
        raft: VitalSource,
        peers: PeerStatus,
        cluster_uid: str,
        version: str,
        known_level: int,
    ) -> None:
        self._replica = replica
        self._members = members
        self._raft = raft
        self._peers = peers
        self._cluster_uid = cluster_uid
        self._version = version
        self._known_level = known_level

    def own_status(self) -> apiserver_pb2.ReplicaStatus:
        """This replica's view of itself; ready when it leads or follows a leader and has applied what it knows committed."""
        status, vitals = self._replica.status, self._raft.vitals
        applied = self._replica.state.applied_index
        return apiserver_pb2.ReplicaStatus(
            id=self._members.own,
            role=status.role,
            term=status.term,
            last_index=status.last_index,
            commit_index=status.commit_index,
            applied_index=applied,
            leader=status.leader,
            ready=self.ready,
            version=self._version,
            level=self._known_level,
            sync_p50_seconds=vitals.sync_p50_seconds,
            sync_p99_seconds=vitals.sync_p99_seconds,
        )

    @property
    def ready(self) -> bool:
        """Whether writes can be expected to go through here."""
        status = self._replica.status
        return status.leading or (status.role == "follower" and bool(status.leader))

    async def cluster_status(self) -> apiserver_pb2.ClusterStatusResponse:
        """For clients: `gathered`, or Unavailable when this replica is cut off while another one knows a leader.

        It may be out of the cluster without knowing that: only the others know who its replicas are.
        """
        answer = await self.gathered()
        elsewhere = any(each.leader for each in answer.replicas if each.id != self._members.own)
        if self._replica.status.cut_off and elsewhere:
            raise errors.Unavailable("this replica is cut off, others know a leader: ask them")
        return answer

    async def gathered(self) -> apiserver_pb2.ClusterStatusResponse:
        """Every member's status; those that do not answer within a second are "unreachable"."""
        own, members = self._members.own, self._members
        others = [replica for replica in members.hosts if replica != own]
        answers = await asyncio.gather(*(self._peers.status(replica) for replica in others))
        statuses = {replica: answer for replica, answer in zip(others, answers, strict=True) if answer is not None}
        statuses[own] = self.own_status()
        state = self._replica.state
        return apiserver_pb2.ClusterStatusResponse(
            cluster_uid=self._cluster_uid,
            version=self._version,
            answered_by=own,
            revision=state.revision,
            level=state.level,
            incarnation=state.incarnation,
            replicas=self._completed(statuses),
            endpoints=[apiserver_pb2.Endpoint(replica=each, address=at) for each, at in members.endpoints.items()],
        )

    def _completed(self, statuses: dict[str, apiserver_pb2.ReplicaStatus]) -> list[apiserver_pb2.ReplicaStatus]:
        """In order of the ids, with what only the membership and a comparison of all tell.

        `lag_entries` is what a replica has not applied of what any replica knows to be committed.
        """
        committed = max(each.commit_index for each in statuses.values())
        found = []
        for replica, address in self._addresses().items():
            status = statuses.get(replica) or apiserver_pb2.ReplicaStatus(id=replica, role="unreachable")
            if status.role == "unreachable":
                known, _ = self._raft.vitals.progress.get(replica, (0, False))
                status.last_index = known
            reached = status.applied_index or status.last_index
            status.lag_entries = max(0, committed - reached)
            status.voter = replica in self._members.voters
            status.address = address
            found.append(status)
        return found

    def _addresses(self) -> dict[str, str]:
        port = self._members.grpc_port
        return {replica: join_host_port(host, port) for replica, host in self._members.hosts.items()}
