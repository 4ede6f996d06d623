"""What may stand where the cursor is: kinds, and names of objects as the cluster has them. Silent when it cannot be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from api import scheme
from api.errors import ApiError
from api.scheme import KINDS
from cli import targets
from cli.connect import call

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

PATIENCE_SECONDS = 2.0
"""A person waits: after so long without an answer nothing is proposed."""


def candidates(what: str, context: click.Context, incomplete: str) -> list[str]:
    """Proposals for one word. `what` is "objects" (kinds, names, KIND/NAME) or the resource whose names are wanted."""
    with context:
        if what != "objects":
            return _starting(_names(what, context), incomplete)
        given = [str(word) for word in context.params.get("words") or ()]
        if "/" in incomplete:
            kind = incomplete.partition("/")[0]
            return _starting([f"{kind}/{name}" for name in _names_of(kind, context)], incomplete)
        if not given:
            before, comma, last = incomplete.rpartition(",")
            return [before + comma + each for each in _starting(_kinds(), last)]
        if "/" in given[0]:
            return []
        return _starting([name for name in _names_of(given[0], context) if name not in given[1:]], incomplete)


def _kinds() -> list[str]:
    return [kind.plural for kind in KINDS]


def _names_of(word: str, context: click.Context) -> Sequence[str]:
    try:
        return _names(targets.lookup(word).resource, context)
    except ApiError:
        return ()


def _names(resource: str, context: click.Context) -> list[str]:
    kind, chosen = scheme.by_resource(resource), str(context.params.get("namespace") or "")

    async def work(client: RpcClient, default: str) -> list[str]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            found = await client.list(resource, (chosen or default) if kind.namespaced else "")
        return sorted(each.name for each in found.items)

    try:
        return call(work)
    except (click.ClickException, TimeoutError):
        return []


def _starting(words: Sequence[Any], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
