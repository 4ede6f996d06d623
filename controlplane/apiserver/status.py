"""How the replicas are, without waiting for a quorum."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from api.v1 import apiserver_pb2
from controlplane.replica import Replica


class PeerStatus(Protocol):
    """The other replicas."""

    async def status(self, replica: str) -> apiserver_pb2.ReplicaStatus | None:
        """A peer's view of itself; None when it does not answer."""


class StatusSource:
    """Answers ClusterStatus from this replica's own view and what its peers say of themselves."""

    def __init__(
        self,
        replica: Replica,
        replica_id: str,
        endpoints: Mapping[str, str],
        peers: PeerStatus,
        cluster_uid: str,
        version: str,
    ) -> None:
        self._replica = replica
        self._replica_id = replica_id
        self._endpoints = endpoints
        self._peers = peers
        self._cluster_uid = cluster_uid
        self._version = version

    def own_status(self) -> apiserver_pb2.ReplicaStatus:
        """This replica's view of itself; ready when it leads or follows a leader and has applied what it knows committed."""
        status = self._replica.status
        applied = self._replica.state.applied_index
        return apiserver_pb2.ReplicaStatus(
            id=self._replica_id,
            role=status.role,
            term=status.term,
            last_index=status.last_index,
            commit_index=status.commit_index,
            applied_index=applied,
            leader=status.leader,
            ready=self.ready,
        )

    @property
    def ready(self) -> bool:
        """Whether writes can be expected to go through here."""
        status = self._replica.status
        return status.leading or (status.role == "follower" and bool(status.leader))

    async def cluster_status(self) -> apiserver_pb2.ClusterStatusResponse:
        """Every member's status; those that do not answer within a second are "unreachable"."""
        others = [replica for replica in self._endpoints if replica != self._replica_id]
        answers = await asyncio.gather(*(self._peers.status(replica) for replica in others))
        statuses = {replica: answer for replica, answer in zip(others, answers, strict=True) if answer is not None}
        statuses[self._replica_id] = self.own_status()
        return apiserver_pb2.ClusterStatusResponse(
            cluster_uid=self._cluster_uid,
            version=self._version,
            answered_by=self._replica_id,
            revision=self._replica.state.revision,
            replicas=[
                statuses.get(replica, apiserver_pb2.ReplicaStatus(id=replica, role="unreachable"))
                for replica in self._endpoints
            ],
            endpoints=[apiserver_pb2.Endpoint(replica=each, address=at) for each, at in self._endpoints.items()],
        )
