"""`tim delete`: by manifest, name or selector; waits until the objects are gone."""

from __future__ import annotations

import asyncio

import click

from api.errors import ApiError, Expired, Invalid, NotFound
from api.object import Object
from cli.connect import call, fail_after
from cli.output import object_name
from cli.targets import namespace_of, parse, read_manifests, target_of
from component.client import Propagation
from component.rpc_client import RpcClient

PROPAGATION: dict[str, Propagation] = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}


@click.command()
@click.argument("words", nargs=-1, metavar="KIND NAME... | KIND/NAME... | KIND -l SELECTOR | KIND --all")
@click.option("-f", "--filename", "files", multiple=True, help="The objects of these manifests.")
@click.option("-R", "--recursive", is_flag=True)
@click.option("-n", "--namespace", default="", help="Namespace (default: the context's).")
@click.option("-l", "--selector", default="")
@click.option("--all", "everything", is_flag=True, help="All objects of the kind in the namespace.")
@click.option("--grace-period", type=int, default=-1, help="Seconds for pods to end by themselves; -1: their own.")
@click.option("--force", is_flag=True, help="Remove at once; what runs is killed when its node is seen again.")
@click.option("--now", is_flag=True, help="A grace period of 1 second.")
@click.option("--cascade", type=click.Choice(list(PROPAGATION)), default="background", show_default=True)
@click.option("--ignore-not-found", is_flag=True)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when the objects are gone.")
@click.option("--timeout", type=float, default=0.0, help="Seconds to wait; 0: as long as it takes.")
@click.option("--dry-run", is_flag=True)
def delete(  # noqa: C901 - a closure over the options
    words: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    namespace: str,
    selector: str,
    everything: bool,
    grace_period: int,
    force: bool,
    now: bool,
    cascade: str,
    ignore_not_found: bool,
    wait: bool,
    timeout: float,
    dry_run: bool,
) -> None:
    """Delete objects and wait until they are gone."""
    grace = 0 if force else 1 if now else None if grace_period < 0 else grace_period

    async def work(client: RpcClient, default: str) -> list[ApiError]:
        problems: list[ApiError] = []
        gone: list[Object] = []
        for resource, where, name in await _chosen(client, default):
            try:
                stored = await client.delete(
                    resource, where, name, grace_seconds=grace, propagation=PROPAGATION[cascade], dry_run=dry_run
                )
            except NotFound as error:
                if not ignore_not_found:
                    problems.append(error)
            except ApiError as error:
                problems.append(error)
            else:
                suffix = " (dry run)" if dry_run else " force deleted" if force else " deleted"
                click.echo(f"{object_name(stored)}{suffix}")
                gone.append(stored)
        if wait and not dry_run:
            try:
                async with asyncio.timeout(timeout or None):
                    await asyncio.gather(*(wait_gone(client, each) for each in gone))
            except TimeoutError:
                problems.append(Expired(f"not gone after {timeout:g} s; they are still being deleted"))
        return problems

    async def _chosen(client: RpcClient, default: str) -> list[tuple[str, str, str]]:
        if files:
            trees = read_manifests(files, recursive=recursive)
            targets = [(target_of(tree), tree) for tree in trees]
            return [(t.kind.resource, namespace_of(tree, t.kind, namespace, default), t.name) for t, tree in targets]
        chosen = []
        for target in parse(words):
            where = (namespace or default) if target.kind.namespaced else ""
            if target.name:
                chosen.append((target.kind.resource, where, target.name))
            elif selector or everything:
                listed = await client.list(target.kind.resource, where, label_selector=selector)
                chosen.extend((each.resource, each.namespace, each.name) for each in listed.items)
            else:
                raise Invalid(f"name the {target.kind.plural} to delete, or choose with -l or --all")
        return chosen

    fail_after(call(work))


async def wait_gone(client: RpcClient, stored: Object) -> None:
    """Return when the object with this uid does not exist any more."""
    while True:
        try:
            found = await client.get(stored.resource, stored.namespace, stored.name)
            if found.uid != stored.uid:
                return
            async for events in client.watch(
                stored.resource,
                stored.namespace,
                revision=found.revision,
                field_selector=f"metadata.name={stored.name}",
            ):
                if any(event.type == "DELETED" for event in events):
                    break
        except NotFound:
            return
        except Expired:
            continue
