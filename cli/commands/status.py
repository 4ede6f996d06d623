"""`tim status`: how the replicas are; `tim replica list` tells what an upgrade or a replacement needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.connect import call
from cli.replica_rows import UNREACHABLE, role, sync_times
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.v1.apiserver_pb2 import ClusterStatusResponse, ReplicaStatus
    from component.rpc_client import RpcClient


@click.command(cls=Verb)
def status() -> None:
    """Show the replicas of the cluster and how they are.

    LAG is how many log entries known to be committed a replica has not applied.
    """

    async def work(client: RpcClient, _namespace: str) -> ClusterStatusResponse:
        return await client.cluster_status()

    answer = call(work)
    click.echo(f"cluster {answer.cluster_uid}, version {answer.version}, revision {answer.revision}")
    click.echo(
        f"{'REPLICA':<10}{'ROLE':<13}{'TERM':<7}{'LAST':<10}{'COMMIT':<10}{'APPLIED':<10}{'LAG':<8}{'READY':<8}FSYNC P50/P99"
    )
    for each in answer.replicas:
        click.echo(_row(each).rstrip())


def _row(status: ReplicaStatus) -> str:
    if status.role == UNREACHABLE:
        return f"{status.id:<10}{status.role:<13}{'':<45}no"
    ready = "yes" if status.ready else "no"
    return (
        f"{status.id:<10}{role(status):<13}{status.term:<7}{status.last_index:<10}{status.commit_index:<10}"
        f"{status.applied_index:<10}{status.lag_entries:<8}{ready:<8}{sync_times(status)}"
    )
