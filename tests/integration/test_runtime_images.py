"""The test images: made without a network, and a web server that answers under load and drains when told to end."""

from __future__ import annotations

import asyncio
import ctypes
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

from agent.runtime.podman import PodmanRuntime
from agent.runtime.protocol import ContainerSpec
from component.env import system_env
from lab.images import BUSYBOX, WEB_1, WEB_2, WEB_PORT, build_images
from tests.waiting import DEADLINE_SECONDS

pytest_plugins = ["tests.podman_fixture"]
pytestmark = [pytest.mark.podman, pytest.mark.root, pytest.mark.slow]

DRAIN_SECONDS = 0.5  # of the image, unless its environment says otherwise


def test_building_again_changes_nothing(image_store):
    before = {path: path.stat().st_mtime_ns for path in image_store.rglob("*")}
    build_images(image_store)
    assert {path: path.stat().st_mtime_ns for path in image_store.rglob("*")} == before


def test_two_builders_at_once_do_not_disturb_each_other(tmp_path, image_store):
    program = "import sys; from lab.images import build_images; build_images(sys.argv[1])"
    command = [sys.executable, "-c", program, str(tmp_path / "store")]
    builders = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(3)]
    assert [builder.wait(DEADLINE_SECONDS) for builder in builders] == [0, 0, 0]
    assert (tmp_path / "store" / "overlay-images" / "images.json").exists()


async def test_a_store_is_read_beside_a_services_own_storage(podman):
    runtime = PodmanRuntime(podman.socket_path, podman.run_dir, podman.data_dir, system_env())
    for reference in (BUSYBOX, WEB_1, WEB_2):
        image = await runtime.image(reference)
        assert image is not None
        assert image.references == (reference,)
    await runtime.close()


class Web:
    """A running web container in a network namespace of its own."""

    def __init__(self, runtime, container, netns_path):
        self.runtime = runtime
        self.container = container
        self.netns_path = netns_path

    def load(self, stop, results):
        """Open one connection after the other inside the namespace, until told to stop."""

        def work():
            libc = ctypes.CDLL(None, use_errno=True)
            descriptor = os.open(self.netns_path, os.O_RDONLY)
            assert libc.setns(descriptor, 0x40000000) == 0
            os.close(descriptor)
            while not stop.is_set():
                begin = time.monotonic()
                text = fetch()
                results.put((begin, time.monotonic(), text))

        thread = threading.Thread(target=work)
        thread.start()
        return thread


def fetch():
    """The body of one response, or the name of the error."""
    try:
        with socket.create_connection(("127.0.0.1", WEB_PORT), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
    except OSError as error:
        return type(error).__name__
    return answer.partition(b"\r\n\r\n")[2].decode()


@pytest.fixture
async def web(podman, tmp_path):
    runtime = PodmanRuntime(podman.socket_path, podman.run_dir, podman.data_dir, system_env())
    uid = f"uid-{uuid.uuid4().hex[:12]}"
    sandbox = await runtime.make_sandbox(uid, "web-0", shm_bytes=1 << 20, host_network=False, host_ipc=False)
    spec = ContainerSpec(
        pod_uid=uid,
        pod_namespace="default",
        pod_name="web-0",
        name="web",
        attempt=0,
        spec_hash="1",
        image=WEB_2,
        sandbox=sandbox,
        log_path=str(tmp_path / "0.log"),
        cgroup_parent=f"{podman.cgroup_root}/pod{uid}",
    )
    container = await runtime.start((await runtime.create(spec)).id)
    try:
        yield Web(runtime, container, sandbox.netns_path)
    finally:
        await runtime.remove(container.id)
        await runtime.remove_sandbox(uid)
        await runtime.close()


async def answers(results, wanted):
    """Take results until `wanted` good ones were seen in a row."""
    good = 0
    async with asyncio.timeout(DEADLINE_SECONDS):
        while good < wanted:
            *_, text = await asyncio.to_thread(results.get)
            good = good + 1 if text == "2 web-0\n" else 0


async def test_the_web_server_answers_with_version_and_host_and_drains_at_term(web):
    stop, results = threading.Event(), queue.Queue()
    threads = [web.load(stop, results) for _ in range(4)]
    try:
        await answers(results, 200)
        told = time.monotonic()
        await web.runtime.signal(web.container.id, signal.SIGTERM)
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for ended in web.runtime.exits():
                if ended.id == web.container.id:
                    break
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert ended.exit_code == 0
    rest = [results.get() for _ in range(results.qsize())]
    assert any(begin > told and text == "2 web-0\n" for begin, _, text in rest)
    assert not [text for _, end, text in rest if end < told + DRAIN_SECONDS and text != "2 web-0\n"]
