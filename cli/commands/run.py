"""`tim run`: a pod from a few options."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from api.errors import Conflict, NotFound
from api.object import Object, Tree
from cli import generators, options
from cli.connect import call, one_line_errors
from cli.creating import send_all
from cli.debugging import streams
from cli.output import object_name
from cli.service_generators import Exposure, exposing
from cli.sessions import Session, exit_code, follow, note, of_terminal
from cli.targets import kind_of, placed
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.command(
    cls=Verb,
    examples=(
        "tim run web --image nginx --port 80 --expose",
        "tim run once --image busybox --restart Never -- echo hello",
        "tim run shell -it --rm --image busybox --restart Never -- sh     a shell, gone when it ends",
        "tim run web --image nginx --dry-run=client -o yaml > web.yaml",
    ),
)
@click.argument("name")
@click.option("--image", required=True, help="The container's image.")
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="The port it listens on.")
@click.option("--expose", is_flag=True, help="With --port: also a Service in front of it.")
@click.option(
    "--env", "variables", multiple=True, metavar="NAME=VALUE", help="An environment variable; may be repeated."
)
@click.option("-l", "--labels", default="", metavar="A=B,C=D", help="The pod's labels [default: run=NAME].")
@click.option("--annotations", default="", metavar="A=B,C=D", help="The pod's annotations.")
@click.option(
    "--restart",
    type=click.Choice(["Always", "OnFailure", "Never"]),
    default="Always",
    show_default=True,
    help="When the container is started again.",
)
@options.pull_policy
@click.option("--command", "replaces", is_flag=True, help="What follows -- runs instead of the image's entry point.")
@options.joining
@click.option("--attach", is_flag=True, help="Show what it writes until it ends; -i does, too.")
@click.option("--rm", "remove", is_flag=True, help="Delete the pod afterwards; needs -i or --attach.")
@click.option("--leave-stdin-open", "lasting", is_flag=True, help="Its input does not end with ours.")
@click.option(
    "--pod-running-timeout",
    "patience",
    type=options.Duration(),
    default=60.0,
    metavar="DURATION",
    help="With -i or --attach: how long to wait for its start [default: 1m].",
)
@options.namespace()
@options.dry_run
@options.output("name", "yaml", "json")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARG...]")
def run(
    name: str,
    image: str,
    port: int | None,
    expose: bool,
    variables: tuple[str, ...],
    labels: str,
    annotations: str,
    restart: str,
    pull_policy: str | None,
    replaces: bool,
    use_stdin: bool,
    use_tty: bool,
    attach: bool,
    remove: bool,
    lasting: bool,
    patience: float,
    namespace: str,
    dry_run: str,
    output: str,
    arguments: tuple[str, ...],
) -> None:
    """Run an image in a pod."""
    attached = attach or use_stdin
    needs_input = "-t" if use_tty else "--leave-stdin-open" if lasting else ""
    if needs_input and not use_stdin:
        raise click.UsageError(f"{needs_input} needs -i")
    if remove and not attached:
        raise click.UsageError("--rm needs -i or --attach: else nobody knows when to delete the pod")
    if attached and (output or dry_run != "none"):
        raise click.UsageError("--dry-run and --output are for pods that nobody joins")
    if expose and port is None:
        raise click.UsageError("--expose needs --port")
    with one_line_errors():
        pod = generators.pod(
            name,
            image,
            arguments,
            replaces_entry_point=replaces,
            port=port,
            variables=variables,
            labels=labels,
            annotations=annotations,
            restart=restart,
            pull_policy=pull_policy or "",
        )
        trees: list[Tree] = [pod]
        if expose:
            trees.append(exposing(kind_of(pod), pod, Exposure()))
    if not attached:
        send_all(trees, namespace, dry_run, output)
        return
    use_tty = of_terminal(tty=use_tty, doing="running")
    pod["spec"]["containers"][0] |= streams(stdin=use_stdin, tty=use_tty, lasting=lasting)
    session = Session(use_stdin, use_tty, patience)
    waits = restart == "Never" and not lasting
    code = call(lambda client, default: _followed(client, trees, namespace or default, session, remove, waits))
    if code:
        raise click.exceptions.Exit(code)


async def _followed(
    client: RpcClient, trees: list[Tree], namespace: str, session: Session, remove: bool, waits: bool
) -> int:
    """Create the objects, the pod first, and follow it; the exit code of its container if that is waited for, else 0."""
    created: list[Object] = []
    try:
        for tree in trees:
            created += [await client.create(placed(tree, namespace, namespace))]
        pod = created[0]
        await follow(client, pod, pod.name, session)
        return await exit_code(client, pod) if waits else 0
    finally:
        for each in created if remove else ():
            with suppress(NotFound, Conflict):  # somebody else deleted it, or made another one of its name
                await client.delete(each.resource, each.namespace, each.name, uid=each.uid)
                note(f"{object_name(each)} deleted")
