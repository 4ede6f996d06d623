"""What is made of Podman's answers about containers that end while it looks at them."""

from __future__ import annotations

import pytest

from agent.runtime import tracking
from agent.runtime.http import PodmanError
from agent.runtime.tracking import ContainerTracker

EXITED = {
    "Id": "id-1",
    "State": {"Status": "exited", "ExitCode": 3},
    "Config": {"Labels": {"timonier.pod-uid": "uid-1", "timonier.container": "main"}},
}


class Podman:
    """Answers with errors first."""

    def __init__(self, *messages):
        self.messages = list(messages)

    async def call(self, method, path):
        assert (method, path) == ("GET", "/containers/id-1/json")
        if self.messages:
            raise PodmanError(500, self.messages.pop(0))
        return EXITED


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(tracking, "INSPECT_AGAIN_SECONDS", 0.0)


async def test_a_container_that_ends_while_podman_looks_is_looked_at_again(tmp_path):
    podman = Podman("read /proc/9206/cgroup: no such process", "open /proc/9206/cgroup: no such file or directory")
    found = await ContainerTracker(podman, tmp_path).inspect("id-1")
    assert (found.container.state, found.container.exit_code) == ("exited", 3)
    assert not podman.messages


@pytest.mark.parametrize(
    ("messages", "left"),
    [
        (["read /proc/1/cgroup: no such process"] * 200, 200 - tracking.INSPECT_TRIES),
        (["database is locked", "open /run/x: no such file or directory"], 1),
    ],
)
async def test_an_error_that_stays_or_is_another_one_is_told(tmp_path, messages, left):
    podman = Podman(*messages)
    with pytest.raises(PodmanError, match=messages[0]):
        await ContainerTracker(podman, tmp_path).inspect("id-1")
    assert len(podman.messages) == left
