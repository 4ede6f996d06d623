"""`tim apply`: objects as manifests say, made or merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from api.errors import ApiError
from api.object import Tree
from cli import options
from cli.connect import call, fail_after
from cli.manifests import refusals, send_each, writes_of
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
        "tim apply --atomic -f folder/     all of it at one revision, or nothing",
        "generate | tim apply -f -",
    ),
)
@options.files()
@options.namespace("Namespace (default: the manifest's, then the context's).")
@click.option("--atomic", is_flag=True, help="All objects in one transaction: nobody ever sees a part of them.")
@options.dry_run
@options.output("name", "yaml", "json")
def apply(files: tuple[str, ...], recursive: bool, namespace: str, atomic: bool, dry_run: str, output: str) -> None:
    """Create objects or change them to match manifests, merging with what others changed.

    Each object is applied by itself: one that is refused does not keep the others back, and the exit code is 1.
    With --atomic they are applied together: if one is refused nothing is changed, and every reason is told.
    """
    if not files:
        raise click.UsageError("say which manifests: -f FILE")
    trial = dry_run != "none"
    suffix = " (dry run)" if trial else ""

    async def one_by_one(client: RpcClient, default: str) -> list[ApiError]:
        async def send(tree: Tree) -> None:
            stored, outcome = await client.apply(tree, dry_run=trial)
            click.echo(told(stored, outcome + suffix, output))

        return await send_each(read_manifests(files, recursive=recursive), namespace, default, send)

    async def together(client: RpcClient, default: str) -> list[ApiError]:
        writes, problems = writes_of(read_manifests(files, recursive=recursive), namespace, default)
        result = await client.transaction(writes, dry_run=trial or bool(problems))
        if problems or not result.committed:
            return [*problems, *refusals(writes, result)]
        for each in result.results:
            if each.object is not None:
                click.echo(told(each.object, each.outcome + suffix, output))
        if result.revision and not output:
            click.echo(f"{len(writes)} objects at revision {result.revision}")
        return []

    problems = call(together if atomic else one_by_one)
    if atomic and problems:
        click.echo(f"nothing was changed: {len(problems)} reasons against it", err=True)
    fail_after(problems)
