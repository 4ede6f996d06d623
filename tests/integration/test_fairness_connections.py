"""Connections and readers that take more than they give: bounded, cut off, and told so."""

from __future__ import annotations

import asyncio
import contextlib
import time

import aiohttp
import pytest

from component.join import JOIN_PATH
from controlplane.apiserver.fairness.limits import Limits
from tests.api_server import ADMIN, config_map
from tests.rest_server import serving_rest
from tests.waiting import DEADLINE_SECONDS, eventually

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@contextlib.asynccontextmanager
async def connected(rest, **options):
    """A connection with TLS and no request yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rest.port, ssl=rest.tls(rest.keys.admin), **options)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def until_served(rest, path):
    """Ask until there is an answer: where little time is given, a machine that stands still may take it up."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                assert (await rest.ask("GET", path)).status == 200
                return


async def test_one_address_has_so_many_connections_and_is_told_when_it_wants_more(tmp_path):
    async with serving_rest(tmp_path, limits=Limits(connections=2)) as rest:
        async with connected(rest), connected(rest) as (reader, writer):
            async with asyncio.timeout(DEADLINE_SECONDS):
                writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")
                async with connected(rest) as (refused, _):
                    answer = await refused.read()
            assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
            assert b"Retry-After: 1\r\n" in answer
            assert answer.endswith(b"this address has 2 connections open here, which is the limit: close some\n")

        async def free():
            with contextlib.suppress(OSError):  # a refused connection may be reset before its answer is read
                async with connected(rest) as (reader, writer):
                    writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                    return (await reader.readline()).startswith(b"HTTP/1.1 200")
            return False

        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await free():
                pass


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: "], ids=["nothing", "half a head"])
async def test_a_connection_that_does_not_get_to_its_request_is_closed(tmp_path, sent):
    async with serving_rest(tmp_path, idle_seconds=0.5) as rest, connected(rest) as (reader, writer):
        writer.write(sent)
        async with asyncio.timeout(DEADLINE_SECONDS):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""


@contextlib.asynccontextmanager
async def knocking(rest, first: bytes = b""):
    """A connection whose handshake does not begin."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rest.port)
    writer.write(first)
    try:
        yield reader
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ended(reader) -> bool:
    """Whether the server ends the connection."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        with contextlib.suppress(ConnectionError):
            while await reader.read(1_000):
                pass
    return True


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "something else"])
async def test_a_connection_that_does_not_get_to_its_handshake_is_closed_in_time(tmp_path, first):
    async with serving_rest(tmp_path, handshake_seconds=0.2) as rest:
        async with knocking(rest, first) as reader:
            assert await ended(reader)
        await until_served(rest, "/livez")


async def test_endless_headers_are_refused_without_a_line_in_the_log(tmp_path, capfd):
    async with serving_rest(tmp_path) as rest, connected(rest) as (reader, writer):
        writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 1_000)
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert (await reader.readline()).split()[1] == b"400"
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.slow
async def test_who_shows_no_certificate_has_so_long_to_send_the_body_of_a_join(tmp_path):
    async with serving_rest(tmp_path, body_seconds=0.3) as rest, connected(rest) as (reader, writer):
        writer.write(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{" % JOIN_PATH.encode())
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")


async def test_a_reader_who_takes_nothing_of_one_large_answer_is_cut_off_and_does_not_count_any_more(tmp_path):
    async with serving_rest(tmp_path, slow_reader_seconds=0.3) as rest:
        await rest.cluster.local.create(config_map("large", {"value": "x" * 1_000_000}))
        async with connected(rest, limit=1_024) as (reader, writer):
            for _ in range(20):  # more than any buffer of the kernel takes
                writer.write(f"GET {CONFIG_MAPS}/large HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            flow = rest.cluster.core.gate.user(ADMIN).flow
            await eventually(lambda: rest.server._runner.server.requests_count)
            await eventually(lambda: not rest.server._runner.server.connections)
            await eventually(lambda: not flow.running)
            async with asyncio.timeout(DEADLINE_SECONDS):
                with contextlib.suppress(ConnectionError):
                    while await reader.read(1 << 20):
                        pass
        await until_served(rest, f"{CONFIG_MAPS}/large")


class EndlessLog:
    """A log that is written as fast as it is read; nothing else of a node."""

    def __init__(self):
        self.lines = 0

    async def logs(self, _request):
        while True:
            self.lines += 1
            yield b"%010d\n" % self.lines * 1_000


async def test_a_reader_of_a_log_may_pause_and_the_log_waits(tmp_path):
    log = EndlessLog()

    def stalled(before=[-1, 0.0]):  # noqa: B006 - what was seen last
        if before[0] != log.lines:
            before[:] = [log.lines, time.monotonic()]
        return log.lines and time.monotonic() - before[1] > 0.5

    async with serving_rest(tmp_path, streams=log, slow_reader_seconds=0.1) as rest:
        async with connected(rest, limit=1_024) as (reader, writer):
            path = "/api/v1/namespaces/default/pods/a/log?follow=true"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            await eventually(stalled)
            paused_at = log.lines
            async with asyncio.timeout(DEADLINE_SECONDS):
                while log.lines == paused_at:
                    assert await reader.read(1 << 20)
        await eventually(lambda: not rest.server._runner.server.connections)
