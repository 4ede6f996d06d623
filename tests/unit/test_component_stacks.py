"""A program that is asked tells where its threads and tasks stand, also one whose loop stands still."""

import asyncio
import io
import signal
import subprocess
import sys

import pytest

from component.stacks import tell_tasks

WAITING = """
import asyncio, sys, time, uvloop
from component.stacks import tell_stacks_when_asked

async def waits_for_long():
    await asyncio.sleep(60)

def blocks():
    print("ready", flush=True)
    time.sleep(60)

async def main():
    tell_stacks_when_asked()
    task = asyncio.ensure_future(waits_for_long())
    await asyncio.sleep(0)
    if sys.argv[1] == "blocked":
        blocks()
    print("ready", flush=True)
    await task

(uvloop if sys.argv[2] == "uvloop" else asyncio).run(main())
"""


def told(how, loop, expected):
    """What such a program writes after the signal, up to a line with `expected`."""
    command = [sys.executable, "-c", WAITING, how, loop]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout.readline() == "ready\n"
            program.send_signal(signal.SIGUSR1)
            lines = []
            while not lines or expected not in lines[-1]:
                lines.append(program.stderr.readline())
                assert lines[-1], lines
            return "".join(lines)
        finally:
            program.kill()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_threads_and_tasks_are_told(loop):
    found = told("free", loop, "waits_for_long >")
    assert "Current thread" in found
    assert "2 tasks" in found


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_loop_that_stands_still_is_told_by_its_thread(loop):
    assert "blocks" in told("blocked", loop, "in blocks")


async def test_a_task_is_told_with_all_it_waits_for():
    async def gives():
        await asyncio.Event().wait()
        yield 1

    async def takes():
        async for _ in gives():
            pass

    task = asyncio.create_task(takes(), name="taking")
    await asyncio.sleep(0)
    output = io.StringIO()
    tell_tasks(output)
    [line] = [each for each in output.getvalue().splitlines() if each.startswith("taking: ")]
    assert " takes > " in line
    assert " wait > Future" in line
    task.cancel()
