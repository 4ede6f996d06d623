"""`tim explain`: kinds and fields, from the types themselves; asks no cluster."""

from __future__ import annotations

import click

from cli.connect import one_line_errors
from cli.verb import Completed, Verb


@click.command(
    cls=Verb,
    examples=(
        "tim explain pods                       what a Pod is made of",
        "tim explain deployment.spec.strategy   one field and those in it",
        "tim explain svc.spec --recursive       with all below",
    ),
)
@click.argument("word", type=Completed("objects"), metavar="KIND[.FIELD...]")
@click.option("--recursive", is_flag=True, help="Fields of fields, too.")
def explain(word: str, recursive: bool) -> None:
    """Describe the fields of a kind, and what of them is not supported yet."""
    from cli.explaining import explain as explained  # noqa: PLC0415 - help does without the types

    with one_line_errors():
        click.echo(explained(word, recursive=recursive))
