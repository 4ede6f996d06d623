"""Joining what a container runs: its log from now on, and its input beside whoever else holds it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import contextmanager

import pytest

from agent.attaching import InputPipe, LoggedStreams
from api.errors import Invalid
from tests.waiting import DEADLINE_SECONDS


def line(stream, text, tag="F"):
    return f"2025-01-15T08:30:00.123456789+00:00 {stream} {tag} {text}\n"


def append(path, *lines):
    with path.open("a") as file:
        file.write("".join(lines))


@contextmanager
def program(*words, stdin=subprocess.PIPE):
    process = subprocess.Popen(words, stdin=stdin, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
async def test_nothing_from_before_is_told_and_both_outputs_are_kept_apart_byte_by_byte(tmp_path):
    path, over = tmp_path / "0.log", []
    append(path, line("stdout", "before"), line("stdout", "also", tag="P"))
    joined = LoggedStreams(path, lambda: bool(over), None)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            seen = {"stdout": b"", "stderr": b""}
            while not (seen["stdout"] and seen["stderr"]):  # what is appended before both look is not told
                append(path, *(line(name, "ready?", tag="P") for name in seen))
                seen = await pieces_so_far(joined, seen)
            seen = {"stdout": b"", "stderr": b""}
            append(path, line("stdout", "prompt> ", tag="P"), line("stdout", ""), line("stdout", "last"))
            over.append(True)
            while (piece := await joined.read()) is not None:
                seen[piece[0]] += piece[1]
        assert seen["stdout"].endswith(b"prompt> \nlast\n")
        assert b"before" not in seen["stdout"]
        assert await joined.read() is None
    finally:
        await joined.close()


async def pieces_so_far(joined, seen):
    try:
        async with asyncio.timeout(0.05):
            name, piece = await joined.read()
            return seen | {name: seen[name] + piece}
    except TimeoutError:
        return seen


async def test_input_goes_to_a_process_that_goes_on_reading_when_the_writer_leaves():
    with program("cat") as process:
        for said in (b"one\n", b"two\n"):
            pipe = InputPipe(process.pid, "main")
            await pipe.write(said)
            pipe.close()
            assert process.stdout.readline() == said
        assert process.poll() is None


@pytest.mark.slow
async def test_a_full_pipe_is_waited_for_and_one_without_reader_takes_nothing():
    data = os.urandom(1 << 20)
    with program("sh", "-c", "head -c 1048576 | md5sum; exec sleep 1000") as process:
        pipe = InputPipe(process.pid, "main")
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await pipe.write(data)
                assert (await asyncio.to_thread(process.stdout.readline)).split()[1] == b"-"
        finally:
            pipe.close()
        pipe = InputPipe(process.pid, "main")
        process.kill()
        process.wait()
        await pipe.write(b"lost")
        pipe.close()


async def test_a_process_without_a_pipe_or_that_is_gone_takes_no_input():
    said = "container main has closed its standard input"
    with program("sleep", "1000", stdin=subprocess.DEVNULL) as process, pytest.raises(Invalid, match=said):
        InputPipe(process.pid, "main")
    with pytest.raises(Invalid):
        InputPipe(process.pid, "main")
