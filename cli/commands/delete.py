"""`tim delete`: by manifest, name or selector; waits until the objects are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from api.errors import ApiError, NotFound, Unavailable
from api.object import Object
from cli import options
from cli.connect import call, fail_after
from cli.follow import TimedOut, wait_gone
from cli.mistakes import Misused
from cli.output import object_name
from cli.targets import namespace_of, namespaces_first, parse, read_manifests, targets_of, words_selected
from cli.verb import Verb
from component.client import ApiClient, Collection, Propagation

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

PROPAGATION: dict[str, Propagation] = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asked for."""

    words: tuple[str, ...]
    files: tuple[str, ...]
    recursive: bool
    namespace: str
    all_namespaces: bool
    selector: str
    everything: bool
    grace_period: int
    force: bool
    now: bool
    cascade: str
    ignore_not_found: bool
    wait: bool
    timeout: float
    dry_run: str
    output: str

    @property
    def grace_seconds(self) -> int | None:
        """None: what the pods themselves say."""
        return 0 if self.force else 1 if self.now else None if self.grace_period < 0 else self.grace_period

    @property
    def done(self) -> str:
        """What is said after the name of each object."""
        if self.output == "name":
            return ""
        return " (dry run)" if self.dry_run != "none" else " force deleted" if self.force else " deleted"


@dataclass(frozen=True, slots=True)
class Victim:
    """One object to delete."""

    resource: str
    namespace: str
    name: str


@click.command(
    cls=Verb,
    examples=(
        "tim delete pod web-1",
        "tim delete deploy/web svc/web",
        "tim delete pods -l app=web --wait=false",
        "tim delete -f folder/",
    ),
)
@click.argument("words", nargs=-1, metavar="KIND NAME... | KIND/NAME... | KIND -l SELECTOR | KIND --all")
@options.files("The objects of these manifests: file, folder or - for standard input.")
@options.namespace()
@click.option("-A", "--all-namespaces", is_flag=True, help="With -l or --all: in all namespaces.")
@options.selector()
@click.option("--all", "everything", is_flag=True, help="All objects of the kind in the namespace.")
@click.option("--grace-period", type=int, default=-1, help="Seconds for pods to end by themselves; -1: their own.")
@click.option("--force", is_flag=True, help="Remove at once; what runs is killed when its node is seen again.")
@click.option("--now", is_flag=True, help="A grace period of 1 second.")
@click.option(
    "--cascade",
    type=click.Choice(list(PROPAGATION)),
    default="background",
    show_default=True,
    help="What happens to the objects it owns: deleted after it, before it, or left.",
)
@click.option("--ignore-not-found", is_flag=True, help="No error when an object does not exist.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when the objects are gone.")
@click.option(
    "--timeout", type=options.Duration(), default=0.0, help="How long to wait: 30s, 5m; 0: as long as it takes."
)
@options.dry_run
@options.output("name")
def delete(**chosen: Any) -> None:
    """Delete objects and wait until they are gone."""
    order = Order(**chosen)
    fail_after(call(lambda client, default: _delete(client, order, order.namespace or default)))


async def _delete(client: RpcClient, order: Order, namespace: str) -> list[ApiError]:
    victims, collections, problems = _chosen(order, namespace)
    gone, refused = await _delete_collections(client, order, collections)
    problems += refused
    if not victims and not gone and not problems:
        click.echo("No resources found", err=True)
    for victim in victims:
        try:
            gone.append(await _delete_one(client, order, victim))
        except NotFound as error:
            if not order.ignore_not_found:
                problems.append(error)
        except Unavailable as error:  # the others would fail the same way, each after its time-out
            problems.append(error)
            break
        except ApiError as error:
            problems.append(error)
    if order.wait and order.dry_run == "none":
        try:
            async with asyncio.timeout(order.timeout or None):
                await asyncio.gather(*(wait_gone(client, each) for each in gone))
        except TimeoutError:
            problems.append(TimedOut(f"not gone after {order.timeout:g} s; they are still being deleted"))
    return problems


async def _delete_one(client: ApiClient, order: Order, victim: Victim) -> Object:
    stored = await client.delete(
        victim.resource,
        victim.namespace,
        victim.name,
        grace_seconds=order.grace_seconds,
        propagation=PROPAGATION[order.cascade],
        dry_run=order.dry_run != "none",
    )
    click.echo(object_name(stored) + order.done)
    return stored


async def _delete_collections(
    client: ApiClient, order: Order, collections: Sequence[Collection]
) -> tuple[list[Object], list[ApiError]]:
    """Delete what labels or --all choose; returns what goes, and what was refused."""
    gone: list[Object] = []
    problems: list[ApiError] = []
    for collection in collections:
        try:
            async for results in client.delete_collection(collection, dry_run=order.dry_run != "none"):
                for each in results:
                    if each.error is not None:
                        problems.append(each.error)
                    elif each.object is not None:
                        click.echo(object_name(each.object) + order.done)
                        gone.append(each.object)
        except Unavailable as error:  # the others would fail the same way, each after its time-out
            problems.append(error)
            break
        except ApiError as error:
            problems.append(error)
    return gone, problems


def _chosen(order: Order, namespace: str) -> tuple[list[Victim], list[Collection], list[ApiError]]:
    """The objects that are named, the collections that are not, and what is wrong with manifests."""
    if order.files:
        if order.words or order.selector or order.everything:
            raise Misused("-f already says which objects are meant: leave out kinds, names, -l and --all")
        found, problems = targets_of(namespaces_first(read_manifests(order.files, recursive=order.recursive)))
        victims = [
            Victim(target.kind.resource, namespace_of(tree, target.kind, order.namespace, namespace), target.name)
            for target, tree in reversed(found)  # the last made goes first
        ]
        return victims, [], problems
    targets = parse(order.words)
    words_selected(targets, selector=order.selector, everything=order.everything)
    victims, collections = [], []
    for target in targets:
        where = namespace if target.kind.namespaced else ""
        if target.name:
            if order.all_namespaces:
                raise Misused("an object cannot be deleted by name across all namespaces: use -n")
            victims.append(Victim(target.kind.resource, where, target.name))
            continue
        where = "" if order.all_namespaces else where
        propagation = PROPAGATION[order.cascade]
        collections.append(
            Collection(target.kind.resource, where, order.selector, "", order.grace_seconds, propagation)
        )
    return victims, collections, []
