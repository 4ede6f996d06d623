"""`tim api-versions`."""

from __future__ import annotations

import click

from api.scheme import KINDS, REVIEWS
from cli.verb import Verb


@click.command(name="api-versions", cls=Verb)
def api_versions() -> None:
    """List the API versions the cluster knows, as GROUP/VERSION."""
    click.echo("\n".join(sorted({kind.api_version for kind in (*KINDS, *REVIEWS)})))
