"""Pieces of a backup, made in threads for a reader who may go at any time."""

from __future__ import annotations

import asyncio
import threading

import pytest

from controlplane.apiserver.backup_desk import in_threads
from tests.waiting import DEADLINE_SECONDS


async def test_pieces_come_in_order_and_the_end_closes_their_maker():
    closed = []

    def pieces():
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(True)

    assert [each async for each in in_threads(pieces())] == [b"a", b"b"]
    assert closed == [True]


async def test_a_reader_who_goes_while_a_piece_is_made_leaves_nothing_open():
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    def pieces():
        try:
            begun.set()
            go_on.wait(DEADLINE_SECONDS)
            yield b"a"
        finally:
            closed.set()

    async def read():
        async for _ in in_threads(pieces()):
            pass

    reading = asyncio.create_task(read())
    assert await asyncio.to_thread(begun.wait, DEADLINE_SECONDS)
    reading.cancel()
    threading.Timer(0.05, go_on.set).start()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert closed.is_set(), "the maker of the pieces is still open"
