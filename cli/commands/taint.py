"""`tim taint`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from api.errors import ApiError
from api.object import Object, Tree
from cli import options
from cli.connect import call, fail_after
from cli.edit import chosen, edit_each
from cli.mistakes import Misused
from cli.output import told
from cli.taints import changed, check, split
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.command(
    cls=Verb,
    examples=(
        "tim taint nodes n1 gpu=yes:NoSchedule",
        "tim taint nodes n1 gpu:NoSchedule-",
        "tim taint nodes -l rack=7 repair:NoExecute",
    ),
)
@click.argument("words", nargs=-1, required=True, metavar="NODES NAME... KEY=VALUE:EFFECT... KEY[:EFFECT]-...")
@options.selector("All nodes with these labels.")
@click.option("--all", "everything", is_flag=True, help="All nodes.")
@click.option("--overwrite", is_flag=True, help="Change values of taints that are there.")
@options.dry_run
@options.output("name", "yaml", "json")
def taint(words: tuple[str, ...], selector: str, everything: bool, overwrite: bool, dry_run: str, output: str) -> None:
    """Set taints on nodes, or remove them; pods that do not tolerate one are kept off or, with NoExecute, sent away."""

    async def work(client: RpcClient, _default: str) -> list[ApiError]:
        objects, changes = split(words)
        check(changes)
        targets = await chosen(client, objects, "", selector=selector, everything=everything)
        if any(target.kind.resource != "nodes" for target in targets):
            raise Misused("only nodes have taints")

        def change(tree: Tree) -> Tree | None:
            return changed(tree, changes, overwrite=overwrite)

        def tell(stored: Object, was_changed: bool) -> None:
            done = "untainted" if all(each.removed for each in changes) else "tainted"
            word = (done if was_changed else f"already {done}") + (" (dry run)" if dry_run != "none" else "")
            click.echo(told(stored, word, output))

        return await edit_each(client, targets, "", change, tell, dry_run=dry_run != "none")

    fail_after(call(work))
