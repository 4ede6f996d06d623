"""What all forms of `tim create` share: their options, and sending what they made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from api.errors import ApiError
from api.object import Object, Tree, canonical
from cli import options
from cli.connect import call, fail_after, one_line_errors
from cli.manifests import send_each
from cli.output import told
from cli.targets import kind_of
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

Function = TypeVar("Function", bound=Callable[..., Any])


def common(function: Function) -> Function:
    """Decorator: what every kind takes, `name`, `namespace`, `dry_run` and `output`."""
    for option in (options.output("name", "yaml", "json"), options.dry_run, options.namespace()):
        function = option(function)
    return click.argument("name")(function)


def generator(
    name: str,
    build: Callable[..., Tree],
    help_text: str,
    *own_options: Callable[[Callable[..., Any]], Callable[..., Any]],
    examples: Sequence[str] = (),
) -> click.Command:
    """The command `tim create NAME`: what `build` makes of the object's name and the values of its own options.

    An option is called as the parameter of `build` that it is for.
    """

    def run(name: str, namespace: str, dry_run: str, output: str, **own: Any) -> None:
        with one_line_errors():
            tree = build(name, **own)
        send_all([tree], namespace, dry_run, output)

    function: Callable[..., Any] = run
    for option in reversed(own_options):
        function = option(function)
    return click.command(name, cls=Verb, help=help_text, examples=examples)(common(function))


def send_all(trees: list[Tree], namespace: str, dry_run: str, output: str) -> None:
    """Create the objects and tell of each, or with a dry run of the client only show them."""
    done = "created" if dry_run == "none" else "created (dry run)"

    async def work(client: RpcClient, default: str) -> list[ApiError]:
        async def send(tree: Tree) -> None:
            click.echo(told(await client.create(tree, dry_run=dry_run == "server"), done, output))

        return await send_each(trees, namespace, default, send)

    if dry_run != "client":
        fail_after(call(work))
        return
    with one_line_errors():
        for tree in trees:
            click.echo(told(_unsent(tree, namespace), done, output))


def _unsent(tree: Tree, namespace: str) -> Object:
    """The object as it would be sent, with a namespace only if one was chosen. NotFound."""
    kind = kind_of(tree)
    metadata = dict(tree.get("metadata") or {})
    if namespace and kind.namespaced:
        metadata["namespace"] = namespace
    name = str(metadata.get("name") or metadata.get("generateName", ""))
    return Object(kind.resource, namespace, name, "", 0, canonical({**tree, "metadata": metadata}))
