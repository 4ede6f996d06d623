"""What containers and pods leave on a host, and that nothing of it stays: logs, pins, mounts, cgroups, volumes."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from agent.runtime import cgroups
from agent.runtime.protocol import ResourceLimits
from lab.images import docker_archive, recipes
from lab.podman_remains import mounts_below, processes_of
from tests.runtime_rig import log_text, podman_command, until

pytest_plugins = ["tests.runtime_fixture"]
pytestmark = [pytest.mark.podman, pytest.mark.root, pytest.mark.slow]


async def test_a_renamed_log_goes_on_in_a_new_file_without_losing_a_line(host):
    counting = "i=0; while [ ! -e /stop ]; do echo $i; i=$((i+1)); usleep 500; done"
    container = await host.run("sh", "-c", counting)
    path = Path(container.log_path)
    await until(lambda: path.stat().st_size > 0, "it logs")
    for turn in range(3):
        path.rename(f"{path}.{turn}")
        await host.runtime.reopen_log(container.id)
        await until(lambda: path.exists() and path.stat().st_size > 0, "a new log")
    Path(f"/proc/{container.pid}/root/stop").touch()
    await host.next_exit(container.id)
    text = "".join(log_text(file) for file in (*(f"{path}.{turn}" for turn in range(3)), path))
    numbers = [int(line) for line in text.split()]
    assert numbers == list(range(len(numbers)))


async def test_removal_takes_the_log_and_its_rotations_along(host):
    container = await host.run("echo", "hi")
    await host.next_exit(container.id)
    path = Path(container.log_path)
    rotated = path.with_name(f"{path.name}.20250101-000000")
    rotated.touch()
    neighbour = path.with_name("other.log")
    neighbour.touch()
    assert path.exists()
    await host.runtime.remove(container.id)
    assert list(path.parent.iterdir()) == [neighbour]


async def test_a_pin_that_lost_its_namespace_is_not_valid_and_made_again(host):
    uid = f"uid-{uuid.uuid4().hex[:12]}"
    host.pods.append(uid)
    arguments = {"shm_bytes": 1 << 20, "host_network": False, "host_ipc": False}
    sandbox = await host.runtime.make_sandbox(uid, "h", **arguments)
    pin = Path(sandbox.netns_path)
    before = pin.stat().st_ino
    with pin.open("rb"):  # noqa: ASYNC230 - held, or the new namespace may get the number of the one that is gone
        subprocess.run(["umount", "--lazy", pin], check=True)
        again = await host.runtime.make_sandbox(uid, "h", **arguments)
        assert pin.stat().st_ino != before
    assert again == replace(sandbox, id=again.id)
    assert again.id != sandbox.id  # containers of the lost namespaces are not of this one
    assert len(mounts_below(pin.parent)) == 4


async def test_shared_memory_has_the_size_asked_for(host):
    text = await host.output("df", "-k", "/dev/shm")
    assert text.split()[-5] == "1024"


async def test_the_calling_process_keeps_its_own_namespaces(host):
    def own():
        return {kind: Path(f"/proc/self/ns/{kind}").readlink() for kind in ("net", "ipc", "uts", "mnt")}

    before, name = own(), os.uname().nodename
    await host.spec()
    assert (own(), os.uname().nodename) == (before, name)
    assert not [thread for thread in threading.enumerate() if thread.name == "namespace"]


async def test_nothing_is_left_of_a_pod(host):
    await host.spec()  # makes the folders that are there for all pods
    await host.clean()
    host.runtime = host.connect()
    # Clean-ups of containers that ended before go on for a while. What stays is the service and what holds its mounts.
    idle = 1 + len(host.podman.service_pids())
    await until(lambda: len(processes_of(host.podman.root)) == idle, "nothing goes on")
    before = host_state(host)
    container = await host.run(
        "sh", "-c", "sleep 700 & exec sleep 700", limits=ResourceLimits(memory_limit_bytes=32 << 20)
    )
    await host.runtime.exec_sync(container.id, ["true"], 10)
    assert host_state(host) != before
    await host.runtime.remove(container.id)
    await host.runtime.remove_sandbox(container.pod_uid)
    await until(lambda: host_state(host) == before, f"{host_state(host)} == {before}")


def host_state(host):
    """Everything of the private Podman's host that a pod could leave."""
    root = host.podman.root
    trees = cgroups.own_hierarchies()
    tops = [tree.path + host.podman.cgroup_root for tree in trees]
    folders = [path for top in tops for path, _, _ in os.walk(top) if path != top]
    files = [path for part in ("run", "data") for path, _, _ in os.walk(root / part)]
    layers = sorted(path.name for path in (root / "state" / "storage" / "overlay").iterdir())
    return len(processes_of(root)), mounts_below(root), sorted(folders), sorted(files), layers


async def test_anonymous_volumes_of_an_image_go_with_their_container(host, tmp_path):
    busybox = recipes(Path(shutil.which("busybox")))[0]
    archive = tmp_path / "image.tar"
    archive.write_bytes(docker_archive([replace(busybox, reference="localhost/volume:1", volumes=("/data",))]))
    podman_command(host.podman, "load", "--quiet", "--input", str(archive))
    container = await host.run("sh", "-c", "echo x > /data/file && exec sleep 1000", image="localhost/volume:1")
    assert len(podman_command(host.podman, "volume", "ls", "--quiet").split()) == 1
    await host.runtime.remove(container.id)
    assert podman_command(host.podman, "volume", "ls", "--quiet") == ""
