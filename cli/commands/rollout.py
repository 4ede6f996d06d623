"""`tim rollout`: following, undoing, restarting, pausing rollouts of Deployments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from api import scheme
from api.errors import ApiError, Invalid
from api.object import Object, Tree
from cli import options
from cli.connect import call, fail_after, system_time
from cli.edit import edit, edit_each
from cli.follow import TimedOut, wait_until
from cli.mistakes import Misused
from cli.output import align, as_yaml, object_name
from cli.rollouts import CHANGE_CAUSE, own_replica_sets, progress, restarted, revision_of, undone
from cli.targets import Target, parse
from cli.verb import VerbGroup
from component.env import rfc3339

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

words_argument = click.argument("words", nargs=-1, required=True, metavar="deployment/NAME... | deployment NAME...")
namespace_option = options.namespace()


@click.group(
    cls=VerbGroup,
    examples=(
        "tim rollout status deploy/web",
        "tim rollout history deploy/web --revision 2",
        "tim rollout undo deploy/web",
        "tim rollout restart deploy/web",
    ),
)
def rollout() -> None:
    """Follow, undo or restart rollouts of a Deployment."""


@rollout.command()
@words_argument
@namespace_option
@click.option("-w", "--watch/--no-watch", default=True, show_default=True, help="Wait until it is complete.")
@click.option("--timeout", type=options.Duration(), default=0.0, help="How long: 90s, 5m; 0: as long as it takes.")
def status(words: tuple[str, ...], namespace: str, watch: bool, timeout: float) -> None:
    """Tell how a rollout goes; returns when it is complete, exits 1 when it is stuck."""

    async def work(client: RpcClient, default: str) -> None:
        for target in _deployments(words):
            found = await client.get(target.kind.resource, namespace or default, target.name)
            try:
                async with asyncio.timeout(timeout or None):
                    await _follow(client, found, watch=watch)
            except TimeoutError:
                raise TimedOut(f"timed out waiting for the rollout of {object_name(found)}") from None

    call(work)


@rollout.command()
@words_argument
@namespace_option
@click.option("--revision", type=int, default=0, help="Show the pod template of this revision.")
def history(words: tuple[str, ...], namespace: str, revision: int) -> None:
    """List the revisions that can be gone back to."""

    async def work(client: RpcClient, default: str) -> None:
        for target in _deployments(words):
            where = namespace or default
            deployment = await client.get(target.kind.resource, where, target.name)
            own = own_replica_sets(deployment.tree(), await _replica_sets(client, where))
            chosen = [each for each in own if revision in {0, revision_of(each)}]
            if revision and not chosen:
                raise Invalid(f"{object_name(deployment)} has no revision {revision}")
            click.echo(object_name(deployment) + (f" with revision #{revision}" if revision else ""))
            if revision:
                click.echo(as_yaml(chosen[-1]["spec"]["template"]))
                continue
            table = [["REVISION", "CHANGE-CAUSE"]]
            for each in chosen:
                cause = each["metadata"].get("annotations", {}).get(CHANGE_CAUSE, "<none>")
                table.append([str(revision_of(each)), cause])
            click.echo(align(table))

    call(work)


@rollout.command()
@words_argument
@namespace_option
@click.option("--to-revision", type=int, default=0, help="Go back to this one; 0: the one before.")
def undo(words: tuple[str, ...], namespace: str, to_revision: int) -> None:
    """Go back to an earlier revision."""

    async def work(client: RpcClient, default: str) -> None:
        where = namespace or default
        for target in _deployments(words):
            replica_sets = await _replica_sets(client, where)
            change = partial(undone, replica_sets=replica_sets, revision=to_revision)
            stored, changed = await edit(client, target, where, change)
            click.echo(f"{object_name(stored)} {'rolled back' if changed else 'has that template already'}")

    call(work)


@rollout.command()
@words_argument
@namespace_option
def restart(words: tuple[str, ...], namespace: str) -> None:
    """Make all pods anew, as a rolling update."""
    timestamp = rfc3339(system_time())
    _change(words, namespace, lambda tree: restarted(tree, timestamp), "restarted")


@rollout.command()
@words_argument
@namespace_option
def pause(words: tuple[str, ...], namespace: str) -> None:
    """Stop the rollout where it is."""
    _change(words, namespace, lambda tree: _paused(tree, paused=True), "paused")


@rollout.command()
@words_argument
@namespace_option
def resume(words: tuple[str, ...], namespace: str) -> None:
    """Go on with a paused rollout."""
    _change(words, namespace, lambda tree: _paused(tree, paused=False), "resumed")


def _change(words: tuple[str, ...], namespace: str, change: Callable[[Tree], Tree | None], done: str) -> None:
    async def work(client: RpcClient, default: str) -> list[ApiError]:
        return await edit_each(client, _deployments(words), namespace or default, change, tell)

    def tell(stored: Object, changed: bool) -> None:
        click.echo(f"{object_name(stored)} {done if changed else 'is ' + done + ' already'}")

    fail_after(call(work))


def _paused(tree: Tree, *, paused: bool) -> Tree | None:
    if bool(tree["spec"].get("paused")) == paused:
        return None
    spec = {name: value for name, value in tree["spec"].items() if name != "paused"}
    return {**tree, "spec": {**spec, **({"paused": True} if paused else {})}}


async def _follow(client: RpcClient, deployment: Object, *, watch: bool) -> None:
    told = ""

    def complete(tree: Tree) -> bool:
        nonlocal told
        message, done = progress(tree)
        if message != told:
            click.echo(message)
            told = message
        return done

    if complete(deployment.tree()) or not watch:
        return
    await wait_until(client, deployment, complete)


async def _replica_sets(client: RpcClient, namespace: str) -> list[Tree]:
    return [each.tree() for each in (await client.list("replicasets.apps", namespace)).items]


def _deployments(words: tuple[str, ...]) -> list[Target]:
    targets = parse(words)
    for target in targets:
        if target.kind != scheme.by_resource("deployments.apps") or not target.name:
            raise Misused("rollouts are of Deployments: name them as deployment/NAME")
    return targets
