"""`tim replace`: objects become what manifests say, whatever they were."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from api.errors import ApiError, NotFound
from api.object import Tree
from cli import options
from cli.connect import call, fail_after
from cli.follow import TimedOut, wait_gone
from cli.manifests import send_each
from cli.output import object_name, told
from cli.targets import kind_of, read_manifests
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.command(
    cls=Verb,
    examples=(
        "tim replace -f web.yaml",
        "tim replace --force -f pod.yaml     delete and create it again, for fields that cannot be changed",
        "tim get pod web -o yaml | sed 's/image: nginx:.*/image: nginx:1.29/' | tim replace -f -",
    ),
)
@options.files()
@options.namespace("Namespace (default: the manifest's, then the context's).")
@click.option("--force", is_flag=True, help="Delete the objects, wait until they are gone, and create them anew.")
@click.option("--grace-period", type=int, default=-1, help="With --force: seconds for pods to end; -1: their own.")
@click.option(
    "--timeout", type=options.Duration(), default=0.0, help="With --force: how long to wait; 0: as long as it takes."
)
@options.dry_run
@options.output("name", "yaml", "json")
def replace(
    files: tuple[str, ...],
    recursive: bool,
    namespace: str,
    force: bool,
    grace_period: int,
    timeout: float,
    dry_run: str,
    output: str,
) -> None:
    """Replace objects, which must exist, by what manifests say.

    A resourceVersion in a manifest is a condition: the object must not have changed since.
    """
    if not files:
        raise click.UsageError("say which manifests: -f FILE")
    if force and dry_run != "none":
        raise click.UsageError("--force cannot be tried: what is deleted is gone (--dry-run tries it without --force)")
    if not force and (grace_period >= 0 or timeout):
        raise click.UsageError("--grace-period and --timeout need --force")

    async def work(client: RpcClient, default: str) -> list[ApiError]:
        async def send(tree: Tree) -> None:
            if force:
                await _remove(client, tree, grace_period, timeout)
                stored = await client.create(_unstored(tree))
            else:
                stored = await client.update(tree, dry_run=dry_run != "none")
            click.echo(told(stored, "replaced" if dry_run == "none" else "replaced (dry run)", output))

        return await send_each(read_manifests(files, recursive=recursive), namespace, default, send)

    fail_after(call(work))


async def _remove(client: RpcClient, tree: Tree, grace_period: int, limit: float) -> None:
    """Delete the object that has the place of `tree`, if there is one, and return when it is gone."""
    kind, metadata = kind_of(tree), tree["metadata"]
    try:
        stored = await client.delete(
            kind.resource,
            str(metadata.get("namespace") or ""),
            str(metadata.get("name") or ""),
            grace_seconds=grace_period if grace_period >= 0 else None,
        )
    except NotFound:
        return
    try:
        async with asyncio.timeout(limit or None):
            await wait_gone(client, stored)
    except TimeoutError as error:
        message = (
            f"{object_name(stored)} is not gone after {limit:g} s: it is still being deleted, and was not made again"
        )
        raise TimedOut(message) from error


def _unstored(tree: Tree) -> Tree:
    """The object without what was said of the deleted one."""
    metadata = {name: value for name, value in tree["metadata"].items() if name not in {"uid", "resourceVersion"}}
    return {**tree, "metadata": metadata}
