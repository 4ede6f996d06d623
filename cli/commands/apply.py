"""`tim apply`: objects as manifests say, made or merged."""

from __future__ import annotations

import click

from api.errors import ApiError
from cli.connect import call, fail_after
from cli.output import object_name
from cli.targets import placed, read_manifests
from component.rpc_client import RpcClient


@click.command()
@click.option("-f", "--filename", "files", multiple=True, required=True, help="File, folder or - for standard input.")
@click.option("-R", "--recursive", is_flag=True, help="Folders with what is below them.")
@click.option("-n", "--namespace", default="", help="Namespace (default: the manifest's, then the context's).")
@click.option("--dry-run", is_flag=True, help="Check everything, change nothing.")
def apply(files: tuple[str, ...], recursive: bool, namespace: str, dry_run: bool) -> None:
    """Create objects or change them to match manifests, merging with what others changed."""
    suffix = " (dry run)" if dry_run else ""

    async def work(client: RpcClient, default: str) -> list[ApiError]:
        problems: list[ApiError] = []
        for tree in read_manifests(files, recursive=recursive):
            try:
                stored, outcome = await client.apply(placed(tree, namespace, default), dry_run=dry_run)
            except ApiError as error:
                problems.append(error)
            else:
                click.echo(f"{object_name(stored)} {outcome}{suffix}")
        return problems

    fail_after(call(work))
