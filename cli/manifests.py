"""What `apply` and `create` share: a row of objects, sent one by one or together, with every refusal told at the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from api.errors import ApiError, Invalid, Unavailable
from api.object import Tree
from cli.targets import namespaces_first, placed
from component.client import TransactionResult, Write

Send = Callable[[Tree], Awaitable[None]]


async def send_each(trees: Sequence[Tree], chosen: str, default: str, send: Send) -> list[ApiError]:
    """Send each object, Namespaces first, into the namespace it belongs to; returns the errors of those refused."""
    problems: list[ApiError] = []
    for tree in namespaces_first(trees):
        try:
            await send(placed(tree, chosen, default))
        except Unavailable as error:  # the others would fail the same way, each after its time-out
            return [*problems, error]
        except ApiError as error:
            problems.append(_named(error, tree))
    return problems


def writes_of(trees: Sequence[Tree], chosen: str, default: str) -> tuple[list[Write], list[ApiError]]:
    """The objects as operations of one transaction, Namespaces first, and the errors of those that cannot be any."""
    writes: list[Write] = []
    problems: list[ApiError] = []
    for tree in namespaces_first(trees):
        try:
            writes.append(Write("apply", placed(tree, chosen, default)))
        except ApiError as error:
            problems.append(_named(error, tree))
    return writes, problems


def refusals(writes: Sequence[Write], result: TransactionResult) -> list[ApiError]:
    """Every reason why a transaction was refused, one for each object and field."""
    reasons: list[ApiError] = []
    for write, each in zip(writes, result.results, strict=True):
        if isinstance(each.error, Invalid) and each.error.fields:
            reasons += [_named(Invalid(str(each.error.args[0]), [fault]), write.tree) for fault in each.error.fields]
        elif each.error is not None:
            reasons.append(_named(each.error, write.tree))
    return reasons


def _named(error: ApiError, tree: Tree) -> ApiError:
    """The error, with the object's kind and name in front unless it says them."""
    metadata = tree.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    if name and f'"{name}"' in str(error):
        return error
    return type(error)(f'{tree.get("kind")} "{name}": {error}')
