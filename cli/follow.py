"""Waiting for one object: until it passes a test, exists, or is gone. Looks again after every change, never in steps."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from api.errors import ApiError, Expired, NotFound
from api.object import Object, Tree
from cli.output import object_name
from component.client import ApiClient

Test = Callable[[Tree], bool]


class TimedOut(ApiError):
    """What was waited for did not happen in the time given."""


async def wait_until(client: ApiClient, each: Object, test: Test) -> None:
    """Return once the object passes; NotFound when it is deleted meanwhile, or another one has its name."""
    async with aclosing(_states(client, each.resource, each.namespace, each.name)) as states:
        async for found in states:
            if found is None or found.uid != each.uid:
                raise NotFound(f"{object_name(each)} was deleted")
            if test(found.tree()):
                return


async def wait_gone(client: ApiClient, each: Object) -> None:
    """Return when the object with this uid does not exist any more."""
    async with aclosing(_states(client, each.resource, each.namespace, each.name)) as states:
        async for found in states:
            if found is None or found.uid != each.uid:
                return


async def wait_created(client: ApiClient, resource: str, namespace: str, name: str) -> Object:
    """Return the object as soon as there is one of that name."""
    async with aclosing(_states(client, resource, namespace, name)) as states:
        async for found in states:
            if found is not None:
                return found
    raise AssertionError


async def _states(client: ApiClient, resource: str, namespace: str, name: str) -> AsyncGenerator[Object | None]:
    """The object now and after every change; None while it does not exist. Never ends."""
    field_selector = f"metadata.name={name}"
    while True:
        listed = await client.list(resource, namespace, field_selector=field_selector)
        yield listed.items[0] if listed.items else None
        watch = client.watch(resource, namespace, revision=listed.revision, field_selector=field_selector)
        try:
            async with aclosing(watch) as batches:  # type: ignore[type-var] # both clients' watches are generators
                async for events in batches:
                    for event in events:
                        if event.type != "BOOKMARK":
                            yield None if event.type == "DELETED" else event.object
        except Expired:
            continue
