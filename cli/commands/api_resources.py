"""`tim api-resources`."""

from __future__ import annotations

import click

from api.scheme import KINDS
from cli.output import align


@click.command(name="api-resources")
@click.option("--no-headers", is_flag=True)
def api_resources(no_headers: bool) -> None:
    """List the kinds the cluster knows."""
    table = [["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]]
    table += [
        [kind.plural, ",".join(kind.short_names), kind.api_version, str(kind.namespaced).lower(), kind.kind]
        for kind in sorted(KINDS, key=lambda each: (each.group, each.plural))
    ]
    click.echo(align(table[1:] if no_headers else table))
