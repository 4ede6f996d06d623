"""What outlives the agent, the control plane and the machine: adoption, checkpoint, boots (rows O8 and W2)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from agent.runtime.protocol import RuntimeFailure
from tests.agent_rig import ControlPlane, agent_rig, container_tree, deleting, node_tree, pod_tree
from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.slow


@pytest.fixture
async def rig(tmp_path):
    async with agent_rig(tmp_path) as made:
        yield made


def facts(rig):
    return {c.id: (c.pid, c.started_time, c.state) for c in rig.runtime.containers.values()}


def changes(rig):
    return [call for call in rig.runtime.calls if call[0] in {"create", "start", "signal", "remove", "remove_sandbox"}]


async def adopted(rig):
    await rig.until(lambda: not rig.agent.problems(), "agent in order")


async def test_a_restarted_agent_keeps_containers_and_their_history(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    rig.runtime.end(rig.runtime.of("main").id, 1)
    await rig.until(lambda: rig.container().get("restartCount") == 1 and "running" in rig.container()["state"])
    await rig.until(lambda: rig.container()["ready"])
    await rig.until_ready()  # then all that happened has been told
    before, status = facts(rig), rig.status()
    rig.runtime.calls.clear()
    reports = len(rig.plane.history["uid-web"])
    await rig.restart()
    await adopted(rig)
    await rig.until(lambda: rig.plane.sessions)
    assert facts(rig) == before
    assert changes(rig) == []
    # A report whose answer the agent had not seen before it went is sent once more; it says nothing new.
    assert all(report == status for report in rig.plane.history["uid-web"][reports:])
    assert rig.status() == status


async def test_without_a_control_plane_pods_are_kept_alive_from_the_checkpoint(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    await rig.plane.stop()
    rig.runtime.end(rig.runtime.of("main").id, 1)
    await rig.until(lambda: rig.runtime.of("main").attempt == 1)
    await rig.restart()
    await adopted(rig)
    rig.runtime.end(rig.runtime.of("main").id, 1)
    await rig.until(lambda: rig.runtime.of("main").attempt == 2 and rig.runtime.running("main"))


async def test_what_happened_during_an_outage_is_reported_afterwards(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    port = int(rig.plane.address.rpartition(":")[2])
    await rig.plane.stop()
    rig.runtime.end(rig.runtime.of("main").id, 7)
    await rig.until(lambda: rig.runtime.of("main").attempt == 1)
    await rig.plane.start(port)
    await rig.until(lambda: rig.container()["restartCount"] == 1)
    assert rig.container()["lastState"]["terminated"]["exitCode"] == 7


async def test_containers_that_ended_while_the_agent_was_away_are_noticed(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    await rig.stop()
    rig.runtime.end(rig.runtime.of("main").id, 5)
    await rig.restart()
    await rig.until(lambda: rig.container().get("restartCount") == 1)
    assert rig.container()["lastState"]["terminated"]["exitCode"] == 5


async def test_a_pod_deleted_while_the_agent_was_away_is_ended_once_the_control_plane_says_so(rig):
    pod = pod_tree()
    rig.plane.put(pod)
    await rig.until_ready()
    await rig.stop()
    rig.plane.remove(pod)
    await rig.restart()
    await rig.until(lambda: not rig.runtime.containers)
    await rig.until(lambda: not rig.paths.pod("uid-web").exists())


async def test_a_termination_goes_on_after_a_restart(rig):
    rig.runtime.ignores_term.add("main")
    pod = pod_tree()
    rig.plane.put(pod)
    await rig.until_ready()
    rig.plane.put(deleting(pod, grace_seconds=1))
    await rig.until(lambda: ("signal", "main:SIGTERM") in rig.runtime.calls)
    await rig.restart()
    await rig.until(lambda: rig.plane.gone == ["uid-web"])
    assert rig.status()["phase"] == "Failed"


async def test_after_a_boot_sandboxes_are_made_anew_and_empty_dirs_are_kept(rig):
    volumes = [{"name": "scratch", "emptyDir": {}}]
    mounts = [{"name": "scratch", "mountPath": "/scratch"}]
    rig.plane.put(pod_tree("web", container_tree(volumeMounts=mounts), volumes=volumes))
    await rig.until_ready()
    kept = rig.paths.volume("uid-web", "scratch") / "kept"
    kept.write_text("still here")
    await rig.plane.stop()
    await rig.reboot()
    await rig.until(lambda: rig.runtime.running("main") and rig.runtime.of("main").attempt == 1)
    assert kept.read_text() == "still here"
    assert await rig.runtime.sandboxes() == ["uid-web"]
    assert rig.network.attachments


async def test_after_a_boot_a_pod_that_is_never_restarted_has_failed(rig):
    rig.plane.put(pod_tree("web", restartPolicy="Never"))
    await rig.until_ready()
    await rig.reboot()
    await rig.until(lambda: rig.status()["phase"] == "Failed")
    assert rig.container()["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert not rig.runtime.running("main")


async def test_after_a_boot_a_pod_that_was_over_stays_as_it_was_told(rig):
    """Whether or not the node got to remember it: what the control plane was told is heard before anything is reported."""
    rig.plane.put(pod_tree("web", restartPolicy="Never"))
    await rig.until_ready()
    rig.runtime.end(rig.runtime.of("main").id, 137, oom=True)
    await rig.until(lambda: rig.status()["phase"] == "Failed" and not rig.network.attachments)
    before = rig.container()
    assert rig.condition("PodReadyToStartContainers")["status"] == "False"
    ended = rig.runtime.of("main")
    await rig.stop()
    rig.runtime.containers[ended.id] = replace(ended, state="created", exit_code=0, oom_killed=False)
    await rig.reboot()
    await adopted(rig)
    rig.plane.put(pod_tree("other"))
    await rig.until_ready("other")
    assert (rig.status()["phase"], rig.container()) == ("Failed", before)
    assert not rig.runtime.running("main") or rig.runtime.running("main")[0].pod_uid == "uid-other"


async def test_a_damaged_checkpoint_touches_nothing_until_the_control_plane_speaks(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    port = int(rig.plane.address.rpartition(":")[2])
    await rig.stop()
    await rig.plane.stop()
    content = bytearray(rig.paths.checkpoint.read_bytes())
    content[len(content) // 3] ^= 0x40
    rig.paths.checkpoint.write_bytes(content)
    before = facts(rig)
    rig.runtime.calls.clear()
    rig.network = type(rig.network)("n1")
    rig.start()
    await rig.until(lambda: any("taken over" in problem for problem in rig.agent.problems()))
    assert facts(rig) == before
    assert changes(rig) == []
    await rig.plane.start(port)
    await adopted(rig)
    await rig.until(lambda: rig.agent.metrics()["containers_running"] == 1)
    assert facts(rig) == before


async def test_another_cluster_is_not_obeyed_and_pods_go_on(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    port = int(rig.plane.address.rpartition(":")[2])
    await rig.plane.stop()
    other = ControlPlane("wiped", cluster_uid="cluster-2")
    await other.start(port)
    try:
        await rig.until(lambda: other.registers)
        assert other.registers[0].cluster_uid == "cluster-1"
        assert len(rig.runtime.running("main")) == 1
        assert not rig.agent.connected
        refusal = "no session with the control plane: this is cluster cluster-2"
        await rig.until(lambda: refusal in rig.agent.problems())
    finally:
        await other.stop()


async def test_a_control_plane_that_lost_its_data_is_not_obeyed_however_new_it_says_it_is(rig):
    """It has the configuration and certificates of before, and knows no pods."""
    rig.plane.put(pod_tree())
    await rig.until_ready()
    before = facts(rig)
    port = int(rig.plane.address.rpartition(":")[2])
    await rig.plane.stop()
    anew = ControlPlane("r1")
    anew.state_uid, anew.epoch = "state-2", 1_000_000
    await anew.start(port)
    refusal = (
        "no session with the control plane: the control plane of cluster cluster-1 lost its data and began anew: "
        "pods keep running; restore a backup of it, or reset the node"
    )
    try:
        await rig.until(lambda: refusal in rig.agent.problems())
        assert anew.registers[0].state_uid == "state-1"
        assert facts(rig) == before
        assert len(rig.runtime.running("main")) == 1
    finally:
        await anew.stop()
    await rig.plane.start(port)
    await rig.until(lambda: rig.agent.connected)
    assert refusal not in rig.agent.problems()
    assert facts(rig) == before


async def test_unassigned_containers_are_removed_only_after_a_full_set(tmp_path):
    async with agent_rig(tmp_path, start=False) as rig:
        stray = await _stray(rig)
        rig.plane.put(node_tree())
        rig.start()
        await rig.until(lambda: stray not in rig.runtime.containers)
        await rig.until(lambda: not rig.runtime._sandboxes)


@pytest.mark.slow
async def test_a_network_that_does_not_answer_delays_the_search_for_strays_and_ends_nothing(rig):
    await adopted(rig)
    stray = await _stray(rig)
    rig.network.fail_next("attached", "the kernel does not answer")
    rig.agent._pods.reap()
    await rig.until(lambda: stray not in rig.runtime.containers)


async def test_without_a_control_plane_a_stray_container_is_left_alone(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    await rig.plane.stop()
    await rig.stop()
    stray = await _stray(rig)
    await rig.restart()
    await adopted(rig)
    rig.runtime.end(rig.runtime.of("main").id, 1)
    await rig.until(lambda: rig.runtime.of("main").attempt == 1)
    assert rig.runtime.containers[stray].state == "running"


async def _stray(rig):
    from agent.runtime.protocol import ContainerSpec  # noqa: PLC0415
    from lab.images import BUSYBOX  # noqa: PLC0415

    sandbox = await rig.runtime.make_sandbox("uid-stray", "h", shm_bytes=0, host_network=False, host_ipc=False)
    spec = ContainerSpec("uid-stray", "default", "stray", "stray", 0, "h", BUSYBOX, sandbox, "", "/x")
    return (await rig.runtime.start((await rig.runtime.create(spec)).id)).id


async def test_a_runtime_that_is_away_makes_the_node_unready_with_the_reason(rig):
    await adopted(rig)
    rig.runtime.down = "podman.sock: connection refused"
    await rig.agent._node.look()
    await rig.until(lambda: any("connection refused" in beat.node_status for beat in rig.plane.heartbeats))
    rig.runtime.down = ""


async def test_a_network_that_cannot_start_is_told_and_tried_again(tmp_path):
    async with agent_rig(tmp_path, start=False) as rig:
        rig.network.fail_next("start", "port 53 of 169.254.20.10 is taken")
        rig.start()

        def told(kind):
            found = [json.loads(beat.node_status) for beat in rig.plane.heartbeats if beat.node_status]
            return [(c["status"], c["message"]) for status in found for c in status["conditions"] if c["type"] == kind]

        problem = "the pod network cannot be set up: port 53 of 169.254.20.10 is taken"
        await rig.until(lambda: ("True", problem) in told("NetworkUnavailable"))
        assert ("False", problem) in told("Ready")
        await adopted(rig)
        await rig.until(lambda: told("Ready")[-1][0] == "True")


async def test_a_clean_stop_leaves_containers_and_network_alone(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    before = facts(rig)
    rig.runtime.calls.clear()
    await rig.stop()
    assert facts(rig) == before
    assert changes(rig) == []
    assert rig.network.closed
    assert rig.network.attachments


@pytest.mark.parametrize("turns", range(8))
async def test_an_agent_that_is_asked_to_end_while_something_happens_to_a_pod_ends(rig, turns):
    """At each turn of the loop: a wait that ends just then must not swallow that its task is cancelled."""
    rig.plane.put(pod_tree("web", container_tree(image="example.com/none:1", imagePullPolicy="Never")))
    await rig.until(lambda: rig.container().get("state", {}).get("waiting"))  # until it is looked at again
    (worker,) = rig.agent._workers()
    stopping = asyncio.create_task(rig.stop())
    for _ in range(turns):
        await asyncio.sleep(0)
    worker.wake()
    await asyncio.wait_for(stopping, DEADLINE_SECONDS)


async def test_an_agent_that_cannot_ask_podman_of_old_commands_takes_its_pods_over_and_asks_again(rig, monkeypatch):
    monkeypatch.setattr("agent.node_agent.START_RETRY_SECONDS", 0.01)
    rig.plane.put(pod_tree())
    await rig.until_ready()
    asked = []

    async def end_commands():
        asked.append(True)
        if len(asked) < 3:
            raise RuntimeFailure("it does not answer")

    rig.runtime.end_commands = end_commands
    await rig.restart()
    await rig.until(lambda: rig.agent._pods is not None and rig.agent._pods.ready)
    await rig.until(lambda: len(asked) == 3)
