"""`tim apply`: objects as manifests say, made or merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from api.errors import ApiError
from api.object import Tree
from cli import options
from cli.connect import call, fail_after
from cli.manifests import send_each
from cli.output import told
from cli.targets import read_manifests
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.command(
    cls=Verb,
    examples=(
        "tim apply -f web.yaml",
        "tim apply -R -f folder/",
        "generate | tim apply -f -",
    ),
)
@options.files()
@options.namespace("Namespace (default: the manifest's, then the context's).")
@options.dry_run
@options.output("name", "yaml", "json")
def apply(files: tuple[str, ...], recursive: bool, namespace: str, dry_run: str, output: str) -> None:
    """Create objects or change them to match manifests, merging with what others changed.

    Each object is applied by itself: one that is refused does not keep the others back, and the exit code is 1.
    """
    if not files:
        raise click.UsageError("say which manifests: -f FILE")
    trial = dry_run != "none"

    async def work(client: RpcClient, default: str) -> list[ApiError]:
        async def send(tree: Tree) -> None:
            stored, outcome = await client.apply(tree, dry_run=trial)
            click.echo(told(stored, outcome + (" (dry run)" if trial else ""), output))

        return await send_each(read_manifests(files, recursive=recursive), namespace, default, send)

    fail_after(call(work))
