"""`tim apply`: objects as manifests say, made or merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from api import retired
from api.errors import ApiError, Conflict
from api.object import Object, Tree, canonical
from api.selectors import parse_label_selector
from cli import options
from cli.connect import call, fail_after, warn
from cli.manifests import refusals, send_each, writes_of
from cli.output import told
from cli.pruning import kinds_of, prune
from cli.targets import read_manifests, target_of
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

MANAGER = "tim"


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asked for."""

    files: tuple[str, ...]
    recursive: bool
    namespace: str
    atomic: bool
    server_side: bool
    force_conflicts: bool
    field_manager: str
    selector: str
    prune: bool
    everything: bool
    prune_allowlist: tuple[str, ...]
    dry_run: str
    output: str

    @property
    def trial(self) -> bool:
        """Whether nothing is to be stored."""
        return self.dry_run != "none"

    @property
    def suffix(self) -> str:
        """What is said after each object."""
        return " (dry run)" if self.trial else ""

    def check(self) -> None:
        """UsageError for what does not go together."""
        if not self.files:
            raise click.UsageError("say which manifests: -f FILE")
        if self.server_side and self.atomic:
            raise click.UsageError(
                "--atomic and --server-side exclude each other: a transaction keeps no owners of fields"
            )
        if not self.server_side and (self.force_conflicts or self.field_manager != MANAGER):
            raise click.UsageError("--force-conflicts and --field-manager need --server-side")
        if self.prune and (self.server_side or self.atomic):
            raise click.UsageError(
                "--prune goes neither with --server-side nor with --atomic: it deletes afterwards, one by one"
            )
        if self.prune and bool(self.selector) == self.everything:
            raise click.UsageError("--prune needs -l LABELS, which say what belongs to the manifests, or --all")
        if not self.prune and (self.everything or self.prune_allowlist):
            raise click.UsageError("--all and --prune-allowlist need --prune")

    def trees(self) -> list[Tree]:
        """The objects of the manifests, those that the labels choose. Invalid."""
        trees = read_manifests(self.files, recursive=self.recursive)
        if not self.selector:
            return trees
        selected = parse_label_selector(self.selector)
        return [tree for tree in trees if selected.matches(_labels(tree))]


@click.command(
    cls=Verb,
    examples=(
        "tim apply -f web.yaml",
        "tim apply -R -f folder/",
        "tim apply --atomic -f folder/     all of it at one revision, or nothing",
        "tim apply --server-side -f web.yaml     owning only the fields that it names",
        "tim apply --prune -l app=web -f folder/     and delete what is not in it any more",
        "generate | tim apply -f -",
    ),
)
@options.files()
@options.namespace("Namespace (default: the manifest's, then the context's).")
@click.option("--atomic", is_flag=True, help="All objects in one transaction: nobody ever sees a part of them.")
@click.option("--server-side", is_flag=True, help="Own the fields that are named; a conflict where others own them.")
@click.option("--force-conflicts", is_flag=True, help="With --server-side: take over fields that others own.")
@click.option(
    "--field-manager", default=MANAGER, show_default=True, metavar="NAME", help="With --server-side: as whose fields."
)
@options.selector("Apply (and prune) only objects with these labels.")
@click.option(
    "--prune", is_flag=True, help="Then delete what was applied before with these labels and is not in the manifests."
)
@click.option("--all", "everything", is_flag=True, help="With --prune: whatever its labels.")
@click.option(
    "--prune-allowlist",
    multiple=True,
    metavar="GROUP/VERSION/KIND",
    help="With --prune: look only through these kinds.",
)
@options.dry_run
@options.output("name", "yaml", "json")
def apply(**chosen: Any) -> None:
    """Create objects or change them to match manifests, merging with what others changed.

    Each object is applied by itself: one that is refused does not keep the others back, and the exit code is 1.
    With --atomic they are applied together: if one is refused nothing is changed, and every reason is told.
    """
    order = Order(**chosen)
    order.check()
    kinds = kinds_of(order.prune_allowlist) if order.prune else []

    async def work(client: RpcClient, default: str) -> list[ApiError]:
        if order.atomic:
            return await _together(client, order, default)
        applied, problems = await _one_by_one(client, order, default)
        if problems or not order.prune:  # who was not heard to the end may have meant more
            return problems
        return await prune(client, kinds, applied, order.selector, dry_run=order.trial)

    problems = call(work)
    if order.atomic and problems:
        click.echo(f"nothing was changed: {len(problems)} reasons against it", err=True)
    fail_after(problems)


async def _one_by_one(client: RpcClient, order: Order, default: str) -> tuple[list[Object], list[ApiError]]:
    """Apply each object; returns what was applied and what was refused."""
    applied: list[Object] = []

    async def send(tree: Tree) -> None:
        if order.server_side:
            await _send_fields(client, order, tree)
            return
        stored, outcome = await client.apply(tree, dry_run=order.trial)
        applied.append(stored)
        click.echo(told(stored, outcome + order.suffix, order.output))

    problems = await send_each(order.trees(), order.namespace, default, send)
    return applied, problems


def _labels(tree: Tree) -> dict[str, str]:
    metadata = tree.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return labels if isinstance(labels, dict) else {}


async def _send_fields(client: RpcClient, order: Order, tree: Tree) -> None:
    tree, warning = retired.modern(tree)
    if warning:
        warn(warning)
    target = target_of(tree)
    namespace = str(tree["metadata"].get("namespace") or "")
    try:
        stored = await client.patch(
            target.kind.resource,
            namespace,
            target.name,
            "apply",
            canonical(tree),
            field_manager=order.field_manager,
            force=order.force_conflicts,
            dry_run=order.trial,
        )
    except Conflict as error:
        if error.fields:
            raise Conflict(f"{error}; --force-conflicts takes these fields over", error.fields) from error
        raise
    click.echo(told(stored, "serverside-applied" + order.suffix, order.output))


async def _together(client: RpcClient, order: Order, default: str) -> list[ApiError]:
    writes, problems = writes_of(order.trees(), order.namespace, default)
    result = await client.transaction(writes, dry_run=order.trial or bool(problems))
    if problems or not result.committed:
        return [*problems, *refusals(writes, result)]
    for each in result.results:
        if each.object is not None:
            click.echo(told(each.object, each.outcome + order.suffix, order.output))
    if result.revision and not order.output:
        click.echo(f"{len(writes)} objects at revision {result.revision}")
    return []
