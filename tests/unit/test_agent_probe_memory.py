"""What is taken for a container's health before its probes have been answered."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from agent.container_status import Health
from agent.probes import Answer, Prober
from agent.runtime.protocol import Container
from api.core import Pod
from component.env import system_env
from tests.waiting import DEADLINE_SECONDS, eventually

ID = "5f" * 32


class Listener:
    def __init__(self):
        self.changes = 0

    def health_changed(self):
        self.changes += 1

    def probe_failed(self, container, kind, message):
        pass

    def probe_warned(self, container, kind, message):
        pass

    def container_unhealthy(self, container, kind, probe):
        pass


def pod(*, container_id: str, ready: bool) -> Pod:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 1}
    tree = {
        "metadata": {"name": "web", "namespace": "default", "uid": "u"},
        "spec": {"containers": [{"name": "main", "startupProbe": probe, "readinessProbe": probe}]},
        "status": {
            "containerStatuses": [
                {"name": "main", "containerID": f"podman://{container_id}", "ready": ready, "started": ready}
            ]
        },
    }
    return msgspec.convert(tree, Pod)


def container() -> Container:
    return Container(ID, "u", "main", 0, "hash", "running")


READY = pod(container_id=ID, ready=True)


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (pod(container_id=ID, ready=True), Health(started=True, ready=True)),
        (pod(container_id=ID, ready=False), Health(started=False, ready=False)),
        (pod(container_id="00" * 32, ready=True), Health(started=False, ready=False)),
    ],
    ids=["was ready", "was not ready", "another container"],
)
async def test_a_running_container_keeps_the_health_that_was_reported_of_it(reported, expected):
    unanswered = asyncio.Event()

    async def ask(_container, _probe):
        await unanswered.wait()
        return Answer(ok=True)

    prober = Prober(ask, Listener(), system_env())
    try:
        prober.sync(reported, {ID: container()})
        assert prober.health(reported) == {"main": expected}
    finally:
        await prober.close()


async def test_a_container_that_was_ready_is_not_once_it_fails_its_probe():
    listener = Listener()

    async def ask(_container, _probe):
        return Answer(ok=False, message="no")

    reported = pod(container_id=ID, ready=True)
    prober = Prober(ask, listener, system_env())
    try:
        prober.sync(reported, {ID: container()})
        await eventually(lambda: not prober.health(reported)["main"].ready)
        assert listener.changes
    finally:
        await prober.close()


async def test_an_answer_that_arrives_as_its_container_is_let_go_counts_for_nothing():
    asked, answer = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def ask(_container, _probe):
        asked.set()
        return await answer

    listener = Listener()
    prober = Prober(ask, listener, system_env())
    try:
        prober.sync(READY, {ID: container()})
        await asyncio.wait_for(asked.wait(), DEADLINE_SECONDS)
        answer.set_result(Answer(ok=True))
        prober.sync(READY, {})
        for _ in range(10):
            await asyncio.sleep(0)
        assert prober.health(READY) == {}
        assert listener.changes == 0
    finally:
        await prober.close()
