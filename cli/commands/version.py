"""`tim version`."""

from __future__ import annotations

import click

from cli.connect import call
from component.rpc_client import RpcClient
from component.version import version


@click.command(name="version")
@click.option("--client", "client_only", is_flag=True, help="Do not ask the cluster.")
def version_command(client_only: bool) -> None:
    """Print the versions of tim and of the cluster."""
    click.echo(f"tim {version()}")
    if client_only:
        return

    async def work(client: RpcClient, _namespace: str) -> str:
        return str((await client.cluster_status()).version)

    click.echo(f"cluster {call(work)}")
