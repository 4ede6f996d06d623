"""What `apply` and `create` share: a row of objects, each sent by itself, with every refusal told at the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from api.errors import ApiError, Unavailable
from api.object import Tree
from cli.targets import namespaces_first, placed

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


def _named(error: ApiError, tree: Tree) -> ApiError:
    """The error, with the object's kind and name in front unless it says them."""
    metadata = tree.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    if name and name in str(error):
        return error
    return type(error)(f'{tree.get("kind")} "{name}": {error}')
