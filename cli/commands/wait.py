"""`tim wait`: until objects meet a condition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import click

from api.errors import ApiError, Expired, Invalid, NotFound
from api.object import Object, Tree
from cli.columns import at
from cli.commands.delete import wait_gone
from cli.commands.logs import seconds
from cli.connect import call, fail_after
from cli.output import object_name
from cli.targets import parse
from component.rpc_client import RpcClient

Test = Callable[[Tree], bool]


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="KIND NAME... | KIND/NAME... | KIND -l SELECTOR")
@click.option("--for", "condition", required=True, help="condition=Ready[=True], delete, or jsonpath={.a.b}=VALUE")
@click.option("-n", "--namespace", default="")
@click.option("-l", "--selector", default="")
@click.option("--all", "everything", is_flag=True)
@click.option("--timeout", default="30s", show_default=True)
def wait(words: tuple[str, ...], condition: str, namespace: str, selector: str, everything: bool, timeout: str) -> None:
    """Wait until objects meet a condition; exits 1 when they do not in time."""

    async def work(client: RpcClient, default: str) -> list[ApiError]:
        test = read_condition(condition)
        limit = seconds(timeout)
        found = await _objects(client, words, namespace or default, selector, everything=everything, gone=test is None)

        async def one(each: Object) -> ApiError | None:
            try:
                async with asyncio.timeout(limit):
                    await (wait_gone(client, each) if test is None else wait_until(client, each, test))
            except TimeoutError:
                return Expired(f"timed out waiting for the condition on {object_name(each)}")
            except NotFound as error:
                return error
            click.echo(f"{object_name(each)} condition met")
            return None

        return [problem for problem in await asyncio.gather(*map(one, found)) if problem is not None]

    fail_after(call(work))


def read_condition(text: str) -> Test | None:
    """The test a --for value stands for; None for deletion. Invalid."""
    if text == "delete":
        return None
    word, _, rest = text.partition("=")
    if word == "condition" and rest:
        name, _, value = rest.partition("=")
        return lambda tree: _condition(tree, name, value or "True")
    if word == "jsonpath" and rest.startswith("{.") and "}=" in rest:
        path, _, value = rest.removeprefix("{.").partition("}=")
        return lambda tree: str(at(tree, path)).lower() == value.strip("'\"").lower()
    raise Invalid(f"--for {text!r}: use condition=NAME, delete or jsonpath={{.path}}=VALUE")


async def wait_until(client: RpcClient, each: Object, test: Test) -> None:
    """Return once the object passes; NotFound when it is deleted meanwhile."""
    while True:
        found = await client.get(each.resource, each.namespace, each.name)
        if test(found.tree()):
            return
        try:
            async for events in client.watch(
                each.resource, each.namespace, revision=found.revision, field_selector=f"metadata.name={each.name}"
            ):
                for event in events:
                    if event.type == "DELETED":
                        raise NotFound(f"{object_name(each)} was deleted")
                    if event.object is not None and test(event.object.tree()):
                        return
        except Expired:
            continue


def _condition(tree: Tree, name: str, value: str) -> bool:
    generation = at(tree, "metadata.generation", 0)
    if at(tree, "status.observedGeneration", generation) < generation:
        return False
    return any(
        each["type"].lower() == name.lower() and each["status"].lower() == value.lower()
        for each in at(tree, "status.conditions", [])
    )


async def _objects(
    client: RpcClient, words: tuple[str, ...], namespace: str, selector: str, *, everything: bool, gone: bool
) -> list[Object]:
    found: list[Object] = []
    for target in parse(words):
        where = namespace if target.kind.namespaced else ""
        if target.name:
            try:
                found.append(await client.get(target.kind.resource, where, target.name))
            except NotFound:
                if not gone:
                    raise
        elif selector or everything:
            found.extend((await client.list(target.kind.resource, where, label_selector=selector)).items)
        else:
            raise Invalid(f"name the {target.kind.plural}, or choose with -l or --all")
    if not found and not gone:
        raise NotFound("no matching objects")
    return found
