"""`tim api-resources`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from api.scheme import KINDS, Kind
from cli import options
from cli.connect import warn
from cli.kinds import of_cluster
from cli.output import align
from cli.verb import Verb


@click.command(name="api-resources", cls=Verb)
@click.option("--no-headers", is_flag=True, help="No line with the columns' names.")
@click.option("--namespaced/--not-namespaced", default=None, help="Only kinds that live in namespaces, or only others.")
@click.option("-o", "--output", type=options.Output(("name",)), default="", help="Only the names.")
def api_resources(no_headers: bool, namespaced: bool | None, output: str) -> None:
    """List the kinds the cluster knows."""
    kinds = sorted(_all(), key=lambda each: (each.group, each.plural))
    kinds = [kind for kind in kinds if namespaced in {None, kind.namespaced}]
    if output == "name":
        click.echo("\n".join(kind.resource for kind in kinds))
        return
    table = [["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]]
    table += [
        [kind.plural, ",".join(kind.short_names), kind.api_version, str(kind.namespaced).lower(), kind.kind]
        for kind in kinds
    ]
    click.echo(align(table[1:] if no_headers else table))


def _all() -> Sequence[Kind]:
    """Those of the cluster, too, if it can be asked."""
    try:
        return of_cluster().kinds
    except click.ClickException as error:
        warn(f"without the cluster's custom kinds: {error.message}")
        return KINDS
