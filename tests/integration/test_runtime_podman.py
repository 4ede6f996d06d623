"""What only real containers can show: processes, kernels, files, and Podman being killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import threading
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from agent.runtime import cgroups
from agent.runtime.podman import PodmanRuntime
from agent.runtime.protocol import ContainerSpec, Mount, ResourceLimits, RuntimeFailure, Sandbox
from component.env import system_env
from lab.images import BUSYBOX, docker_archive, recipes
from lab.podman_remains import mounts_below, processes_of

pytest_plugins = ["tests.podman_fixture"]
pytestmark = [pytest.mark.podman, pytest.mark.root, pytest.mark.slow]

DEADLINE_SECONDS = 20


class Host:
    """A runtime, what a test made with it, and the service below."""

    def __init__(self, podman, folder):
        self.podman = podman
        self.folder = folder
        self.runtime = self.connect()
        self.pods = []
        self.exits = None

    def connect(self):
        return PodmanRuntime(self.podman.socket_path, self.podman.run_dir, self.podman.data_dir, system_env())

    async def reconnect(self):
        await self.runtime.close()
        self.runtime, self.exits = self.connect(), None

    async def spec(self, *command, **changes):
        uid = f"uid-{uuid.uuid4().hex[:12]}"
        self.pods.append(uid)
        sandbox = await self.runtime.make_sandbox(uid, "host-1", shm_bytes=1 << 20, host_network=False, host_ipc=False)
        spec = ContainerSpec(
            pod_uid=uid,
            pod_namespace="default",
            pod_name="web",
            name="main",
            attempt=0,
            spec_hash="hash-1",
            image=BUSYBOX,
            sandbox=sandbox,
            log_path=str(self.folder / uid / "0.log"),
            cgroup_parent=f"{self.podman.cgroup_root}/pod{uid}",
            command=command or ("sleep", "1000"),
        )
        return replace(spec, **changes)

    async def run(self, *command, **changes):
        created = await self.runtime.create(await self.spec(*command, **changes))
        return await self.runtime.start(created.id)

    async def next_exit(self, container_id):
        self.exits = self.exits or self.runtime.exits()
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for container in self.exits:
                if container.id == container_id:
                    return container
        raise AssertionError("exits ended")

    async def output(self, *command, **changes):
        """What a container prints until it ends."""
        container = await self.run(*command, **changes)
        await self.next_exit(container.id)
        return log_text(container.log_path)

    async def clean(self):
        for container in await self.runtime.list_containers():
            if container.pod_uid in self.pods:
                await self.runtime.remove(container.id)
        for uid in self.pods:
            await self.runtime.remove_sandbox(uid)
        await self.runtime.close()


def log_text(path):
    """The messages of a k8s-file log: "TIME STREAM TAG MESSAGE" per line."""
    return "".join(line.split(" ", 3)[3] + "\n" for line in Path(path).read_text().splitlines())


async def until(condition, what):
    """Wait until a condition holds, which is asked every few milliseconds."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


@pytest.fixture
async def host(podman, tmp_path):
    made = Host(podman, tmp_path)
    try:
        yield made
    finally:
        await made.clean()


@pytest.fixture
async def fresh_host(fresh_podman, tmp_path):
    made = Host(fresh_podman, tmp_path)
    try:
        yield made
    finally:
        await made.runtime.close()


# --- what a container sees


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
    text = await host.output("sh", "-c", "ip -o link | cut -d' ' -f2; ping -c1 -W1 127.0.0.1 > /dev/null && echo up")
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


# --- ends


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$; sleep 9", 143)])
async def test_exit_codes_are_the_commands(host, command, code):
    inner = f"sh -c '{command}'"  # the first process of a container ignores signals it does not handle
    container = await host.run("sh", "-c", inner if "kill" not in command else f"{inner}; exit $?")
    ended = await host.next_exit(container.id)
    assert (ended.exit_code, ended.oom_killed, ended.state) == (code, False, "exited")


async def test_a_container_that_ends_at_once_is_reported_once(host):
    container = await host.run("true")
    ended = await host.next_exit(container.id)
    assert ended.exit_code == 0
    assert ended.finished_time >= ended.started_time > 0
    other = await host.run("true")
    assert (await host.next_exit(other.id)).id == other.id


async def test_starting_a_container_again_after_its_end_does_not_run_it_again(host):
    container = await host.run("sh", "-c", "echo ran; exit 3")
    await host.next_exit(container.id)
    for _ in range(2):
        assert (await host.runtime.start(container.id)).exit_code == 3
        await host.reconnect()
    assert log_text(container.log_path) == "ran\n"


async def test_running_out_of_memory_is_told_apart_from_being_killed(host):
    grow = "a=x; while :; do a=$a$a$a$a; done"
    limits = ResourceLimits(memory_limit_bytes=16 << 20)
    container = await host.run("sh", "-c", grow, limits=limits)
    ended = await host.next_exit(container.id)
    assert (ended.exit_code, ended.oom_killed) == (137, True)
    killed = await host.run(limits=limits)
    await host.runtime.signal(killed.id, signal.SIGKILL)
    ended = await host.next_exit(killed.id)
    assert (ended.exit_code, ended.oom_killed) == (137, False)


async def test_a_restarted_agent_still_knows_that_memory_ran_out(host):
    grow = "a=x; while :; do a=$a$a$a$a; done"
    container = await host.run("sh", "-c", grow, limits=ResourceLimits(memory_limit_bytes=16 << 20))
    await host.next_exit(container.id)
    await host.reconnect()
    again = await host.next_exit(container.id)
    assert (again.state, again.exit_code, again.oom_killed) == ("exited", 137, True)
    assert (await host.runtime.list_containers())[0].id


async def test_an_end_while_no_agent_ran_is_reported_by_the_next_one(host):
    container = await host.run("sh", "-c", "while [ ! -e /stop ]; do sleep 0.02; done; exit 5")
    await host.runtime.close()
    Path(f"/proc/{container.pid}/root/stop").touch()
    await until(lambda: not Path(f"/proc/{container.pid}").exists(), "the container ends")
    host.runtime, host.exits = host.connect(), None
    ended = await host.next_exit(container.id)
    assert (ended.exit_code, ended.started_time) == (5, container.started_time)


async def test_an_adopted_container_is_watched_by_its_own_process(host):
    container = await host.run("sh", "-c", "trap 'exit 7' USR1; while :; do sleep 0.02; done")
    await host.reconnect()
    listed = [c for c in await host.runtime.list_containers() if c.id == container.id]
    assert listed == [container]
    await until_trapped(container.pid, signal.SIGUSR1)
    await host.runtime.signal(container.id, signal.SIGUSR1)
    assert (await host.next_exit(container.id)).exit_code == 7


async def until_trapped(pid, number):
    """Wait until a process catches a signal, as its status says."""

    def catches():
        text = Path(f"/proc/{pid}/status").read_text()
        return int(text.split("SigCgt:")[1].split()[0], 16) & (1 << (number - 1))

    await until(catches, "trap set")


async def test_many_ends_at_once_are_all_reported(host):
    containers = [await host.run() for _ in range(6)]
    await asyncio.gather(*(host.runtime.signal(container.id, signal.SIGKILL) for container in containers))
    waiting = {container.id for container in containers}
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for ended in host.runtime.exits():
            waiting.discard(ended.id)
            if not waiting:
                break


# --- exec


async def test_a_short_command_gives_its_exit_code_and_both_outputs(host):
    container = await host.run()
    result = await host.runtime.exec_sync(container.id, ["sh", "-c", "echo out; echo err >&2; exit 9"], 10)
    assert result.exit_code == 9
    assert sorted(result.output.split()) == [b"err", b"out"]


async def test_output_of_a_short_command_is_cut_at_16_kib_and_it_still_ends(host):
    container = await host.run()
    result = await host.runtime.exec_sync(container.id, ["sh", "-c", "yes | head -c 1000000; exit 4"], 10)
    assert (result.exit_code, len(result.output)) == (4, 16 << 10)


async def test_a_short_command_that_is_not_there_gives_127_and_says_so(host):
    container = await host.run()
    result = await host.runtime.exec_sync(container.id, ["no-such-command"], 10)
    assert result.exit_code == 127
    assert b"no-such-command" in result.output


async def test_a_short_command_that_may_not_be_run_gives_126(host):
    container = await host.run()
    assert (await host.runtime.exec_sync(container.id, ["/etc/passwd"], 10)).exit_code == 126


async def test_a_short_command_is_killed_with_its_children_at_the_time_out(host):
    container = await host.run()
    with pytest.raises(TimeoutError, match="did not end within"):
        await host.runtime.exec_sync(container.id, ["sh", "-c", "sleep 777 & sleep 777"], 0.3)
    await until(lambda: not sleeping(container, "777"), "all of it is gone")


async def test_a_short_command_is_killed_when_its_caller_is_cancelled(host):
    container = await host.run()
    task = asyncio.create_task(host.runtime.exec_sync(container.id, ["sleep", "778"], 60))
    await until(lambda: sleeping(container, "778"), "it runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not sleeping(container, "778"), "it is gone")


async def test_a_child_that_keeps_the_output_open_does_not_hold_up_a_short_command(host):
    container = await host.run()
    async with asyncio.timeout(5):
        result = await host.runtime.exec_sync(container.id, ["sh", "-c", "sleep 600 & echo done"], 4)
    assert (result.exit_code, result.output) == (0, b"done\n")


def sleeping(container, seconds):
    """Whether a `sleep SECONDS` runs in the container's pid namespace."""
    space = Path(f"/proc/{container.pid}/ns/pid").readlink()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[:2] == [b"sleep", seconds.encode()] and (entry / "ns" / "pid").readlink() == space:
                    return True
            except OSError:
                continue
    return False


async def test_short_commands_leave_no_files(host):
    container = await host.run()
    await host.runtime.exec_sync(container.id, ["true"], 10)
    assert list(Path(host.podman.run_dir, "exec").iterdir()) == []


async def test_short_commands_go_through_podman_when_the_oci_runtimes_state_is_out_of_sight(host, monkeypatch):
    monkeypatch.setattr("agent.runtime.oci.OciRuntime.knows", lambda self, container_id: False)
    container = await host.run()
    result = await host.runtime.exec_sync(container.id, ["sh", "-c", "echo out; exit 9"], 10)
    assert (result.exit_code, result.output) == (9, b"out\n")
    with pytest.raises(TimeoutError):
        await host.runtime.exec_sync(container.id, ["sleep", "779"], 0.5)
    await until(lambda: not sleeping(container, "779"), "it is gone")


async def read_all(stream):
    pieces = {"stdout": b"", "stderr": b""}
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (piece := await stream.read()) is not None:
            pieces[piece[0]] += piece[1]
    return pieces


async def test_a_users_command_has_separate_streams_and_an_exit_code(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(
        container.id, ["sh", "-c", "echo out; echo err >&2; exit 3"], stdin=False, tty=False
    )
    assert await read_all(stream) == {"stdout": b"out\n", "stderr": b"err\n"}
    assert await stream.exit_code() == 3
    await stream.close()


async def test_a_users_command_sees_the_end_of_its_input_while_output_goes_on(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(container.id, ["sh", "-c", "wc -c; echo after"], stdin=True, tty=False)
    await stream.write(b"x" * 100_000)
    await stream.close_stdin()
    assert (await read_all(stream))["stdout"].split() == [b"100000", b"after"]
    assert await stream.exit_code() == 0
    await stream.close()


async def test_large_output_of_a_users_command_arrives_whole(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(container.id, ["sh", "-c", "yes | head -c 3000000"], stdin=False, tty=False)
    assert (await read_all(stream))["stdout"] == b"y\n" * 1_500_000
    await stream.close()


async def test_a_terminal_has_the_size_it_was_given(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(container.id, ["sh"], stdin=True, tty=True)
    await stream.resize(120, 40)
    await stream.write(b"stty size; exit 6\n")
    assert b"40 120" in (await read_all(stream))["stdout"]
    assert await stream.exit_code() == 6
    await stream.close()


async def test_closing_a_stream_kills_the_command(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(container.id, ["sleep", "780"], stdin=False, tty=False)
    await until(lambda: sleeping(container, "780"), "it runs")
    await stream.close()
    await until(lambda: not sleeping(container, "780"), "it is gone")


async def test_a_users_command_that_is_not_there_ends_with_127_and_a_message(host):
    container = await host.run()
    stream = await host.runtime.exec_stream(container.id, ["no-such-command"], stdin=False, tty=False)
    assert b"no-such-command" in (await read_all(stream))["stderr"]
    assert await stream.exit_code() == 127
    await stream.close()


# --- logs


async def test_a_renamed_log_goes_on_in_a_new_file_without_losing_a_line(host):
    container = await host.run("sh", "-c", "i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); usleep 500; done")
    path = Path(container.log_path)
    await until(lambda: path.stat().st_size > 0, "it logs")
    for turn in range(3):
        path.rename(f"{path}.{turn}")
        await host.runtime.reopen_log(container.id)
        await until(path.exists, "a new log")
    await host.next_exit(container.id)
    text = "".join(log_text(file) for file in (*(f"{path}.{turn}" for turn in range(3)), path))
    assert [int(line) for line in text.split()] == list(range(400))


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


# --- sandboxes


async def test_a_pin_that_lost_its_namespace_is_not_valid_and_made_again(host):
    uid = f"uid-{uuid.uuid4().hex[:12]}"
    host.pods.append(uid)
    arguments = {"shm_bytes": 1 << 20, "host_network": False, "host_ipc": False}
    sandbox = await host.runtime.make_sandbox(uid, "h", **arguments)
    before = Path(sandbox.netns_path).stat().st_ino
    subprocess.run(["umount", sandbox.netns_path], check=True)
    assert await host.runtime.make_sandbox(uid, "h", **arguments) == sandbox
    assert Path(sandbox.netns_path).stat().st_ino != before
    assert len(mounts_below(Path(sandbox.netns_path).parent)) == 4


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


# --- nothing left


async def test_nothing_is_left_of_a_pod(host):
    await host.spec()  # makes the folders that are there for all pods
    await host.clean()
    host.runtime = host.connect()
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


def podman_command(podman, *words):
    """Run the podman program on the service's storage."""
    flags = podman.host.command()
    command = [*podman.enter_command(), *flags[: flags.index("system")], *words]
    environment = {**os.environ, **podman.host.environment()}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


# --- Podman being killed


async def test_without_podman_every_call_fails_as_temporary_with_the_remedy_in_version(fresh_host):
    fresh_host.podman.kill_service()
    with pytest.raises(RuntimeFailure) as failure:
        await fresh_host.runtime.list_containers()
    assert failure.value.temporary
    assert failure.value.reason == "RuntimeUnavailable"
    with pytest.raises(RuntimeFailure, match="remedy: "):
        await fresh_host.runtime.version()


async def test_containers_and_their_ends_outlive_a_killed_podman(fresh_host):
    container = await fresh_host.run("sh", "-c", "while [ ! -e /stop ]; do sleep 0.02; done; exit 6")
    fresh_host.podman.kill_service()
    Path(f"/proc/{container.pid}/root/stop").touch()
    ended = await fresh_host.next_exit(container.id)
    assert ended.exit_code == 6
    fresh_host.podman.start()
    assert [c.exit_code for c in await fresh_host.runtime.list_containers()] == [6]


async def test_a_kept_connection_to_a_killed_podman_is_replaced(fresh_host):
    assert await fresh_host.runtime.list_containers() == []
    fresh_host.podman.kill_service()
    fresh_host.podman.start()
    assert await fresh_host.runtime.list_containers() == []
    assert (await fresh_host.run()).state == "running"


async def create_and_kill_podman(host, spec, delay_seconds):
    """Let the service be killed so long after a create began; it is warm, so that the moment means something."""
    warm = await host.runtime.create(replace(spec, name="warm"))
    await host.runtime.remove(warm.id)
    creating = asyncio.create_task(host.runtime.create(spec))
    await asyncio.sleep(delay_seconds)
    await asyncio.to_thread(host.podman.kill_service)
    await asyncio.gather(creating, return_exceptions=True)
    await asyncio.to_thread(host.podman.start)


CRASH_SECONDS = [0.002 * step for step in range(1, 13)]  # a create takes 10-20 ms


async def test_a_create_during_which_podman_is_killed_succeeds_when_repeated(fresh_host):
    spec = await fresh_host.spec()
    for turn, delay_seconds in enumerate(CRASH_SECONDS):
        attempt = replace(spec, attempt=turn)
        await create_and_kill_podman(fresh_host, attempt, delay_seconds)
        container = await fresh_host.runtime.create(attempt)
        assert (await fresh_host.runtime.start(container.id)).state == "running"
    assert len(await fresh_host.runtime.list_containers()) == len(CRASH_SECONDS)


async def test_half_a_container_that_is_never_created_again_goes_with_its_pod(fresh_host):
    for delay_seconds in CRASH_SECONDS:
        spec = await fresh_host.spec()
        await create_and_kill_podman(fresh_host, spec, delay_seconds)
        for container in await fresh_host.runtime.list_containers():
            await fresh_host.runtime.remove(container.id)
        await fresh_host.runtime.remove_sandbox(spec.pod_uid)
    assert podman_command(fresh_host.podman, "ps", "--all", "--external", "--quiet") == ""


async def test_a_stopped_private_podman_leaves_nothing_behind(fresh_podman, tmp_path):
    host = Host(fresh_podman, tmp_path)
    await host.run("sh", "-c", "sleep 701 & exec sleep 701")
    await host.runtime.close()
    assert processes_of(fresh_podman.root)
    fresh_podman.stop()
    assert processes_of(fresh_podman.root) == []
    assert mounts_below(fresh_podman.root) == []
    assert not fresh_podman.root.exists()
    assert not cgroups.exists(fresh_podman.cgroup_root, cgroups.own_hierarchies())
    fresh_podman.stop()
