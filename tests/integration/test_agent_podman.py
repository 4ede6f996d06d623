"""The agent on real containers: exit codes, OOM, logs, commands, volumes, adoption. The network is a fake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent import mounts
from agent.runtime.podman import PodmanRuntime
from agent.volumes import remove_files, remove_volumes
from api.v1 import apiserver_pb2
from component.env import system_env
from tests.agent_rig import agent_rig, container_tree, deleting, pod_tree

pytest_plugins = ["tests.podman_fixture"]
pytestmark = [pytest.mark.podman, pytest.mark.root, pytest.mark.slow]


@pytest.fixture
async def rig(podman, tmp_path):
    """The agent's folders stand where the private Podman service sees what is mounted there."""
    folder = Path(podman.root) / f"agent-{os.getpid()}-{tmp_path.name}"

    def connect():
        return PodmanRuntime(podman.socket_path, podman.run_dir, podman.data_dir, system_env())

    async with agent_rig(folder, start=False) as made:
        made.cgroup_root = podman.cgroup_root
        made.connect = connect
        made.runtime = connect()
        await made.begin()
        try:
            yield made
        finally:
            await made.stop()
            await clean(made, connect())


async def clean(rig, runtime):
    for container in await runtime.list_containers():
        await runtime.remove(container.id)
    for uid in {*await runtime.sandboxes(), *rig.plane.history}:
        await runtime.remove_sandbox(uid)
        remove_volumes(rig.paths, uid)
        remove_files(rig.paths, uid)
    await runtime.close()
    assert not mounts.mounts_below(rig.folder)


def shell(script, **fields):
    return container_tree(command=["sh", "-c", script], **fields)


async def output(rig, name="web", **options):
    rig.plane.open(
        f"logs-{name}", logs=apiserver_pb2.LogsRequest(namespace="default", pod=name, container="main", **options)
    )
    return b"".join(frame.stdout for frame in await rig.plane.frames(f"logs-{name}")).decode()


async def test_a_pod_runs_logs_and_ends_with_its_exit_code(rig):
    rig.plane.put(pod_tree("web", shell('echo "I am $POD"; exit 7', env=[POD_NAME]), restartPolicy="Never"))
    await rig.until(lambda: rig.status().get("phase") == "Failed")
    ended = rig.container()["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (7, "Error")
    assert await output(rig) == "I am web\n"


POD_NAME = {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}


async def test_containers_of_a_pod_share_its_name_and_its_volumes(rig):
    mount = [{"name": "shared", "mountPath": "/shared"}]
    writer = container_tree("writer", command=["sh", "-c", "hostname > /shared/f; sleep 1000"], volumeMounts=mount)
    reader = shell(
        "until [ -s /shared/f ]; do sleep 0.05; done; cat /shared/f /etc/hostname; sleep 1000", volumeMounts=mount
    )
    volumes = [{"name": "shared", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    rig.plane.put(pod_tree("web", writer, reader, volumes=volumes, terminationGracePeriodSeconds=1))
    await rig.until_ready()
    await rig.until(lambda: rig.paths.log("uid-web", "main", 0).read_bytes().count(b"\n") == 2)
    assert await output(rig) == "web\nweb\n"


async def test_too_much_memory_is_told_as_oom_killed(rig):
    hog = shell("sleep 0.3; a=x; while :; do a=$a$a$a$a; done", resources={"limits": {"memory": "16Mi"}})
    rig.plane.put(pod_tree("web", hog, restartPolicy="Never"))
    await rig.until(lambda: rig.status().get("phase") == "Failed")
    assert rig.container()["state"]["terminated"]["reason"] == "OOMKilled"
    assert rig.container()["state"]["terminated"]["exitCode"] == 137


async def test_the_last_words_of_a_container_are_its_message(rig):
    rig.plane.put(pod_tree("web", shell("echo -n farewell > /dev/termination-log; exit 1"), restartPolicy="Never"))
    await rig.until(lambda: rig.status().get("phase") == "Failed")
    assert rig.container()["state"]["terminated"]["message"] == "farewell"


async def test_a_command_that_does_not_exist_is_named(rig):
    rig.plane.put(pod_tree("web", container_tree(command=["/no/such/command"]), restartPolicy="Never"))
    await rig.until(lambda: rig.status().get("phase") == "Failed")
    ended = rig.container()["state"]["terminated"]
    assert ended["reason"] == "StartError"
    assert "/no/such/command" in ended["message"]


async def test_hooks_signals_and_the_grace(rig):
    script = "trap 'echo asked; exit 5' TERM; echo up; while :; do sleep 0.05; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /proc/1/fd/1"]}}}
    pod = pod_tree("web", shell(script, lifecycle=hook))
    rig.plane.put(pod)
    await rig.until_ready()
    rig.plane.open(
        "follow", logs=apiserver_pb2.LogsRequest(namespace="default", pod="web", container="main", follow=True)
    )
    assert (await rig.plane.dials["follow"].get()).stdout == b"up\n"
    rig.plane.put(deleting(pod))
    text = b"".join(frame.stdout for frame in await rig.plane.frames("follow"))
    assert text == b"hook\nasked\n"
    await rig.until(lambda: rig.plane.gone == ["uid-web"])
    assert rig.container()["state"]["terminated"]["exitCode"] == 5
    assert not rig.paths.pod("uid-web").exists()


async def test_a_user_runs_a_command_with_input(rig):
    rig.plane.put(pod_tree("web", shell("sleep 1000"), terminationGracePeriodSeconds=1))
    await rig.until_ready()
    start = apiserver_pb2.ExecStart(
        namespace="default", pod="web", container="main", command=["sh", "-c", "cat; exit 3"], stdin=True
    )
    rig.plane.open("exec", exec=start)
    rig.plane.to_agent["exec"].put_nowait(apiserver_pb2.StreamFrame(stdin=b"hello"))
    rig.plane.to_agent["exec"].put_nowait(apiserver_pb2.StreamFrame(stdin_closed=True))
    frames = await rig.plane.frames("exec")
    assert b"".join(frame.stdout for frame in frames) == b"hello"
    assert frames[-1].exit_code == 3


async def test_exec_probes_decide_about_readiness_and_restarts(rig):
    probe = {
        "periodSeconds": 1,
        "timeoutSeconds": 20,
        "failureThreshold": 1,
        "exec": {"command": ["test", "-e", "/tmp/ok"]},
    }
    rig.plane.put(
        pod_tree(
            "web",
            shell("mkdir -p /tmp; touch /tmp/ok; sleep 1000", readinessProbe=probe),
            container_tree("sick", command=["sleep", "1000"], livenessProbe=probe),
            terminationGracePeriodSeconds=1,
        )
    )
    await rig.until(lambda: rig.container().get("ready"))
    await rig.until(lambda: rig.container(name="sick").get("restartCount", 0) >= 1)
    assert rig.container()["restartCount"] == 0


async def test_a_restarted_agent_keeps_processes_and_start_times(rig):
    rig.plane.put(pod_tree("web", shell("sleep 1000"), terminationGracePeriodSeconds=1))
    await rig.until_ready()
    before = [(c.id, c.pid, c.started_time) for c in await rig.runtime.list_containers()]
    started = rig.container()["state"]["running"]["startedAt"]
    await rig.stop()
    rig.runtime = rig.connect()
    await rig.restart()
    await rig.until(lambda: not rig.agent.problems() and rig.plane.sessions)
    assert [(c.id, c.pid, c.started_time) for c in await rig.runtime.list_containers()] == before
    os.kill(before[0][1], 9)
    await rig.until(lambda: rig.container()["restartCount"] == 1 and "running" in rig.container()["state"])
    last = rig.container()["lastState"]["terminated"]
    assert (last["exitCode"], last["startedAt"]) == (137, started)


async def test_a_full_log_is_rotated_and_no_line_is_lost(rig):
    from agent.log_rotation import LogRotation  # noqa: PLC0415
    from agent.logs import rotated  # noqa: PLC0415

    script = "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); [ $((i%100)) = 0 ] && sleep 0.3; done; sleep 1000"
    rig.plane.put(pod_tree("web", shell(script), terminationGracePeriodSeconds=1))
    await rig.until_ready()
    path = rig.paths.log("uid-web", "main", 0)
    await rig.until(lambda: path.exists() and path.stat().st_size > 1000)
    rotation = LogRotation(rig.agent._running, rig.runtime, rig.paths, max_bytes=1000)
    await rotation.rotate_full()
    assert rotated(path).exists()
    await rig.until(lambda: path.exists() and path.read_bytes().rstrip().endswith(b" 299"))
    assert (await output(rig)).split() == [str(number) for number in range(300)]


async def test_init_containers_prepare_a_volume_beside_a_sidecar_and_a_killed_agent_repeats_none(rig):
    mount = [{"name": "work", "mountPath": "/stage"}]

    def step(name, script, **fields):
        return container_tree(name, command=["sh", "-c", script], volumeMounts=mount, **fields)

    inits = [
        step("first", "echo first >> /stage/steps"),
        step(
            "side", "trap 'exit 0' TERM; echo side >> /stage/steps; while :; do sleep 0.1; done", restartPolicy="Always"
        ),
        step("second", "until [ -e /stage/go ]; do sleep 0.05; done; echo second >> /stage/steps"),
    ]
    main = step("main", "trap 'exit 0' TERM; echo main >> /stage/steps; while :; do sleep 0.1; done")
    volumes = [{"name": "work", "emptyDir": {}}]
    pod = pod_tree("web", main, initContainers=inits, volumes=volumes)
    rig.plane.put(pod)
    await rig.until(lambda: "running" in rig.container(name="second").get("state", {}))
    before = {c.id for c in await rig.runtime.list_containers()}
    await rig.stop()
    rig.runtime = rig.connect()
    await rig.restart()
    await rig.until(lambda: not rig.agent.problems() and rig.plane.sessions)
    folder = rig.paths.volume("uid-web", "work")
    (folder / "go").touch()
    await rig.until_ready()
    await rig.until(lambda: "main" in (folder / "steps").read_text())  # a moment after its container began to run
    assert (folder / "steps").read_text().split() == ["first", "side", "second", "main"]
    assert before < {c.id for c in await rig.runtime.list_containers()}
    rig.plane.put(deleting(pod))
    await rig.until(lambda: rig.plane.gone == ["uid-web"])
    side, ended = rig.container(name="side"), rig.container()
    assert side["state"]["terminated"]["exitCode"] == ended["state"]["terminated"]["exitCode"] == 0
    assert side["state"]["terminated"]["finishedAt"] >= ended["state"]["terminated"]["finishedAt"]
