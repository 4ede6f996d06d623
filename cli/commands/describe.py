"""`tim describe`: everything about objects, with their events."""

from __future__ import annotations

import click

from api.errors import NotFound
from api.object import Object, Tree
from cli.columns import age, at
from cli.commands.events import last_seen
from cli.connect import call, system_time
from cli.describe import description
from cli.output import align
from cli.targets import Target, parse, read_manifests, target_of
from component.rpc_client import RpcClient


@click.command()
@click.argument("words", nargs=-1, metavar="KIND [NAME...] | KIND/NAME...")
@click.option("-f", "--filename", "files", multiple=True)
@click.option("-n", "--namespace", default="")
@click.option("-l", "--selector", default="")
def describe(words: tuple[str, ...], files: tuple[str, ...], namespace: str, selector: str) -> None:
    """Show everything about objects, with their events."""

    async def work(client: RpcClient, default: str) -> list[tuple[Object, list[Tree]]]:
        targets = [target_of(tree) for tree in read_manifests(files)] if files else parse(words)
        where = namespace or default
        found = [each for target in targets for each in await _objects(client, target, where, selector)]
        return [(each, await _events(client, each)) for each in found]

    found = call(work)
    if not found:
        raise click.ClickException("NotFound: no matching objects")
    now = system_time()
    sections = (description(each.resource, each.tree()) + "\n" + _event_table(listed, now) for each, listed in found)
    click.echo("\n\n".join(sections))


async def _objects(client: RpcClient, target: Target, namespace: str, selector: str) -> list[Object]:
    where = namespace if target.kind.namespaced else ""
    if not target.name:
        return list((await client.list(target.kind.resource, where, label_selector=selector)).items)
    try:
        return [await client.get(target.kind.resource, where, target.name)]
    except NotFound:
        listed = (await client.list(target.kind.resource, where)).items
        matching = [each for each in listed if each.name.startswith(target.name)]  # as kubectl: a prefix will do
        if not matching:
            raise
        return matching


async def _events(client: RpcClient, each: Object) -> list[Tree]:
    namespace = each.namespace or "default"
    listed = await client.list("events", namespace, field_selector=f"involvedObject.uid={each.uid}")
    return sorted((event.tree() for event in listed.items), key=last_seen)


def _event_table(events: list[Tree], now: float) -> str:
    if not events:
        return "Events:  <none>"
    table = [["  Type", "Reason", "Age", "From", "Message"]]
    for event in events:
        count = event.get("count", 1)
        seen = age(last_seen(event), now) + (
            f" (x{count} over {age(event.get('firstTimestamp') or '', now)})" if count > 1 else ""
        )
        message = " ".join(str(event.get("message", "")).split())
        source = at(event, "source.component") or event.get("reportingComponent", "")
        table.append([f"  {event.get('type', '')}", event.get("reason", ""), seen, source, message])
    return "Events:\n" + align(table)
