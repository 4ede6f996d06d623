"""`tim expose`: a Service in front of what runs already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from api.errors import ApiError
from cli import options
from cli.connect import call, fail_after
from cli.output import told
from cli.service_generators import Exposure, exposing
from cli.targets import Target, parse
from cli.verb import Verb

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from component.rpc_client import RpcClient


@click.command(
    cls=Verb,
    examples=(
        "tim expose deploy/web --port 80 --target-port 8080",
        "tim expose pod web --name front --port 80",
        "tim expose svc/web --name web-internal --cluster-ip None",
    ),
)
@click.argument("words", nargs=-1, required=True, metavar="KIND/NAME... | KIND NAME...")
@options.namespace()
@click.option("--name", default="", help="The Service's name [default: that of the object].")
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="Its port [default: those the object names].")
@click.option("--target-port", default="", metavar="PORT|NAME", help="The pods' port [default: the same].")
@click.option(
    "--protocol", type=click.Choice(["TCP", "UDP", "SCTP"]), default=None, help="[default: as the object says, or TCP]"
)
@click.option(
    "--type",
    "service_type",
    type=click.Choice(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]),
    default=None,
    help="Who reaches it [default: ClusterIP].",
)
@click.option("--selector", default="", metavar="A=B,C=D", help="Labels of its pods [default: as the object selects].")
@click.option("-l", "--labels", default="", metavar="A=B,C=D", help="The Service's labels [default: the object's].")
@click.option("--cluster-ip", default="", metavar="IP|None", help="This address; None: headless.")
@click.option(
    "--session-affinity", type=click.Choice(["None", "ClientIP"]), default=None, help="Keep clients at their pod."
)
@options.dry_run
@options.output("name", "yaml", "json")
def expose(words: tuple[str, ...], namespace: str, dry_run: str, output: str, **chosen: Any) -> None:
    """Create a Service in front of the pods of an object."""
    wanted = Exposure(**{name: value for name, value in chosen.items() if value is not None})
    done = "exposed" if dry_run == "none" else "exposed (dry run)"

    async def work(client: RpcClient, default: str) -> list[ApiError]:
        problems: list[ApiError] = []
        for target in _named(words):
            try:
                stored = await client.get(target.kind.resource, namespace or default, target.name)
                tree = exposing(target.kind, stored.tree(), wanted)
                tree["metadata"]["namespace"] = stored.namespace
                click.echo(told(await client.create(tree, dry_run=dry_run != "none"), done, output))
            except ApiError as error:
                problems.append(error)
        return problems

    fail_after(call(work))


def _named(words: tuple[str, ...]) -> list[Target]:
    """The objects that words name. Misused."""
    targets = parse(words)
    for target in targets:
        if not target.name:
            raise click.UsageError(f"name the {target.kind.plural} to expose")
        if not target.kind.namespaced:
            raise click.UsageError(f"{target.kind.plural} have no pods to expose")
    return targets
