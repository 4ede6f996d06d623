"""`tim secrets`: the keys that Secrets are encrypted with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.connect import call
from cli.output import align
from cli.verb import Verb, VerbGroup

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.v1.apiserver_pb2 import SecretsKeysResponse
    from component.rpc_client import RpcClient
    from component.rpc_cluster import SecretsAction


@click.group(
    cls=VerbGroup,
    examples=(
        "tim secrets keys              # which there are, and what still needs each",
        "tim secrets rotate            # encrypt with another key from now on",
        "tim secrets retire            # forget the keys that nothing needs any more",
    ),
)
def secrets() -> None:
    """The keys that Secrets are encrypted with: see, change and retire them."""


@secrets.command(cls=Verb)
def keys() -> None:
    """List the keys, how many Secrets are encrypted with each, and what else still needs it."""
    _show(_ask("SecretsKeys"))


@secrets.command(cls=Verb)
def rotate() -> None:
    """Make a key, give it to every replica and encrypt with it from now on.

    The leader rewrites all Secrets with it. Logs, snapshots, history and backups need the keys before until they are
    replaced: `tim secrets keys` says which do, `tim secrets retire` forgets what nothing needs. Copy pki/secrets.key anew.
    """
    _show(_ask("RotateSecretsKey"))


@secrets.command(cls=Verb)
def retire() -> None:
    """Have every replica forget the keys that nothing of its data needs any more.

    Backups are not looked at: keep the keys that they name.
    """
    response = _ask("RetireSecretsKeys")
    for key in response.forgotten:
        click.echo(f"key {key} is forgotten by every replica")
    if not response.forgotten:
        click.echo("no key can be forgotten yet")
    _show(response)


def _ask(action: SecretsAction) -> SecretsKeysResponse:
    async def work(client: RpcClient, _namespace: str) -> SecretsKeysResponse:
        return await client.secrets_keys(action)

    return call(work)


def _show(response: SecretsKeysResponse) -> None:
    rows = (
        [key.id, "yes" if key.active else "", str(key.secrets), "; ".join(key.needed_by) or "nothing"]
        for key in response.keys
    )
    click.echo(align([["KEY", "USED", "SECRETS", "NEEDED BY"], *rows]))
    if response.plain:
        click.echo(f"{response.plain} Secrets are not encrypted yet; the leader is at it")
    if response.silent:
        click.echo(f"no answer from {', '.join(response.silent)}: what its data need is not known", err=True)
