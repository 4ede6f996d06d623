"""Pods on a whole agent: assignment in, containers and statuses out. Runtime and network are fakes, gRPC is real."""

from __future__ import annotations

import pytest

from tests.agent_rig import agent_rig, container_tree, deleting, pod_tree


@pytest.fixture
async def rig(tmp_path):
    async with agent_rig(tmp_path) as made:
        yield made


async def test_an_assigned_pod_runs_and_is_reported(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    status = rig.status()
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("10.244.1.")
    assert status["hostIP"] == "10.0.0.11"
    assert rig.container()["state"]["running"]["startedAt"]
    assert rig.container()["restartCount"] == 0


async def test_a_deleted_pod_is_terminated_cleaned_up_and_reported_gone(rig):
    pod = pod_tree()
    rig.plane.put(pod)
    await rig.until_ready()
    rig.plane.put(deleting(pod))
    await rig.until(lambda: rig.plane.gone == ["uid-web"], "gone")
    assert rig.status()["phase"] in {"Succeeded", "Failed"}
    assert rig.container()["state"]["terminated"]["exitCode"] == 143
    assert not rig.runtime.containers
    assert not await rig.runtime.sandboxes()
    assert not rig.network.attachments
    assert not rig.paths.pod("uid-web").exists()


async def test_several_containers_of_a_pod_start_in_one_sandbox(rig):
    rig.plane.put(pod_tree("web", container_tree("a"), container_tree("b")))
    await rig.until_ready()
    sandboxes = {spec.sandbox for spec in rig.runtime.specs.values()}
    assert len(sandboxes) == 1
    assert [each["name"] for each in rig.status()["containerStatuses"]] == ["a", "b"]
