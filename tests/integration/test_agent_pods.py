"""Pods on a whole agent: assignment in, containers and statuses out. Runtime and network are fakes, gRPC is real."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest
import structlog.testing

from agent.disk_limits import DiskLimits
from agent.runtime.protocol import ExecResult, RuntimeFailure
from tests.agent_rig import agent_rig, container_tree, deleting, pod_tree

pytestmark = pytest.mark.slow


@pytest.fixture
async def rig(tmp_path):
    async with agent_rig(tmp_path) as made:
        yield made


def config_map(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm", "namespace": "default"}, "data": data}


def secret(**data):
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    meta = {"name": "sec", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encoded}


def service(name="db", address="10.96.0.7", selector_ip=""):
    meta = {"name": name, "namespace": "default"}
    ports = [{"name": "sql", "port": 5432, "protocol": "TCP", "targetPort": 5432}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"clusterIP": address, "ports": ports}}


def endpoint_slice(ip, *, ready=True):
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "db-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4",
        "ports": [{"name": "sql", "port": 5432, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": ready, "serving": True, "terminating": not ready}}],
    }


def reasons(rig, kind="web"):
    return [event["reason"] for event in rig.plane.events if event["involvedObject"]["name"] == kind]


async def test_an_assigned_pod_runs_and_is_reported(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    status = rig.status()
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("10.244.1.")
    assert status["hostIP"] == "10.0.0.11"
    assert rig.container()["state"]["running"]["startedAt"]
    assert rig.container()["restartCount"] == 0
    assert rig.container()["containerID"] == f"podman://{rig.runtime.of('main').id}"
    await rig.until(lambda: reasons(rig) == ["Pulled", "Created", "Started"])


async def test_a_deleted_pod_is_terminated_cleaned_up_and_reported_gone(rig):
    pod = pod_tree()
    rig.plane.put(pod)
    await rig.until_ready()
    with structlog.testing.capture_logs() as logs:
        rig.plane.put(deleting(pod))
        await rig.until(lambda: rig.plane.gone == ["uid-web"], "gone")
        await rig.until(lambda: not rig.agent.metrics()["pods"], "worker ended")
    assert [entry["event"] for entry in logs].count("pod_gone") == 1
    assert rig.status()["phase"] == "Failed"
    assert rig.container()["state"]["terminated"]["exitCode"] == 143
    assert not rig.runtime.containers
    assert not await rig.runtime.sandboxes()
    assert not rig.network.attachments
    assert not rig.paths.pod("uid-web").exists()


async def test_several_containers_of_a_pod_start_in_one_sandbox(rig):
    rig.plane.put(pod_tree("web", container_tree("a"), container_tree("b")))
    await rig.until_ready()
    assert len({spec.sandbox for spec in rig.runtime.specs.values()}) == 1
    assert [each["name"] for each in rig.status()["containerStatuses"]] == ["a", "b"]


async def test_ten_pods_at_once_all_run(rig):
    names = [f"p{number}" for number in range(10)]
    rig.plane.put(*(pod_tree(name) for name in names))
    await rig.until_ready(*names)
    assert len({rig.status(name)["podIP"] for name in names}) == 10


async def test_an_image_that_is_nowhere_is_told_and_tried_again_later(rig):
    rig.plane.put(pod_tree("web", container_tree(image="example.com/none:1")))
    waiting = await rig.until(lambda: rig.container().get("state", {}).get("waiting", {}).get("message"))
    assert "example.com/none:1" in waiting
    assert rig.container()["state"]["waiting"]["reason"] == "ErrImagePull"
    assert rig.status()["phase"] == "Pending"
    await rig.until(lambda: "Failed" in reasons(rig))


async def test_an_image_is_pulled_once_for_all_that_wait_for_it(rig):
    rig.runtime.add_image("example.com/app:1", remote=True)
    rig.runtime.pull_gate = asyncio.Event()
    rig.plane.put(*(pod_tree(name, container_tree(image="example.com/app:1")) for name in ("a", "b", "c")))
    await rig.until(lambda: ("pull", "example.com/app:1") in rig.runtime.calls)
    rig.runtime.pull_gate.set()
    await rig.until_ready("a", "b", "c")
    assert rig.runtime.calls.count(("pull", "example.com/app:1")) == 1


async def test_an_image_that_must_not_be_pulled_is_not(rig):
    rig.plane.put(pod_tree("web", container_tree(image="example.com/app:1", imagePullPolicy="Never")))
    await rig.until(lambda: rig.container().get("state", {}).get("waiting", {}).get("reason") == "ErrImageNeverPull")
    assert not [call for call in rig.runtime.calls if call[0] == "pull"]


async def test_a_pod_that_is_deleted_while_its_image_is_pulled_goes_at_once(rig):
    rig.runtime.add_image("example.com/app:1", remote=True)
    rig.runtime.pull_gate = asyncio.Event()
    pod = pod_tree("web", container_tree(image="example.com/app:1"))
    rig.plane.put(pod)
    await rig.until(lambda: ("pull", "example.com/app:1") in rig.runtime.calls)
    rig.plane.put(deleting(pod))
    await rig.until(lambda: rig.plane.gone == ["uid-web"])


async def test_a_missing_config_map_holds_the_container_until_it_comes(rig):
    env = [{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "colour"}}}]
    rig.plane.put(pod_tree("web", container_tree(env=env)))
    await rig.until(
        lambda: rig.container().get("state", {}).get("waiting", {}).get("reason") == "CreateContainerConfigError"
    )
    assert rig.container()["state"]["waiting"]["message"] == 'configmap "cm" not found'
    rig.plane.put(config_map(colour="blue"))
    await rig.until_ready()
    (spec,) = rig.runtime.specs.values()
    assert dict(spec.env)["COLOUR"] == "blue"


async def test_variables_come_from_services_maps_secrets_and_the_pod_itself(rig):
    rig.plane.put(config_map(A="1", B="2"), secret(TOKEN="s3cret"), service())
    env_from = [{"configMapRef": {"name": "cm"}, "prefix": "CM_"}, {"secretRef": {"name": "sec"}}]
    env = [
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "URL", "value": "tcp://$(DB_SERVICE_HOST):$(DB_SERVICE_PORT)/$(CM_A)"},
    ]
    rig.plane.put(pod_tree("web", container_tree(env=env, envFrom=env_from, command=["serve", "$(URL)"])))
    await rig.until_ready()
    (spec,) = rig.runtime.specs.values()
    variables = dict(spec.env)
    assert variables["IP"] == rig.status()["podIP"]
    assert variables["URL"] == "tcp://10.96.0.7:5432/1"
    assert (variables["CM_B"], variables["TOKEN"]) == ("2", "s3cret")
    assert spec.command == ("serve", "tcp://10.96.0.7:5432/1")


async def test_a_mounted_config_map_follows_its_object(rig):
    rig.plane.put(config_map(motto="one"))
    mounts = [{"name": "conf", "mountPath": "/etc/conf"}]
    volumes = [{"name": "conf", "configMap": {"name": "cm"}}]
    rig.plane.put(pod_tree("web", container_tree(volumeMounts=mounts), volumes=volumes))
    await rig.until_ready()
    (spec,) = rig.runtime.specs.values()
    mount = next(mount for mount in spec.mounts if mount.target == "/etc/conf")
    file = Path(mount.source, "motto")
    assert mount.read_only
    assert file.read_text() == "one"
    rig.plane.put(config_map(motto="two"))
    await rig.until(lambda: file.read_text() == "two")
    assert len(rig.runtime.running("main")) == 1
    assert rig.container()["restartCount"] == 0


async def test_secrets_stand_only_below_the_run_folder(rig):
    rig.plane.put(secret(TOKEN="hunter2"))
    volumes = [{"name": "s", "secret": {"secretName": "sec"}}]
    rig.plane.put(pod_tree("web", container_tree(volumeMounts=[{"name": "s", "mountPath": "/s"}]), volumes=volumes))
    await rig.until_ready()
    (spec,) = rig.runtime.specs.values()
    source = next(mount.source for mount in spec.mounts if mount.target == "/s")
    assert Path(source, "TOKEN").read_text() == "hunter2"
    assert source.startswith(str(rig.paths.run_dir))
    await rig.stop()  # what changes while it is searched cannot be searched
    plain, encoded = b"hunter2", base64.b64encode(b"hunter2")
    for path in rig.paths.data_dir.rglob("*"):
        if path.is_file():
            assert plain not in path.read_bytes()
            assert encoded not in path.read_bytes()


async def test_a_command_that_does_not_exist_is_told_by_name(rig):
    rig.plane.put(pod_tree("web", container_tree(command=["/no/such/command"])))
    await rig.until(lambda: rig.container().get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff")
    last = rig.container()["lastState"]["terminated"]
    assert last["reason"] == "StartError"
    assert last["exitCode"] == 128
    assert "/no/such/command" in last["message"]
    assert rig.container()["restartCount"] == 1


async def test_a_crash_is_restarted_at_once_and_then_backed_off(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    rig.runtime.end(rig.runtime.of("main").id, 3)
    await rig.until(lambda: rig.container().get("restartCount") == 1)
    assert rig.container()["lastState"]["terminated"]["exitCode"] == 3
    await rig.until(lambda: rig.runtime.running("main"))
    rig.runtime.end(rig.runtime.of("main").id, 137, oom=True)
    await rig.until(lambda: rig.container()["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff")
    message = "back-off 10s restarting failed container=main pod=web_default(uid-web)"
    assert rig.container()["state"]["waiting"] == {"reason": "CrashLoopBackOff", "message": message}
    assert rig.container()["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert rig.condition("Ready")["status"] == "False"
    assert rig.status()["phase"] == "Running"
    await rig.until(lambda: "BackOff" in reasons(rig))


async def test_a_job_like_pod_ends_succeeded_and_keeps_its_containers(rig):
    rig.runtime.programs["true"] = lambda spec: 0
    pod = pod_tree("web", container_tree(command=["true"]), restartPolicy="Never")
    rig.plane.put(pod)
    await rig.until(lambda: rig.status().get("phase") == "Succeeded")
    assert rig.container()["state"]["terminated"]["reason"] == "Completed"
    assert rig.condition("Ready")["reason"] == "PodCompleted"
    await rig.until(lambda: not rig.network.attachments)
    assert len(rig.runtime.containers) == 1
    rig.plane.put(deleting({**pod, "status": rig.status()}))
    await rig.until(lambda: rig.plane.gone == ["uid-web"])
    assert not rig.paths.pod("uid-web").exists()


async def test_a_pod_that_does_not_fit_is_refused(rig):
    big = {"requests": {"cpu": "3"}}
    rig.plane.put(pod_tree("first", container_tree(resources=big)))
    await rig.until_ready("first")
    rig.plane.put(pod_tree("web", container_tree(resources=big)))
    await rig.until(lambda: rig.status().get("phase") == "Failed")
    assert rig.status()["reason"] == "OutOfcpu"
    assert "requested: 3000, used: 3000, capacity: 4000" in rig.status()["message"]
    assert len(rig.runtime.containers) == 1


async def test_pre_stop_runs_before_the_container_is_asked_to_end(rig):
    hook = {"preStop": {"exec": {"command": ["say", "bye"]}}}
    pod = pod_tree("web", container_tree(lifecycle=hook))
    rig.plane.put(pod)
    await rig.until_ready()
    rig.plane.put(deleting(pod))
    await rig.until(lambda: rig.plane.gone)
    calls = [call for call in rig.runtime.calls if call[0] in {"exec_sync", "signal"}]
    assert calls == [("exec_sync", "say bye"), ("signal", "main:SIGTERM")]


async def test_a_failed_hook_is_told_and_does_not_stop_the_end(rig):
    rig.runtime.exec_results["say bye"] = ExecResult(1, b"nobody listens")
    hook = {"preStop": {"exec": {"command": ["say", "bye"]}}}
    pod = pod_tree("web", container_tree(lifecycle=hook))
    rig.plane.put(pod)
    await rig.until_ready()
    rig.plane.put(deleting(pod))
    await rig.until(lambda: rig.plane.gone)
    await rig.until(lambda: "FailedPreStopHook" in reasons(rig))


async def test_a_failed_post_start_hook_restarts_the_container(rig):
    rig.runtime.exec_results["warm up"] = ExecResult(1, b"too cold")
    hook = {"postStart": {"exec": {"command": ["warm", "up"]}}}
    rig.plane.put(pod_tree("web", container_tree(lifecycle=hook)))
    await rig.until(lambda: "FailedPostStartHook" in reasons(rig))
    await rig.until(lambda: rig.container().get("restartCount", 0) >= 1)


async def test_a_container_that_ignores_the_question_is_killed_after_the_grace(rig):
    rig.runtime.ignores_term.add("main")
    pod = pod_tree()
    rig.plane.put(pod)
    await rig.until_ready()
    rig.plane.put(deleting(pod, grace_seconds=1))
    await rig.until(lambda: rig.plane.gone)
    assert rig.container()["state"]["terminated"]["exitCode"] == 137
    signals = [call[1] for call in rig.runtime.calls if call[0] == "signal"]
    assert signals == ["main:SIGTERM", "main:SIGKILL"]


async def test_a_serving_pod_is_asked_to_end_only_after_services_dropped_it(rig):
    pod = pod_tree()
    rig.plane.put(pod, service())
    await rig.until_ready()
    ip = rig.status()["podIP"]
    rig.plane.put(endpoint_slice(ip))
    rig.plane.put(deleting(pod))
    await rig.until(
        lambda: "Killing" not in reasons(rig) and rig.agent.metrics()["inputs_revision"] == rig.plane.revision
    )
    assert rig.runtime.running("main"), "still serving"
    rig.plane.put(endpoint_slice(ip, ready=False))
    await rig.until(lambda: rig.plane.gone)


async def test_a_pod_removed_by_force_is_ended_without_a_report(rig):
    pod = pod_tree()
    rig.plane.put(pod)
    await rig.until_ready()
    rig.plane.remove(pod)
    await rig.until(lambda: not rig.runtime.containers)
    await rig.until(lambda: not rig.paths.pod("uid-web").exists())
    assert rig.plane.gone == []


async def test_a_namesake_replaces_the_pod_before_it(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    rig.plane.put(pod_tree(uid="uid-second"))
    await rig.until(lambda: rig.plane.statuses.get("uid-second", {}).get("phase") == "Running")
    await rig.until(lambda: len(rig.runtime.containers) == 1)
    assert rig.runtime.of("main").pod_uid == "uid-second"


async def test_no_container_starts_before_the_network_of_its_assignment_is_there(rig):
    rig.network.sync_gate = asyncio.Event()
    rig.plane.put(service(), pod_tree())
    await rig.until(lambda: await_revision(rig))
    assert not rig.runtime.running("main")
    rig.network.sync_gate.set()
    await rig.until_ready()
    assert rig.network.synced[-1].services[0].cluster_ip == "10.96.0.7"


def await_revision(rig):
    return rig.agent.metrics()["inputs_revision"] == rig.plane.revision


async def test_a_failing_step_is_repeated_and_told(rig):
    rig.runtime.fail_next("make_sandbox", RuntimeFailure("no space left"))
    rig.network.fail_next("attach", "no free address")
    rig.plane.put(pod_tree())
    await rig.until_ready()
    for told in ("no space left", "no free address"):
        await rig.until(lambda told=told: any(told in event["message"] for event in rig.plane.events))


async def test_another_image_replaces_the_container(rig):
    rig.runtime.add_image("localhost/app:2")
    rig.plane.put(pod_tree())
    await rig.until_ready()
    rig.plane.put(pod_tree("web", container_tree(image="localhost/app:2")))
    await rig.until(lambda: rig.container().get("restartCount") == 1 and "running" in rig.container()["state"])
    assert rig.runtime.of("main").image == "localhost/app:2"


async def test_a_liveness_probe_restarts_and_a_readiness_probe_takes_out_of_service(rig):
    rig.runtime.exec_results["ready?"] = ExecResult(1, b"not yet")
    rig.runtime.exec_results["alive?"] = ExecResult(0, b"")
    fast = {"periodSeconds": 1, "failureThreshold": 1}
    probes = {
        "readinessProbe": {"exec": {"command": ["ready?"]}, **fast},
        "livenessProbe": {"exec": {"command": ["alive?"]}, **fast},
    }
    rig.plane.put(pod_tree("web", container_tree(**probes)))
    await rig.until(lambda: "running" in rig.container().get("state", {}))
    assert rig.condition("Ready") | {"lastTransitionTime": ""} == {
        "type": "Ready",
        "status": "False",
        "reason": "ContainersNotReady",
        "message": "containers with unready status: [main]",
        "lastTransitionTime": "",
    }
    rig.runtime.exec_results["ready?"] = ExecResult(0, b"")
    await rig.until_ready()
    rig.runtime.exec_results["alive?"] = ExecResult(1, b"stuck")
    await rig.until(lambda: rig.container()["restartCount"] == 1)
    await rig.until(lambda: "Unhealthy" in reasons(rig))


async def test_a_pod_whose_scratch_space_outgrew_its_limit_is_evicted(rig):
    volumes = [{"name": "scratch", "emptyDir": {"sizeLimit": "64Ki"}}]
    mounts = [{"name": "scratch", "mountPath": "/scratch"}]
    rig.plane.put(pod_tree("web", container_tree(volumeMounts=mounts), volumes=volumes))
    await rig.until_ready()
    limits = DiskLimits(rig.agent._workers, rig.paths)
    await limits.enforce()
    assert rig.runtime.running("main")
    (rig.paths.volume("uid-web", "scratch") / "big").write_bytes(b"x" * 100_000)
    await limits.enforce()
    await rig.until(lambda: rig.status()["phase"] == "Failed")
    assert rig.status()["reason"] == "Evicted"
    assert rig.status()["message"] == 'Usage of EmptyDir volume "scratch" exceeds the limit "64Ki". '
    await rig.until(lambda: not rig.runtime.running("main"))
