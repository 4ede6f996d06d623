"""`tim events`: what happened, oldest first."""

from __future__ import annotations

import click

from api.object import Tree
from cli.columns import at
from cli.connect import call, system_time
from cli.output import align, rows
from cli.targets import parse
from component.rpc_client import RpcClient


@click.command()
@click.option("-n", "--namespace", default="")
@click.option("-A", "--all-namespaces", is_flag=True)
@click.option("--for", "subject", default="", metavar="KIND/NAME", help="Only what happened to this object.")
@click.option("--types", default="", help="Normal, Warning or both: Normal,Warning")
def events(namespace: str, all_namespaces: bool, subject: str, types: str) -> None:
    """List what happened, oldest first."""

    async def work(client: RpcClient, default: str) -> list[Tree]:
        where = "" if all_namespaces else namespace or default
        listed = [each.tree() for each in (await client.list("events", where)).items]
        if subject:
            target = parse([subject])[0]
            listed = [
                tree
                for tree in listed
                if at(tree, "involvedObject.kind") == target.kind.kind
                and at(tree, "involvedObject.name") == target.name
            ]
        wanted = {word.strip() for word in types.split(",") if word.strip()}
        return sorted((tree for tree in listed if not wanted or tree.get("type") in wanted), key=last_seen)

    found = call(work)
    if not found:
        click.echo("No events found.", err=True)
        return
    click.echo(align(rows("events", found, system_time(), with_namespace=all_namespaces)))


def last_seen(event: Tree) -> str:
    """When an event happened last; RFC 3339 sorts as text."""
    return str(event.get("lastTimestamp") or at(event, "metadata.creationTimestamp"))
