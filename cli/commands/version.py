"""`tim version`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli import options
from cli.connect import call
from cli.verb import Verb
from component.version import version

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.command(name="version", cls=Verb)
@click.option("--client", "client_only", is_flag=True, help="Do not ask the cluster.")
@click.option("-o", "--output", type=options.Output(("yaml", "json")), default="", help="As data instead of lines.")
def version_command(client_only: bool, output: str) -> None:
    """Print the versions of tim and of the cluster."""

    async def work(client: RpcClient, _namespace: str) -> str:
        return str((await client.cluster_status()).version)

    if not output:  # the own version shows also when no cluster answers
        click.echo(f"tim {version()}")
        if not client_only:
            click.echo(f"cluster {call(work)}")
        return
    from cli.output import as_json, as_yaml  # noqa: PLC0415 - lines do without kinds

    versions = {"tim": version(), **({} if client_only else {"cluster": call(work)})}
    click.echo(as_yaml(versions) if output == "yaml" else as_json(versions))
