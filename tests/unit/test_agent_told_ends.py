"""What the control plane was told of ends outranks that a boot left none to be found."""

from __future__ import annotations

import msgspec
import pytest

from agent.told_ends import completed_names, recalled
from api.core import PodStatus
from tests.agent_pods import NOW, container, pod

OOM = {
    "containerID": "podman://main-0",
    "exitCode": 137,
    "reason": "OOMKilled",
    "startedAt": "2025-06-15T15:05:00Z",
    "finishedAt": "2025-06-15T15:06:40Z",
}


def told(ended, *, field="containerStatuses", state="state", name="main"):
    tree = {
        field: [
            {"name": name, "image": "", "imageID": "", "ready": False, "restartCount": 0, state: {"terminated": ended}}
        ]
    }
    return msgspec.structs.replace(pod(), status=msgspec.convert(tree, PodStatus))


@pytest.mark.parametrize("field", ["containerStatuses", "initContainerStatuses"])
@pytest.mark.parametrize("state", ["state", "lastState"])
def test_a_container_of_unknown_end_ended_as_was_told(field, state):
    found = recalled(container(state="unknown"), told(OOM, field=field, state=state))
    assert (found.state, found.exit_code, found.oom_killed) == ("exited", 137, True)
    assert (found.started_time, found.finished_time) == (NOW - 100, NOW)


@pytest.mark.parametrize(
    "ended",
    [
        OOM | {"containerID": "podman://main-1"},
        OOM | {"reason": "ContainerStatusUnknown"},
        {"exitCode": 1},
    ],
)
def test_what_was_told_of_another_container_or_of_nothing_does_not_count(ended):
    lost = container(state="unknown")
    assert recalled(lost, told(ended)) is lost


@pytest.mark.parametrize("state", ["exited", "running", "created"])
def test_what_the_node_knows_counts_more(state):
    known = container(state=state)
    assert recalled(known, told(OOM)) is known


def test_a_status_that_holds_no_times_is_read_too():
    found = recalled(container(state="unknown"), told(OOM | {"startedAt": "yesterday", "finishedAt": ""}))
    assert (found.started_time, found.finished_time) == (0.0, 0.0)


def test_init_containers_that_succeeded_are_known_from_the_status():
    ended = OOM | {"exitCode": 0, "reason": "Completed"}
    assert list(completed_names(told(ended, field="initContainerStatuses", name="init"))) == ["init"]
    assert list(completed_names(told(OOM, field="initContainerStatuses", name="init"))) == []
    assert list(completed_names(told(ended))) == []
