"""`tim debug`: a container that looks into a pod or a node, or a copy of a pod to try things on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from api.names import safe_text
from api.object import Object, Tree
from cli import debugging, generators, options
from cli.connect import call, one_line_errors
from cli.pods import choose_container, container_names, find_pod
from cli.sessions import Session, follow, note, of_terminal
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient

PART: Final = "ephemeralcontainers"
_NODES = ("node", "nodes", "no")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The command line, as far as it says what to make."""

    target: str
    copy_to: str
    same_node: bool
    images: dict[str, str]


@click.command(
    cls=Verb,
    examples=(
        "tim debug web -it --image busybox --target app      see the processes of its container app",
        "tim debug web -it --image busybox --copy-to web-2   a copy of the pod, with one container more",
        "tim debug web --copy-to web-2 --set-image app=app:2   a copy with another image",
        "tim debug node/n1 -it --image busybox               the node's processes, and its files in /host",
    ),
)
@options.namespace()
@click.option("--image", default="", help="The image of the container to look with.")
@click.option("-c", "--container", default="", metavar="NAME", help="Its name [default: debugger-...].")
@click.option("--target", default="", metavar="NAME", help="See the processes of this container of the pod.")
@click.option("--copy-to", default="", metavar="NAME", help="Make a copy of the pod, and debug that.")
@click.option(
    "--set-image", "images", multiple=True, metavar="NAME=IMAGE", help="With --copy-to: another image; NAME * is all."
)
@click.option("--same-node", is_flag=True, help="With --copy-to: on the pod's node.")
@click.option("--env", "variables", multiple=True, metavar="NAME=VALUE", help="An environment variable.")
@options.pull_policy
@options.joining
@click.option("--attach", is_flag=True, help="Show what it writes until it ends.")
@click.argument("pod", metavar="POD | KIND/NAME | node/NAME")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
def debug(
    namespace: str,
    image: str,
    container: str,
    variables: tuple[str, ...],
    pull_policy: str | None,
    use_stdin: bool,
    use_tty: bool,
    attach: bool,
    pod: str,
    command: tuple[str, ...],
    **own: Any,
) -> None:
    """Look into a pod with another container, which sees its network and volumes; into a copy of it, or into a node."""
    with one_line_errors():
        own["images"] = generators.pairs(",".join(own["images"]), "--set-image")
        chosen = Chosen(**own)
        _check(chosen, image, container, pod, tty=use_tty, stdin=use_stdin)
        found = [generators.variable(each) for each in variables]
    use_tty = of_terminal(tty=use_tty, doing="debugging")
    name = container or f"debugger-{_suffix()}"
    if not container and image:
        note(f"the container is called {name}")
    wanted = debugging.Wanted(name, image, command, found, pull_policy or "", use_stdin, use_tty)

    async def work(client: RpcClient, default: str) -> None:
        place = namespace or default
        made, told = await _made(client, pod, place, wanted, chosen)
        if attach or use_stdin:
            shown = wanted.name if wanted.name in container_names(made.tree()) else ""
            await follow(client, made, choose_container(made.tree(), shown)[0], Session(use_stdin, use_tty))
        else:
            click.echo(told)

    call(work)


def _check(chosen: Chosen, image: str, container: str, pod: str, *, tty: bool, stdin: bool) -> None:
    """A usage error for what does not go together."""
    copied = bool(chosen.copy_to)
    rules = (
        (not image and not chosen.images and not (copied and container), "name the --image to look with"),
        (chosen.images and not copied, "--set-image needs --copy-to: a running pod keeps its images"),
        (chosen.same_node and not copied, "--same-node needs --copy-to"),
        (chosen.target and copied, "either --target or --copy-to: a copy shares no processes with the pod"),
        ((chosen.target or copied) and _node_of(pod), "--target and --copy-to are for pods"),
        (tty and not stdin, "-t needs -i"),
    )
    for wrong, why in rules:
        if wrong:
            raise click.UsageError(why)


async def _made(
    client: RpcClient, word: str, namespace: str, wanted: debugging.Wanted, chosen: Chosen
) -> tuple[Object, str]:
    """The pod to look into, with the container in it, and what to tell of it."""
    if node := _node_of(word):
        await client.get("nodes", "", node)
        tree = debugging.node_debugger(node, f"node-debugger-{node}-{_suffix()}", wanted)
        return await _created(client, tree, namespace)
    pod = await find_pod(client, word, namespace, tell=note)
    if chosen.copy_to:
        tree = debugging.copy_of(pod.tree(), chosen.copy_to, wanted, chosen.images, same_node=chosen.same_node)
        return await _created(client, tree, pod.namespace)
    patch = debugging.addition(wanted, chosen.target)
    patched = await client.patch("pods", pod.namespace, pod.name, "strategic", patch, subresource=PART)
    return patched, f"pod/{pod.name} got container {wanted.name}"


async def _created(client: RpcClient, tree: Tree, namespace: str) -> tuple[Object, str]:
    made = await client.create({**tree, "metadata": {**tree["metadata"], "namespace": namespace}})
    return made, f"pod/{made.name} created"


def _node_of(word: str) -> str:
    """The node that is meant, "" when a pod is."""
    kind, _, name = word.partition("/")
    return name if kind.lower() in _NODES else ""


def _suffix() -> str:
    from component.env import system_env  # noqa: PLC0415 - help does without

    return safe_text(system_env().new_uid().encode(), 5)
