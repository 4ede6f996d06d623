"""`tim run`: a pod from a few options."""

from __future__ import annotations

import click

from api.object import Tree
from cli import generators, options
from cli.connect import one_line_errors
from cli.creating import send_all
from cli.service_generators import Exposure, exposing
from cli.targets import kind_of
from cli.verb import Verb


@click.command(
    cls=Verb,
    examples=(
        "tim run web --image nginx --port 80 --expose",
        "tim run once --image busybox --restart Never -- echo hello",
        "tim run shell --image busybox --command -- sleep 1d      then: tim exec -it shell -- sh",
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
@click.option(
    "--image-pull-policy",
    "pull_policy",
    type=click.Choice(["Always", "IfNotPresent", "Never"]),
    default=None,
    help="When the image is pulled.",
)
@click.option("--command", "replaces", is_flag=True, help="What follows -- runs instead of the image's entry point.")
@click.option("-i", "--stdin", "use_stdin", is_flag=True, hidden=True, help="Not here: see exec.")
@click.option("-t", "--tty", "use_tty", is_flag=True, hidden=True, help="Not here: see exec.")
@click.option("--attach", is_flag=True, hidden=True, help="Not here: see logs.")
@click.option("--rm", is_flag=True, hidden=True, help="Not here: see delete.")
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
    rm: bool,
    namespace: str,
    dry_run: str,
    output: str,
    arguments: tuple[str, ...],
) -> None:
    """Run an image in a pod."""
    if use_stdin or use_tty or attach or rm:
        raise click.UsageError(
            "-i, -t, --attach and --rm are not supported: start the pod, then `tim exec -it`, `tim logs -f`, `tim delete`"
        )
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
    send_all(trees, namespace, dry_run, output)
