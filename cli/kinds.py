"""The kinds that commands know: those of the program and, once a word is none of these, the custom ones of the cluster.

Most commands need only the first and so ask nobody. What was found out lasts for one command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import click

from api.errors import NotFound
from api.scheme import BUILT_IN, DEFINITIONS, Kind, Scheme

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

Found = TypeVar("Found")

_META: Final = "timonier.kinds"


def known() -> Scheme:
    """The kinds that this command knows so far."""
    context = click.get_current_context(silent=True)
    found = BUILT_IN if context is None else context.find_root().meta.get(_META, BUILT_IN)
    assert isinstance(found, Scheme), "nobody else writes there"
    return found


def find(look: Callable[[Scheme], Found]) -> Found:
    """What `look` finds among the kinds; if it raises NotFound, among those that the cluster has now."""
    try:
        return look(known())
    except NotFound as error:
        if click.get_current_context(silent=True) is None:
            raise
        try:
            kinds = of_cluster()
        except click.ClickException as problem:
            raise NotFound(f"{error} (the cluster was not heard of kinds of its own: {problem.message})") from None
        return look(kinds)


def of_cluster() -> Scheme:
    """The kinds that the cluster has now, known to this command from now on. ClickException when it cannot be asked."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - most commands ask nobody

    context = click.get_current_context()

    def ask() -> list[Kind]:
        from cli.connect import call  # noqa: PLC0415 - it stands on what reads command lines

        with context.scope(cleanup=False):
            return call(_custom)

    with ThreadPoolExecutor(1) as pool:  # a thread of its own: the loop of the command may be running in this one
        kinds = Scheme(pool.submit(ask).result())
    context.find_root().meta[_META] = kinds
    return kinds


def custom_in_category(word: str) -> Sequence[Kind]:
    """The cluster's own kinds that a name for several stands for; says so and returns none when the cluster does not tell."""
    if click.get_current_context(silent=True) is None:
        return ()
    try:
        scheme = known() if known() is not BUILT_IN else of_cluster()
    except click.ClickException as problem:
        click.echo(f"Warning: without the cluster's own kinds, of which it was not heard: {problem.message}", err=True)
        return ()
    return scheme.in_category(word)


async def _custom(client: RpcClient, _namespace: str) -> list[Kind]:
    from api.custom_kind import established, kinds_of  # noqa: PLC0415 - it reads schemas, and most commands do without

    trees = [each.tree() for each in (await client.list(DEFINITIONS)).items]
    return [kind for tree in trees if established(tree) for kind in kinds_of(tree)]
