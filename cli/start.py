"""The program `tim`: runs the command line so that little time passes around it.

It decides nothing about commands; `cli.main` does, and tests run that in their own process.
"""

from __future__ import annotations

import gc
import os
import sys

ALLOCATIONS = 50_000
"""Between two garbage collections. What a start loads stays: looking through it for garbage is a tenth of a start."""


def main() -> None:
    """Run the command line of this process and end the process."""
    gc.set_threshold(ALLOCATIONS)
    from cli.main import main as command_line  # noqa: PLC0415 - after the line above, for which it is the reason

    if sys.stdout is None:  # it was closed before the start: what would be printed goes nowhere
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    code: object = 0
    try:
        command_line()
    except SystemExit as done:
        code = done.code
    leave(code if isinstance(code, int) else 0)


def leave(code: int) -> None:
    """End the process at once: taking modules and gRPC apart in good order takes longer than most commands.

    What was printed is out; when it cannot be, the process fails.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # a reader such as `head` that has seen enough
        code = code or 1
    except OSError as error:
        code = code or 1
        os.write(2, f"Error: standard output: {error.strerror}\n".encode())
    os._exit(code)
