"""The HTTP client against scripted servers on real Unix sockets: framing, kept connections, faults."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import pytest

from agent.runtime.http import PodmanError, PodmanHttp
from agent.runtime.images import ImageStore
from agent.runtime.protocol import RegistryAuth, RuntimeFailure
from tests.waiting import DEADLINE_SECONDS

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers each request with the next scripted bytes; None closes the connection instead."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.connections = 0
        self.closed = asyncio.Event()

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(line.split(":")[1]) for line in head.split("\r\n") if "Content-Length" in line), 0)
                self.requests.append((head, await reader.readexactly(length)))
                answer = self.answers.pop(0) if self.answers else OK
                if answer is None:
                    return
                writer.write(answer)
                if b"Connection: close" in answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.closed.set()


@asynccontextmanager
async def talking(tmp_path, *answers):
    server = Server(*answers)
    path = str(tmp_path / "s.sock")
    listening = await asyncio.start_unix_server(server.serve, path)
    http = PodmanHttp(path)
    try:
        yield server, http
    finally:
        await http.close()
        listening.close()
        await listening.wait_closed()


def answer(status, body, *headers):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_requests_share_a_kept_connection(tmp_path):
    async with talking(tmp_path) as (server, http):
        for _ in range(3):
            assert await http.call("GET", "/x", query={"a": "b c"}) == {}
        assert server.connections == 1
        assert server.requests[0][0].startswith("GET /v4.3.1/libpod/x?a=b+c HTTP/1.1\r\n")


async def test_a_body_is_sent_as_json(tmp_path):
    async with talking(tmp_path) as (server, http):
        await http.call("POST", "/x", body={"a": ["é"]})
        assert json.loads(server.requests[0][1]) == {"a": ["é"]}


async def test_chunked_bodies_are_joined(tmp_path):
    chunked = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n8;x=y\r\n":[1, 2]\r\n1\r\n}\r\n0\r\nT: 1\r\n\r\n'
    async with talking(tmp_path, chunked) as (server, http):
        assert (await http.request("GET", "/x")).json() == {"a": [1, 2]}
        assert (await http.request("GET", "/x")).status == 200
        assert server.connections == 1


async def test_a_body_without_length_ends_with_the_connection(tmp_path):
    async with talking(tmp_path, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc") as (server, http):
        assert (await http.request("GET", "/x")).body == b"abc"
        await http.request("GET", "/x")
        assert server.connections == 2


async def test_an_error_carries_podmans_message_and_status(tmp_path):
    body = json.dumps({"cause": "c", "message": "no such container", "response": 404}).encode()
    async with talking(tmp_path, answer(404, body), answer(500, b"plain text")) as (_, http):
        with pytest.raises(PodmanError, match="no such container") as failure:
            await http.call("GET", "/x")
        assert failure.value.status == 404
        with pytest.raises(PodmanError, match="plain text"):
            await http.call("GET", "/x")


async def test_a_read_on_a_connection_that_died_is_repeated_on_a_new_one(tmp_path):
    async with talking(tmp_path, OK, None, OK) as (server, http):
        await http.call("GET", "/first")
        assert await http.call("GET", "/second") == {}
        assert server.connections == 2


async def test_a_write_that_may_have_been_performed_is_not_repeated(tmp_path):
    async with talking(tmp_path, OK, None, OK) as (server, http):
        await http.call("GET", "/first")
        with pytest.raises(PodmanError) as failure:
            await http.call("POST", "/second")
        assert (failure.value.status, failure.value.temporary, failure.value.reason) == (0, True, "RuntimeUnavailable")
        assert len(server.requests) == 2


async def test_an_answer_cut_in_the_middle_is_a_failure_not_a_short_body(tmp_path):
    cut = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nabc"
    async with talking(tmp_path, cut) as (_, http):
        with pytest.raises(PodmanError) as failure:
            await http.request("GET", "/x")
        assert failure.value.reason == "RuntimeUnavailable"


@pytest.mark.parametrize(
    "garbage", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -x\r\n\r\n"]
)
async def test_an_answer_that_is_not_http_is_a_failure(tmp_path, garbage):
    async with talking(tmp_path, garbage) as (_, http):
        with pytest.raises(PodmanError):
            await http.request("GET", "/x")


async def test_an_answer_with_an_absurd_length_is_refused_unread(tmp_path):
    async with talking(tmp_path, b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n") as (_, http):
        with pytest.raises(PodmanError, match="99999999999"):
            await http.request("GET", "/x")


async def test_a_server_that_does_not_answer_is_given_up_and_its_connection_closed(tmp_path):
    async with talking(tmp_path, b"") as (server, http):
        with pytest.raises(PodmanError, match=r"within 0\.05 s") as failure:
            await http.request("GET", "/x", timeout_seconds=0.05)
        assert failure.value.reason == "RuntimeTimeout"
        async with asyncio.timeout(DEADLINE_SECONDS):
            await server.closed.wait()


async def test_a_cancelled_request_never_hands_its_answer_to_the_next_one(tmp_path):
    async with talking(tmp_path, b"", answer(200, b"second")) as (server, http):
        task = asyncio.create_task(http.request("GET", "/first"))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not server.requests:
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await http.request("GET", "/second")).body == b"second"
        assert server.connections == 2


async def test_an_absent_socket_is_named(tmp_path):
    http = PodmanHttp(str(tmp_path / "absent.sock"))
    with pytest.raises(PodmanError, match=r"absent\.sock"):
        await http.request("GET", "/x")


async def test_a_refused_upgrade_is_an_error(tmp_path):
    async with talking(tmp_path, answer(409, b'{"message":"container is not running"}')) as (_, http):
        with pytest.raises(PodmanError, match="not running") as failure:
            await http.upgrade("/exec/x/start")
        assert failure.value.status == 409


async def test_bytes_behind_an_upgrade_belong_to_the_stream(tmp_path):
    async with talking(tmp_path, b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nhello") as (_, http):
        stream = await http.upgrade("/exec/x/start")
        assert await stream.reader.readexactly(5) == b"hello"
        stream.writer.close()
        await stream.writer.wait_closed()


# --- pulls, whose errors come with status 200


IMAGE = answer(
    200, b'{"Id": "id-1", "RepoTags": ["docker.io/library/app:1"], "Size": 7}', "Content-Type: application/json"
)


async def test_a_pull_sends_the_normalised_name_and_the_credentials(tmp_path):
    done = answer(200, b'{"stream":"Copying"}\n{"images":["id-1"],"id":"id-1"}\n')
    async with talking(tmp_path, done, IMAGE) as (server, http):
        image = await ImageStore(http).pull("app:1", RegistryAuth("user", "päss"))
        assert (image.id, image.size_bytes) == ("id-1", 7)
        head = server.requests[0][0]
        assert "/images/pull?reference=docker.io%2Flibrary%2Fapp%3A1 " in head
        sent = next(line.split(": ")[1] for line in head.split("\r\n") if line.startswith("X-Registry-Auth"))
        assert json.loads(base64.urlsafe_b64decode(sent)) == {"username": "user", "password": "päss"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"stream":"Trying"}\n{"error":"unauthorized: bad password"}\n', "bad password"),
        (b"", "no result"),
        (b'{"stream":"Trying"}\n{"str', "cut off"),
    ],
)
async def test_a_pull_that_failed_says_why(tmp_path, body, message):
    async with talking(tmp_path, answer(200, body)) as (_, http):
        with pytest.raises(RuntimeFailure, match=message) as failure:
            await ImageStore(http).pull("app:1", None)
        assert (failure.value.reason, failure.value.temporary) == ("ErrImagePull", True)


async def test_an_image_under_localhost_wins_over_the_hub(tmp_path):
    async with talking(tmp_path, answer(404, b"{}"), IMAGE) as (server, http):
        assert (await ImageStore(http).find("app:1")).id == "id-1"
        assert ["localhost%2Fapp%3A1" in head or "docker.io" in head for head, _ in server.requests] == [True, True]
        assert "localhost" in server.requests[0][0]
