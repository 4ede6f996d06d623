"""`tim plugin`."""

from __future__ import annotations

import os

import click

from cli.verb import VerbGroup


@click.group(cls=VerbGroup, examples=("tim plugin list",))
def plugin() -> None:
    """Programs called tim-NAME on the path, which `tim NAME` runs.

    `tim a b-c x` runs tim-a-b_c with the argument x if there is one, else tim-a with all the rest.
    """


@plugin.command("list")
@click.option("--name-only", is_flag=True, help="Without the folders.")
@click.pass_context
def list_plugins(ctx: click.Context, name_only: bool) -> None:
    """List the plugins on the path, with what keeps one from being run."""
    from cli.plugins import listed  # noqa: PLC0415 - help does without it

    root = ctx.find_root().command
    assert isinstance(root, click.Group)
    found = list(listed(os.environ.get("PATH", ""), root.list_commands(ctx)))
    for each in found:
        click.echo(each.path.name if name_only else each.path)
        if each.problem:
            click.echo(f"  - {each.problem}", err=True)
    if not found:
        raise click.ClickException("there are no programs called tim-NAME on the path")
