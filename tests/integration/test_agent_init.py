"""Init containers and sidecars of pods under a whole agent: their order, their end, restarts of the agent, boots."""

from __future__ import annotations

import pytest

from api.v1 import apiserver_pb2
from tests.agent_rig import agent_rig, container_tree, deleting, pod_tree

pytestmark = pytest.mark.slow


@pytest.fixture
async def rig(tmp_path):
    async with agent_rig(tmp_path) as made:
        yield made


def initial(*names, **spec):
    """A pod with init containers of these names; those that begin with "side" are sidecars."""
    inits = [container_tree(name, **({"restartPolicy": "Always"} if name.startswith("side") else {})) for name in names]
    return pod_tree("web", initContainers=inits, **spec)


def runs(rig, name):
    """How often a container was started."""
    return rig.runtime.calls.count(("start", name))


async def until_running(rig, name):
    await rig.until(
        lambda: rig.runtime.running(name) and "running" in rig.container(name=name).get("state", {}), f"{name} runs"
    )


async def finish(rig, name, code=0):
    await until_running(rig, name)
    rig.runtime.end(rig.runtime.of(name).id, code)


async def test_init_containers_run_one_after_the_other_and_then_the_main_ones(rig):
    rig.plane.put(initial("a", "side", "b"))
    await until_running(rig, "a")
    assert {name for method, name in rig.runtime.calls if method == "create"} == {"a"}
    await finish(rig, "a")
    await until_running(rig, "b")
    assert rig.runtime.running("side")
    assert rig.status()["phase"] == "Pending"
    await finish(rig, "b")
    await rig.until_ready()
    assert [name for method, name in rig.runtime.calls if method == "start"] == ["a", "side", "b", "main"]
    assert rig.condition("Initialized")["status"] == "True"
    paths = {event["involvedObject"].get("fieldPath") for event in rig.plane.events if event["reason"] == "Started"}
    assert {"spec.initContainers{a}", "spec.containers{main}"} <= paths


async def test_an_init_container_that_fails_is_tried_again(rig):
    rig.plane.put(initial("a"))
    await finish(rig, "a", 1)
    await rig.until(lambda: rig.container(name="a").get("restartCount") == 1)
    await finish(rig, "a")
    await rig.until_ready()


async def test_an_init_container_that_fails_ends_a_pod_that_is_never_restarted(rig):
    rig.plane.put(initial("side", "a", restartPolicy="Never"))
    await finish(rig, "a", 3)
    await rig.until(lambda: rig.status()["phase"] == "Failed" and not rig.network.attachments)
    await rig.until(lambda: "terminated" in rig.container(name="side")["state"])
    assert rig.container(name="a")["state"]["terminated"]["exitCode"] == 3
    assert rig.container()["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert runs(rig, "main") == 0


async def test_sidecars_are_started_again_and_do_not_keep_a_pod_that_did_its_work(rig):
    rig.plane.put(initial("side", restartPolicy="Never"))
    await rig.until_ready()
    await finish(rig, "side", 1)
    await rig.until(lambda: rig.container(name="side").get("restartCount") == 1)
    await rig.until_ready()
    await finish(rig, "main")
    await rig.until(lambda: rig.status()["phase"] == "Succeeded")
    assert not rig.runtime.running("side")


async def test_sidecars_end_after_the_main_containers_in_reverse_order(rig):
    pod = initial("side-1", "side-2")
    rig.plane.put(pod)
    await rig.until_ready()
    rig.plane.put(deleting(pod))
    await rig.until(lambda: rig.plane.gone == ["uid-web"])
    asked = [subject for method, subject in rig.runtime.calls if method == "signal"]
    assert asked == ["main:SIGTERM", "side-2:SIGTERM", "side-1:SIGTERM"]


async def test_a_sidecar_holds_up_the_others_until_its_startup_probe_succeeds(rig):
    pod = initial("side")
    pod["spec"]["initContainers"][0]["startupProbe"] = {"exec": {"command": ["up"]}, "periodSeconds": 1}
    rig.runtime.exec_results["up"] = TimeoutError()
    rig.plane.put(pod)
    await until_running(rig, "side")
    await rig.until(lambda: rig.runtime.calls.count(("exec_sync", "up")) >= 2)
    assert runs(rig, "main") == 0
    del rig.runtime.exec_results["up"]
    await rig.until_ready()
    await rig.restart()
    await rig.until(lambda: not rig.agent.problems())
    assert runs(rig, "side") == runs(rig, "main") == 1


@pytest.mark.parametrize("forgotten", [False, True], ids=["kept", "removed"])
async def test_a_restarted_agent_does_not_run_again_what_succeeded(rig, forgotten):
    rig.plane.put(initial("a", "b"))
    await finish(rig, "a")
    await until_running(rig, "b")
    stored = rig.container(name="a")
    await rig.until(lambda: b'"Completed"' in rig.paths.checkpoint.read_bytes())
    await rig.stop()
    if forgotten:
        rig.runtime.containers.pop(rig.runtime.of("a").id)
    rig.runtime.end(rig.runtime.of("b").id, 0)
    await rig.restart()
    await rig.until_ready()
    assert (runs(rig, "a"), runs(rig, "b"), runs(rig, "main")) == (1, 1, 1)
    assert rig.container(name="a") == stored


async def test_an_init_container_that_ended_and_was_removed_while_nobody_restarted_is_done(rig):
    rig.plane.put(initial("a", "b"))
    await finish(rig, "a")
    await until_running(rig, "b")
    worker = next(iter(rig.agent._workers()))
    ended = rig.runtime.of("a")
    rig.runtime.containers.pop(ended.id)
    worker.container_missing(ended.id)
    await finish(rig, "b", 1)
    await finish(rig, "b")
    await rig.until_ready()
    assert (runs(rig, "a"), runs(rig, "b")) == (1, 2)


async def test_after_a_boot_init_containers_run_again(rig):
    rig.plane.put(initial("a", "side"))
    await finish(rig, "a")
    await rig.until_ready()
    await rig.reboot()
    await until_running(rig, "a")
    assert rig.status()["phase"] == "Pending"
    assert (runs(rig, "a"), runs(rig, "side"), runs(rig, "main")) == (2, 1, 1)
    await rig.restart()  # in the middle: the first sandbox is long gone, the second one is still there
    await rig.until(lambda: not rig.agent.problems())
    await finish(rig, "a")
    await rig.until_ready()
    assert (runs(rig, "a"), runs(rig, "side"), runs(rig, "main")) == (2, 2, 2)


async def test_logs_of_an_init_container_can_be_read(rig):
    rig.plane.put(initial("a"))
    await until_running(rig, "a")
    path = rig.paths.log("uid-web", "a", 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("2025-06-15T15:06:40.000000000Z stdout F hello\n")
    rig.plane.open("s1", logs=apiserver_pb2.LogsRequest(namespace="default", pod="web", container="a"))
    assert b"".join(frame.stdout for frame in await rig.plane.frames("s1")) == b"hello\n"
    rig.plane.open("s2", logs=apiserver_pb2.LogsRequest(namespace="default", pod="web", container="main"))
    (frame,) = await rig.plane.frames("s2")
    assert frame.error.message == "container main of pod web is waiting to start: PodInitializing"
