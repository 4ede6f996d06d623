"""The log reader on real files."""

from __future__ import annotations

import asyncio

import pytest

from agent.log_format import Record, parse_record, since_bound
from agent.logs import LogOptions, last_lines, read_log, rotated
from api.errors import Invalid
from tests.waiting import DEADLINE_SECONDS, eventually


def stamp(number):
    return f"2025-01-15T08:30:{number:02}.123456789+00:00"


def line(number, text, stream="stdout", tag="F"):
    return f"{stamp(number)} {stream} {tag} {text}\n".encode()


async def read(path, ended=True, **options):
    pieces = [piece async for piece in read_log(path, LogOptions(**options), lambda: ended)]
    return b"".join(pieces)


def test_a_record_is_taken_apart():
    assert parse_record(line(1, "a b  c")[:-1]) == Record(stamp(1).encode(), "stdout", False, b"a b  c")
    assert parse_record(line(1, "x", "stderr", "P")[:-1]) == Record(stamp(1).encode(), "stderr", True, b"x")
    assert parse_record(line(1, "")[:-1]).text == b""


@pytest.mark.parametrize("bad", [b"", b"nonsense", b"2025 stdin F x", b"2025 stdout X x"])
def test_what_is_no_record_is_passed_over(bad):
    assert parse_record(bad) is None


def test_since_is_an_instant_or_an_age():
    assert since_bound(10.0, None, 100.0) == 90.0
    assert since_bound(None, "1970-01-01T00:01:00Z", 100.0) == 60.0
    assert since_bound(None, None, 100.0) == 0.0
    for number in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(Invalid, match="sinceSeconds must be a number"):
            since_bound(number, None, 100.0)
    with pytest.raises(Invalid, match="yesterday"):
        since_bound(None, "yesterday", 100.0)


async def test_a_log_that_is_not_there_reads_as_empty(tmp_path):
    assert await read(tmp_path / "0.log") == b""


async def test_pieces_of_a_line_are_joined_and_streams_kept_in_order(tmp_path):
    path = tmp_path / "0.log"
    path.write_bytes(line(1, "long ", tag="P") + line(1, "line") + line(2, "oops", "stderr"))
    assert await read(path) == b"long line\noops\n"


async def test_timestamps_stand_once_per_line_and_utc_as_kubernetes_writes_it(tmp_path):
    path = tmp_path / "0.log"
    path.write_bytes(line(1, "long ", tag="P") + line(1, "line") + line(2, "next"))
    wanted = f"{stamp(1)} long line\n{stamp(2)} next\n".replace("+00:00", "Z").encode()
    assert await read(path, timestamps=True) == wanted


async def test_a_line_that_is_being_written_is_not_shown_yet(tmp_path):
    path = tmp_path / "0.log"
    path.write_bytes(line(1, "done") + line(2, "half")[:-3])
    assert await read(path) == b"done\n"


async def test_since_and_limit(tmp_path):
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(line(number, f"line{number}") for number in range(10)))
    since = since_bound(None, "2025-01-15T08:30:08Z", 0.0)
    assert await read(path, since_time=since) == b"line8\nline9\n"
    assert await read(path, limit_bytes=8) == b"line0\nli"


async def test_the_part_before_a_rotation_comes_first(tmp_path):
    path = tmp_path / "0.log"
    rotated(path).write_bytes(line(1, "a") + line(2, "b"))
    path.write_bytes(line(3, "c"))
    assert await read(path) == b"a\nb\nc\n"
    assert await read(path, tail_lines=2) == b"b\nc\n"


async def test_a_log_larger_than_a_chunk_is_read_whole(tmp_path):
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(line(1, "x" * 997) for _ in range(300)))
    assert (await read(path)).count(b"\n") == 300
    assert (await read(path, tail_lines=150)).count(b"\n") == 150


async def test_following_sees_what_is_written_across_two_rotations(tmp_path):
    path = tmp_path / "0.log"
    path.write_bytes(line(1, "a"))
    over = []
    found = bytearray()

    async def follow():
        async for piece in read_log(path, LogOptions(follow=True), lambda: bool(over)):
            found.extend(piece)

    async def seen(text):
        await eventually(lambda: text in found)

    task = asyncio.ensure_future(follow())
    await seen(b"a\n")
    for number, text in ((2, "b"), (4, "d")):
        with path.open("ab") as file:
            file.write(line(number, text))
        path.replace(rotated(path))
        path.write_bytes(line(number + 1, f"{text}+"))
        await seen(f"{text}+".encode())
    over.append(True)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await task
    assert bytes(found) == b"a\nb\nb+\nd\nd+\n"


async def test_following_from_the_end_repeats_nothing_and_one_stream_leaves_the_other_out(tmp_path):
    path = tmp_path / "0.log"
    path.write_bytes(line(1, "old"))
    assert await read(path, follow=True, tail_lines=0) == b""
    path.write_bytes(line(1, "one") + line(2, "two", "stderr"))
    assert await read(path, follow=True, stream="stderr") == b"two\n"


async def test_following_waits_for_a_log_that_is_not_there_yet(tmp_path):
    path = tmp_path / "0.log"
    over = []
    task = asyncio.ensure_future(_all(path, over))
    await asyncio.sleep(0)
    path.write_bytes(line(1, "late"))
    over.append(True)
    async with asyncio.timeout(DEADLINE_SECONDS):
        assert await task == b"late\n"


async def _all(path, over):
    return b"".join([piece async for piece in read_log(path, LogOptions(follow=True), lambda: bool(over))])


def test_the_last_lines_of_a_log_as_text(tmp_path):
    path = tmp_path / "0.log"
    path.write_bytes(b"".join(line(number % 60, f"line{number}") for number in range(200)))
    assert last_lines(path, 2048, 2) == "line198\nline199\n"
    assert last_lines(path, 10, 80) == "8\nline199\n"
    assert last_lines(tmp_path / "none", 10, 10) == ""
