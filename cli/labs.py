"""What all `tim lab` commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from lab.layout import LabProblem

name_option = click.option("--name", default="lab", show_default=True, help="Which lab.", metavar="NAME")


@contextmanager
def lab_errors() -> Iterator[None]:
    """Show a LabProblem as one line."""
    try:
        yield
    except LabProblem as problem:
        raise click.ClickException(str(problem)) from problem
