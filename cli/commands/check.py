"""`tim check`: the preflight."""

from __future__ import annotations

import click

from cli.verb import Verb
from lab.preflight import check_machine


@click.command(cls=Verb)
def check() -> None:
    """Tell whether this machine can run a node or a lab; changes nothing. Exits 1 when something is in the way."""
    failed = 0
    for finding in check_machine():
        mark = "ok  " if not finding.remedy else "warn" if finding.passed else "FAIL"
        click.echo(f"{mark} {finding.name}: {finding.detail}" + (f" -> {finding.remedy}" if finding.remedy else ""))
        failed += not finding.passed
    if failed:
        raise click.ClickException(f"{failed} checks failed: see the remedies above")
