"""`tim get`: what to list and how; `cli.listing` does it. Loads little: `tim get --help` must be quick."""

from __future__ import annotations

from typing import Any

import click

from cli import options
from cli.verb import Verb


@click.command(
    cls=Verb,
    examples=(
        "tim get pods                      the pods of the namespace",
        "tim get pods,svc -A -o wide       pods and services of all namespaces",
        "tim get deploy/web -o yaml        one object, whole",
        "tim get pods -l app=web -w        and then what changes",
        "tim get pods --ago 10m            as they were ten minutes ago",
        "tim get pods --stale=1m           also from a replica that lost the others within the last minute",
        "tim get pods --sort-by=.metadata.creationTimestamp",
        "tim get pods -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName",
        "tim get nodes -o jsonpath='{range .items[*]}{.metadata.name}{\"\\n\"}{end}'",
        "tim get all                       pods, services, deployments, replica sets",
    ),
)
@click.argument("words", nargs=-1, metavar="KIND[,KIND...] [NAME...] | KIND/NAME...")
@options.files("The objects of these manifests: file, folder or - for standard input.")
@options.namespace()
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces, with a column that names them.")
@options.selector()
@click.option(
    "--field-selector", default="", metavar="FIELDS", help="Only those: status.phase=Running,spec.nodeName=n1"
)
@click.option(
    "-o", "--output", type=options.Output(shaped=True), default="table", help="How to print [default: table]."
)
@options.at
@options.stale
@click.option("-w", "--watch", is_flag=True, help="Go on and print what changes.")
@click.option("--watch-only", is_flag=True, help="Print only what changes from now on.")
@click.option("--ignore-not-found", is_flag=True, help="No error when an object does not exist.")
@click.option("--show-labels", is_flag=True, help="A column with all labels.")
@click.option("--show-kind", is_flag=True, help="Names with their kind in front.")
@click.option("-L", "--label-columns", multiple=True, metavar="LABEL", help="A column for this label; may be repeated.")
@click.option("--sort-by", default="", metavar="PATH", help="Sort by this field: .metadata.creationTimestamp")
@click.option("--show-managed-fields", is_flag=True, help="YAML and JSON with who owns which fields.")
@click.option("--no-headers", is_flag=True, help="No line with the columns' names.")
def get(**chosen: Any) -> None:
    """List objects, or show some by name."""
    from cli.connect import call, one_line_errors  # noqa: PLC0415 - the same
    from cli.listing import Listing, Question  # noqa: PLC0415 - help does without kinds and columns

    question = Question(**chosen)
    with one_line_errors():
        question.check()
    call(lambda client, namespace: Listing(client, question, namespace).give())
