"""`tim status`: how the replicas are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.connect import call
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.v1.apiserver_pb2 import ClusterStatusResponse
    from component.rpc_client import RpcClient


@click.command(cls=Verb)
def status() -> None:
    """Show the replicas of the cluster and how they are."""

    async def work(client: RpcClient, _namespace: str) -> ClusterStatusResponse:
        return await client.cluster_status()

    answer = call(work)
    click.echo(f"cluster {answer.cluster_uid}, version {answer.version}, revision {answer.revision}")
    click.echo(f"{'REPLICA':<10}{'ROLE':<13}{'TERM':<7}{'LAST':<10}{'COMMIT':<10}{'APPLIED':<10}READY")
    for each in answer.replicas:
        ready = "yes" if each.ready else "no"
        click.echo(
            f"{each.id:<10}{each.role:<13}{each.term:<7}{each.last_index:<10}{each.commit_index:<10}"
            f"{each.applied_index:<10}{ready}"
        )
