"""What a container is made of, as only real ones show: namespaces, mounts, limits, users, capabilities."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from agent.runtime import cgroups
from agent.runtime.protocol import Mount, ResourceLimits, Sandbox
from lab.images import docker_archive, recipes
from tests.runtime_rig import log_text, podman_command, until

pytest_plugins = ["tests.runtime_fixture"]
pytestmark = [pytest.mark.podman, pytest.mark.root, pytest.mark.slow]


async def test_containers_of_a_pod_share_network_names_and_memory(host):
    first = await host.run("sh", "-c", "echo shared > /dev/shm/note; nc -l -p 7000 -e echo hello & exec sleep 1000")
    await until((Path(host.podman.run_dir) / "sandboxes" / first.pod_uid / "shm" / "note").exists, "shm")
    spec = await host.spec(
        "sh", "-c", "cat /dev/shm/note; hostname; until nc 127.0.0.1 7000 2> /dev/null; do usleep 10000; done"
    )
    second = replace(spec, pod_uid=first.pod_uid, name="second", sandbox=replace_sandbox(host, first))
    created = await host.runtime.create(second)
    await host.runtime.start(created.id)
    await host.next_exit(created.id)
    assert log_text(second.log_path).splitlines()[:3] == ["shared", "host-1", "hello"]


def replace_sandbox(host, container):
    folder = Path(host.podman.run_dir, "sandboxes", container.pod_uid)
    return Sandbox(
        container.pod_uid, str(folder / "net"), str(folder / "ipc"), str(folder / "uts"), str(folder / "shm")
    )


async def test_host_name_is_the_same_by_call_variable_and_file(host):
    text = await host.output("sh", "-c", "hostname; echo $HOSTNAME; cat /etc/hostname")
    assert text.split() == ["host-1"] * 3


async def test_a_network_of_its_own_has_only_a_loopback_that_is_up(host):
    text = await host.output("sh", "-c", "ip -o link | cut -d' ' -f2; ping -c1 -W30 127.0.0.1 > /dev/null && echo up")
    assert text.split() == ["lo:", "up"]


async def test_command_arguments_environment_user_and_folder_are_the_specs(host):
    text = await host.output(
        "sh",
        "-c",
        'pwd; id -u; id -g; echo "$GREETING"; echo "$0" "$1"',
        args=("zero", "one two"),
        env=(("GREETING", "a=b c"),),
        working_dir="/srv",
        user="1000:2000",
    )
    assert text.splitlines() == ["/srv", "1000", "2000", "a=b c", "zero one two"]


async def test_a_folder_to_work_in_that_the_image_lacks_is_made(host):
    assert (await host.output("sh", "-c", "pwd", working_dir="/made/for/me")).splitlines() == ["/made/for/me"]


async def test_nothing_of_the_machines_environment_reaches_a_container(host):
    names = {line.split("=")[0] for line in (await host.output("env")).splitlines()}
    assert names == {"PATH", "TERM", "HOME", "HOSTNAME", "container", "SHLVL"} & names | {"PATH", "HOSTNAME"}


async def test_mounts_are_writable_or_read_only_as_asked_and_later_mounts_follow_slave_propagation(host, tmp_path):
    (tmp_path / "rw").mkdir()
    (tmp_path / "ro").mkdir()
    mounts = (Mount(str(tmp_path / "rw"), "/rw"), Mount(str(tmp_path / "ro"), "/ro", read_only=True))
    text = await host.output(
        "sh", "-c", "echo x > /rw/f && echo written; echo y > /ro/f || echo refused", mounts=mounts
    )
    assert "written" in text
    assert "refused" in text
    assert (tmp_path / "rw" / "f").read_text() == "x\n"
    assert not (tmp_path / "ro" / "f").exists()


async def test_a_read_only_root_refuses_writes(host):
    assert "refused" in await host.output("sh", "-c", "touch /file || echo refused", read_only_root=True)


async def test_limits_reach_the_kernel(host):
    limits = ResourceLimits(
        cpu_request_millicores=250,
        cpu_limit_millicores=500,
        memory_limit_bytes=64 << 20,
        pids_limit=77,
        oom_score_adj=321,
    )
    container = await host.run(limits=limits)
    assert Path(f"/proc/{container.pid}/oom_score_adj").read_text().strip() == "321"
    path = f"{host.podman.cgroup_root}/pod{container.pod_uid}/libpod-{container.id}"
    trees = cgroups.own_hierarchies()
    if any("memory" in tree.controllers for tree in trees):
        v1 = {name: tree.path + path for tree in trees for name in tree.controllers}
        assert Path(v1["memory"], "memory.limit_in_bytes").read_text().strip() == str(64 << 20)
        assert Path(v1["cpu"], "cpu.shares").read_text().strip() == "256"
        assert Path(v1["cpu"], "cpu.cfs_quota_us").read_text().strip() == "50000"
        assert Path(v1["pids"], "pids.max").read_text().strip() == "77"
    else:
        v2 = next(tree.path for tree in trees if tree.unified) + path
        assert Path(v2, "memory.max").read_text().strip() == str(64 << 20)
        assert Path(v2, "cpu.max").read_text().split() == ["50000", "100000"]
        assert Path(v2, "pids.max").read_text().strip() == "77"


async def test_capabilities_are_added_and_dropped(host):
    def effective(text):
        return int(text.split("CapEff:")[1].split()[0], 16)

    plain = effective(await host.output("cat", "/proc/self/status"))
    changed = effective(
        await host.output("cat", "/proc/self/status", cap_add=("NET_ADMIN",), cap_drop=("CHOWN", "NET_RAW"))
    )
    net_admin, chown, net_raw = 1 << 12, 1 << 0, 1 << 13
    assert plain & chown
    assert plain & net_raw
    assert not plain & net_admin
    assert changed & net_admin
    assert not changed & (chown | net_raw)


async def test_the_stop_signal_of_an_image_is_told(host, tmp_path):
    busybox = recipes(Path(shutil.which("busybox")))[0]
    archive = tmp_path / "image.tar"
    archive.write_bytes(docker_archive([replace(busybox, reference="localhost/quits:1", stop_signal="SIGQUIT")]))
    podman_command(host.podman, "load", "--quiet", "--input", str(archive))
    assert (await host.run(image="localhost/quits:1")).stop_signal == signal.SIGQUIT
    assert (await host.run()).stop_signal == signal.SIGTERM
