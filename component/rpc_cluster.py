"""The calls about the cluster itself: its replicas, its history, its tokens, its backups."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, Literal

from api import errors
from api.v1 import apiserver_pb2 as pb
from api.v1 import resource_pb2
from component.rpc_calls import Calls
from component.rpc_failover import Repeat

SecretsAction = Literal["SecretsKeys", "RotateSecretsKey", "RetireSecretsKeys"]

SECRETS_SECONDS: Final = 90.0  # every replica looks through all of its data, twice to retire a key


class ClusterCalls(Calls):
    """What people and tools ask of the control plane that is no object."""

    async def history(self, resource: str, namespace: str, name: str, *, limit: int = 0) -> pb.HistoryResponse:
        """Return the latest changes of an object, oldest first. NotFound.

        Where they do not go back to its creation, every replica is asked, and the one with the longest history counts.
        """
        request = pb.HistoryRequest(resource=resource, namespace=namespace, name=name, limit=limit)
        best: pb.HistoryResponse | None = None
        missing: errors.NotFound | None = None
        for _ in range(len(self._replicas)):
            try:
                found: pb.HistoryResponse = await self._call("History", request, "read")
            except errors.NotFound as error:
                missing = error
            else:
                if best is None or found.oldest_revision < best.oldest_revision:
                    best = found
                if not found.complete or (found.changes and found.changes[0].type == resource_pb2.ADDED):
                    break
            self._replicas.turn()
        if best is None:
            assert missing is not None, "there is a replica"
            raise missing
        return best

    async def cluster_status(self) -> pb.ClusterStatusResponse:
        """Who answers, and how the replicas are. Works without a quorum."""
        response: pb.ClusterStatusResponse = await self._call("ClusterStatus", pb.ClusterStatusRequest(), "read")
        return response

    async def create_join_token(self, role: str, *, name: str = "", ttl_seconds: int = 0) -> pb.CreateJoinTokenResponse:
        """Make a single-use token: for a "node", a "replica" or a "renewal". A repeated attempt may leave an unused token, which expires."""
        request = pb.CreateJoinTokenRequest(role=role, name=name, ttl_seconds=ttl_seconds)
        response: pb.CreateJoinTokenResponse = await self._call("CreateJoinToken", request, "safe")
        return response

    async def create_token(
        self,
        namespace: str,
        service_account: str,
        *,
        audiences: Sequence[str] = (),
        expiration_seconds: int = 0,
        pod: str = "",
        uid: str = "",
    ) -> pb.CreateTokenResponse:
        """Make a token for a service account; with `pod` it is good only while that pod exists. NotFound, Conflict."""
        bound = pb.BoundObject(kind="Pod", api_version="v1", name=pod, uid=uid) if pod else None
        request = pb.CreateTokenRequest(
            namespace=namespace,
            service_account=service_account,
            audiences=audiences,
            expiration_seconds=expiration_seconds,
            bound=bound,
        )
        response: pb.CreateTokenResponse = await self._call("CreateToken", request, "safe")
        return response

    async def backup(self) -> AsyncGenerator[bytes]:
        """Yield the pieces of a backup file. Unavailable without a quorum or when the connection breaks: start anew."""
        async with aclosing(self._stream("Backup", pb.BackupRequest())) as chunks:
            async for chunk in chunks:
                yield chunk.data

    async def revoke_certificate(self, *, name: str = "", serial: str = "", expires_time: float = 0.0) -> None:
        """Revoke a certificate by its serial number, or all that were issued for a name. Invalid, NotReady, TooLarge."""
        request = pb.RevokeCertificateRequest(name=name, serial=serial, expires_time=expires_time)
        await self._call("RevokeCertificate", request, "safe")

    async def revoked_certificates(self) -> pb.ListRevokedResponse:
        """What is revoked and has not expired."""
        response: pb.ListRevokedResponse = await self._call("ListRevoked", pb.ListRevokedRequest(), "read")
        return response

    async def secrets_keys(self, action: SecretsAction) -> pb.SecretsKeysResponse:
        """Show, change or retire the keys of Secrets. NotReady when a replica that is needed for it does not answer."""
        repeat: Repeat = "read" if action == "SecretsKeys" else "never"
        response: pb.SecretsKeysResponse = await self._replicas.call(
            action, pb.SecretsKeysRequest(), SECRETS_SECONDS, repeat
        )
        return response

    async def remove_replica(self, replica: str) -> None:
        """Take a replica out; returns once that is committed. NotFound, NotReady."""
        await self._call("RemoveReplica", pb.RemoveReplicaRequest(replica=replica), "never")

    async def transfer_leadership(self, to: str = "") -> str:
        """Let another replica lead and return its id. NotFound, NotReady."""
        request = pb.TransferLeadershipRequest(to=to)
        response: pb.TransferLeadershipResponse = await self._call("TransferLeadership", request, "never")
        return response.leader
