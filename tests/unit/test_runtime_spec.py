"""From a ContainerSpec to Podman's create call."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.protocol import ContainerSpec, Mount, ResourceLimits, Sandbox
from agent.runtime.spec import container_name, create_request

SANDBOX = Sandbox("uid-1", "/run/s/net", "/run/s/ipc", "/run/s/uts", "/run/s/shm", "18f")
SPEC = ContainerSpec(
    pod_uid="uid-1",
    pod_namespace="default",
    pod_name="web",
    name="main",
    attempt=2,
    spec_hash="abc",
    image="localhost/busybox:1",
    sandbox=SANDBOX,
    log_path="/logs/2.log",
    cgroup_parent="/timonier/poduid-1",
)


def request(**changes):
    return create_request(replace(SPEC, **changes), hostname="host-1", hostname_path="/run/s/hostname")


def resources(**limits):
    return request(limits=ResourceLimits(**limits))["resource_limits"]


def test_the_name_is_derived_from_pod_container_and_attempt():
    assert request()["name"] == container_name("uid-1", "main", 2) == "uid-1_main_2"


def test_labels_hold_all_that_a_restarted_agent_needs():
    labels = request()["labels"]
    assert labels == {
        "timonier.pod-uid": "uid-1",
        "timonier.pod-namespace": "default",
        "timonier.pod-name": "web",
        "timonier.container": "main",
        "timonier.attempt": "2",
        "timonier.spec-hash": "abc",
        "timonier.log-path": "/logs/2.log",
        "timonier.sandbox": "18f",
    }


def test_namespaces_are_joined_by_path():
    body = request()
    assert body["netns"] == {"nsmode": "path", "value": "/run/s/net"}
    assert body["ipcns"] == {"nsmode": "path", "value": "/run/s/ipc"}
    assert body["utsns"] == {"nsmode": "path", "value": "/run/s/uts"}
    assert body["pidns"] == {"nsmode": "private"}


def test_namespaces_without_a_pin_are_the_hosts():
    body = request(sandbox=Sandbox("uid-1", "", "", "", ""), host_network=True, host_pid=True)
    assert [body[kind]["nsmode"] for kind in ("netns", "ipcns", "utsns", "pidns")] == ["host"] * 4


def test_without_command_and_arguments_the_images_own_are_used():
    assert not {"command", "entrypoint"} & request().keys()


def test_arguments_alone_keep_the_images_entrypoint():
    body = request(args=("-v",))
    assert body["command"] == ["-v"]
    assert "entrypoint" not in body


def test_a_command_replaces_entrypoint_and_default_arguments():
    body = request(command=("sh", "-c"), args=("true",))
    assert (body["entrypoint"], body["command"]) == (["sh", "-c"], ["true"])


def test_host_name_variable_is_the_pods_unless_the_pod_sets_it():
    assert request()["env"] == {"HOSTNAME": "host-1"}
    assert request(env=(("A", "1"), ("HOSTNAME", "mine"), ("A", "2")))["env"] == {"A": "2", "HOSTNAME": "mine"}


def test_shared_memory_and_host_name_are_mounted_unless_the_pod_mounts_there():
    targets = {mount["destination"]: mount["source"] for mount in request()["mounts"]}
    assert targets == {"/dev/shm": "/run/s/shm", "/etc/hostname": "/run/s/hostname"}
    own = (Mount("/vol", "/dev/shm/"), Mount("/etc/h", "/etc/hostname", read_only=True))
    assert [mount["source"] for mount in request(mounts=own)["mounts"]] == ["/vol", "/etc/h"]


def test_mount_options_say_how_it_is_writable_and_how_mounts_propagate():
    body = request(mounts=(Mount("/a", "/b", read_only=True, propagation="rslave"),))
    assert body["mounts"][0] == {
        "type": "bind",
        "source": "/a",
        "destination": "/b",
        "options": ["rbind", "ro", "rslave"],
    }


def test_no_limits_leave_only_the_smallest_cpu_share():
    assert resources() == {"cpu": {"shares": 2}}


def test_limits_are_converted_as_the_kubelet_converts_them():
    assert resources(cpu_request_millicores=1500, cpu_limit_millicores=2000, memory_limit_bytes=4096, pids_limit=9) == {
        "cpu": {"shares": 1536, "quota": 200_000, "period": 100_000},
        "memory": {"limit": 4096, "swap": 4096},
        "pids": {"limit": 9},
    }


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_cpu_settings_are_never_below_what_the_kernel_accepts(requested, limit):
    cpu = resources(cpu_request_millicores=requested, cpu_limit_millicores=limit)["cpu"]
    assert cpu["shares"] >= 2
    assert cpu.get("quota", 1000) >= 1000
    assert ("quota" in cpu) == (limit > 0)


def test_everything_podman_would_do_on_its_own_is_off():
    body = request()
    assert body["restart_policy"] == "no"
    assert body["healthconfig"] == {"Test": ["NONE"]}
    assert body["use_image_hosts"]
    assert body["use_image_resolve_conf"]
    assert not body["httpproxy"]
    assert body["systemd"] == "false"
