"""`tim describe`: everything about objects, with their events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from api.cells import age, last_seen
from api.errors import ApiError, NotFound
from api.object import Object, Tree, at
from cli import options
from cli.connect import call, fail_after, system_time
from cli.describe import description
from cli.describe_node import node_usage
from cli.output import align
from cli.policy_tables import namespace_policies
from cli.targets import Target, parse, read_manifests, target_of
from cli.verb import Verb
from cli.visible import visible

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.command(
    cls=Verb,
    examples=(
        "tim describe pod web",
        "tim describe nodes",
        "tim describe deploy/web svc/web",
    ),
)
@click.argument("words", nargs=-1, metavar="KIND [NAME...] | KIND/NAME...")
@options.files("The objects of these manifests: file, folder or - for standard input.")
@options.namespace()
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")
@options.selector()
def describe(
    words: tuple[str, ...],
    files: tuple[str, ...],
    recursive: bool,
    namespace: str,
    all_namespaces: bool,
    selector: str,
) -> None:
    """Show everything about objects, with their events."""
    now = system_time()

    async def work(client: RpcClient, default: str) -> tuple[list[tuple[str, list[Tree]]], list[ApiError]]:
        trees = read_manifests(files, recursive=recursive) if files else []
        targets = [target_of(tree) for tree in trees] if files else parse(words)
        where = "" if all_namespaces else namespace or default
        problems: list[ApiError] = []
        found: list[Object] = []
        for target in targets:
            try:
                found += await _objects(client, target, where, selector)
            except NotFound as error:
                problems.append(error)
        return [(await _text(client, each, now), await _events(client, each)) for each in found], problems

    described, problems = call(work)
    if not described and not problems:
        click.echo("No resources found", err=True)
    for index, (text, listed) in enumerate(described):
        click.echo(("\n\n" if index else "") + text + "\n" + _event_table(listed, now))
    fail_after(problems)


async def _text(client: RpcClient, each: Object, now: float) -> str:
    text = visible(description(each.resource, each.tree()))
    match each.resource:
        case "nodes":
            pods = await _trees(client, "pods", "", field_selector=f"spec.nodeName={each.name}")
            return f"{text}\n{node_usage(each.tree(), pods, now)}"
        case "namespaces":
            quotas = await _trees(client, "resourcequotas", each.name)
            limit_ranges = await _trees(client, "limitranges", each.name)
            return f"{text}\n{namespace_policies(quotas, limit_ranges)}"
        case _:
            return text


async def _trees(client: RpcClient, resource: str, namespace: str, field_selector: str = "") -> list[Tree]:
    """Objects that are shown beside another one."""
    return [each.tree() for each in (await client.list(resource, namespace, field_selector=field_selector)).items]


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
