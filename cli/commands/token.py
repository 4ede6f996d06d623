"""`tim token`: what a machine needs to join."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.connect import call
from cli.verb import VerbGroup

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.group(
    cls=VerbGroup,
    examples=("tim token create --name n1", "tim token create --renew --name n1"),
)
def token() -> None:
    """Tokens with which machines join."""


@token.command()
@click.option("--name", default="", metavar="NAME", help="Only a machine of this name may use it.")
@click.option("--minutes", type=click.IntRange(1, 1440), default=15, show_default=True, help="How long it can be used.")
@click.option("--renew", is_flag=True, help="For a machine that is node NAME, and whose certificate has expired.")
def create(name: str, minutes: int, *, renew: bool) -> None:
    """Make a token that works once, and print the command to join with it."""
    if renew and not name:
        raise click.UsageError("--renew is for one node: say its --name")

    async def work(client: RpcClient, _namespace: str) -> tuple[str, str, str]:
        made = await client.create_join_token(role="renewal" if renew else "node", name=name, ttl_seconds=minutes * 60)
        status = await client.cluster_status()
        server = status.endpoints[0].address.rsplit(":", 1)[0]
        return server, made.token, made.ca_hash

    server, secret, ca_hash = call(work)
    renewing, named = " --renew" if renew else "", f" --name {name}" if name else ""
    click.echo(f"tim join {server}{renewing} --token {secret} --ca-hash {ca_hash}{named}")
