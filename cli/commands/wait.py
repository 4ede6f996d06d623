"""`tim wait`: until objects meet a condition."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from api.errors import ApiError, NotFound
from api.object import Object
from cli import options
from cli.conditions import Condition, Created, Deleted, read
from cli.connect import call, fail_after
from cli.edit import chosen
from cli.follow import TimedOut, wait_created, wait_gone, wait_until
from cli.mistakes import Misused
from cli.output import object_name
from cli.targets import parse
from cli.verb import Verb
from component.client import ApiClient

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.command(
    cls=Verb,
    examples=(
        "tim wait pod/web --for=condition=Ready",
        "tim wait deploy/web --for=condition=Available --timeout=2m",
        "tim wait pods -l app=web --for=delete",
        "tim wait pod/web --for=jsonpath='{.status.phase}'=Running",
        "tim wait cm/settings --for=create",
    ),
)
@click.argument("words", nargs=-1, required=True, metavar="KIND NAME... | KIND/NAME... | KIND -l SELECTOR")
@click.option("--for", "text", required=True, metavar="CONDITION", help="What to wait for; see above.")
@options.namespace()
@options.selector()
@click.option("--all", "everything", is_flag=True, help="All objects of the kind in the namespace.")
@click.option("--timeout", type=options.Duration(), default="30s", show_default=True, help="How long; 0: look once.")
def wait(words: tuple[str, ...], text: str, namespace: str, selector: str, everything: bool, timeout: float) -> None:
    """Wait until objects meet a condition; exits 1 when they do not in time."""

    async def work(client: RpcClient, default: str) -> list[ApiError]:
        condition, where = read(text), namespace or default
        if isinstance(condition, Created):
            return await _created(client, words, where, timeout)
        found = await _objects(client, words, where, selector, everything=everything, condition=condition)
        results = await asyncio.gather(*(_wait(client, each, condition, timeout) for each in found))
        return [problem for problem in results if problem is not None]

    fail_after(call(work))


async def _created(client: ApiClient, words: tuple[str, ...], namespace: str, limit: float) -> list[ApiError]:
    problems: list[ApiError] = []
    for target in parse(words):
        if not target.name:
            raise Misused("--for=create needs the object's name")
        where = namespace if target.kind.namespaced else ""
        try:
            async with asyncio.timeout(limit):
                stored = await wait_created(client, target.kind.resource, where, target.name)
        except TimeoutError:
            problems.append(TimedOut(f"timed out waiting for {target.kind.singular}/{target.name} to be created"))
        else:
            click.echo(f"{object_name(stored)} condition met")
    return problems


async def _wait(client: ApiClient, each: Object, condition: Condition, limit: float) -> ApiError | None:
    try:
        if callable(condition) and condition((await client.get(each.resource, each.namespace, each.name)).tree()):
            click.echo(f"{object_name(each)} condition met")
            return None
        async with asyncio.timeout(limit):
            await (wait_until(client, each, condition) if callable(condition) else wait_gone(client, each))
    except TimeoutError:
        return TimedOut(f"timed out waiting for the condition on {object_name(each)}")
    except NotFound as error:
        return error
    click.echo(f"{object_name(each)} condition met")
    return None


async def _objects(
    client: ApiClient,
    words: tuple[str, ...],
    namespace: str,
    selector: str,
    *,
    everything: bool,
    condition: Condition,
) -> list[Object]:
    """What is there of the objects meant. NotFound, unless it is their end that is waited for."""
    found: list[Object] = []
    for target in await chosen(client, words, namespace, selector=selector, everything=everything):
        where = namespace if target.kind.namespaced else ""
        try:
            found.append(await client.get(target.kind.resource, where, target.name))
        except NotFound:
            if not isinstance(condition, Deleted):
                raise
    if not found and not isinstance(condition, Deleted):
        raise NotFound("no matching objects")
    return found
