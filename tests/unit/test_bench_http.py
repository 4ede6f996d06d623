"""The benchmarks' HTTP client reads what the API answers with, however the network cuts it."""

import asyncio

import pytest

from bench.http_connection import Connection

TOLD = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"a":"\r\n\r\n"}'
CHUNKED = (
    b'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"a":"\r\nA\r\n0123456789\r\n2\r\n"}\r\n0\r\n\r\n'
)
EMPTY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
MEANT = {
    TOLD: (200, b'{"a":"\r\n\r\n"}'),
    CHUNKED: (201, b'{"a":"0123456789"}'),
    EMPTY: (429, b""),
}


class Transport:
    """Takes what is written."""

    def __init__(self):
        self.written = []

    def write(self, data):
        self.written.append(data)

    def abort(self):
        pass


def connected():
    connection = Connection()
    connection.connection_made(Transport())
    return connection


@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
@pytest.mark.parametrize("answer", MEANT)
async def test_answers_are_read_in_whatever_pieces_they_come_one_after_the_other(answer, size):
    connection = connected()
    for _ in range(3):
        asking = asyncio.ensure_future(connection.ask(b"GET / HTTP/1.1\r\n\r\n"))
        await asyncio.sleep(0)
        for at in range(0, len(answer), size):
            assert not asking.done()
            connection.data_received(answer[at : at + size])
        found = await asking
        assert (found.status, found.body) == MEANT[answer]


async def test_headers_are_found_whatever_their_case():
    connection = connected()
    asking = asyncio.ensure_future(connection.ask(b""))
    await asyncio.sleep(0)
    connection.data_received(EMPTY)
    answer = await asking
    assert answer.header("Retry-After") == "1"
    with pytest.raises(KeyError):
        answer.header("Content-Type")


async def test_who_waits_is_told_when_the_connection_is_lost():
    connection = connected()
    asking = asyncio.ensure_future(connection.ask(b""))
    await asyncio.sleep(0)
    connection.data_received(TOLD[:-1])
    connection.connection_lost(None)
    with pytest.raises(ConnectionError, match="closed: by the server"):
        await asking
    assert connection.lost
