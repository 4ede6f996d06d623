"""SIGUSR1 makes a program tell where it stands: the stack of every thread, then what every task waits for.

For a program that is there and does nothing. The threads are told by the signal handler itself, so also of one whose
event loop stands still; the tasks by the loop. Both go to standard error as they are: they are read, not searched.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

TOLD_TASKS = 200  # the oldest: a program's own parts are among them, what comes later is mostly requests


def tell_stacks_when_asked() -> None:
    """From now on, by the running loop."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell_tasks, sys.stderr)
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=True)


def tell_tasks(output: TextIO) -> None:
    """Write a line for every task of the running loop: its name, and the functions it is in, the innermost last."""
    tasks = sorted(asyncio.all_tasks(), key=lambda task: (len(task.get_name()), task.get_name()))
    output.write(f"{len(tasks)} tasks\n")
    output.writelines(f"{task.get_name()}: {' > '.join(_places(task.get_coro()))}\n" for task in tasks[:TOLD_TASKS])
    output.flush()


def _places(running: Any) -> Iterator[str]:
    """Where a coroutine is, what it awaits, and so on."""
    while running is not None:
        kind = _kind(running)
        if not kind:  # a future, a step of an asynchronous generator, or what a library written in C makes
            generator = next(filter(_kind, gc.get_referents(running)), None)
            if generator is None:
                yield type(running).__name__
            running = generator
            continue
        frame = getattr(running, f"{kind}_frame")
        if frame is None:
            return
        yield f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
        running = getattr(running, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")


def _kind(running: Any) -> str:
    """The prefix of its attributes: of a coroutine, an asynchronous or another generator; "" of anything else."""
    return next((kind for kind in ("cr", "ag", "gi") if hasattr(running, f"{kind}_frame")), "")
