"""The lab's faults against the kernel: hosts that are namespaces with a holder each, and nothing of the cluster."""

from __future__ import annotations

import select
import subprocess
import time
import uuid
from collections.abc import Iterator

import pytest

from agent.runtime import cgroups
from lab import disks, faults, freezing, machine, network, partitions
from lab.layout import Host, Lab, LabProblem
from lab.podman_remains import remove_cgroup
from tests.waiting import DEADLINE_SECONDS, wait_until

pytestmark = [pytest.mark.root, pytest.mark.slow]

SIZE_MEBIBYTES = 8
LOST_SECONDS = 1.0  # a datagram that has not arrived after so long was dropped


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Iterator[Lab]:
    """Three replicas' hosts on a switch, in slot 7; only some tests start programs on them."""
    monkeypatch.setattr("lab.layout.RUN_ROOT", tmp_path / "run")
    monkeypatch.setattr("lab.layout.STATE_ROOT", tmp_path / "state")
    made = Lab(f"t{uuid.uuid4().hex[:8]}", 7, 3, 0, egress=False)
    network.run(["ip", "netns", "add", made.switch])
    network.run(["ip", "-n", made.switch, "-batch", "-"], stdin="link add name br0 type bridge\nlink set br0 up\n")
    try:
        for host in made.hosts:
            network.plug_host(made, host)
        yield made
    finally:
        machine.kill_all(*(machine.holder_pid(host) for host in made.hosts))
        for host in made.hosts:
            disks.normal(host)
        for name in (made.switch, *(host.namespace for host in made.hosts)):
            network.run(["ip", "netns", "del", name], check=False)
        remove_cgroup(f"/timonier-lab-{made.name}")


def start(host: Host, script: str = "while :; do sleep 0.05; done", disk: str = "") -> None:
    """A holder with one program, and the host's own disk when it was made."""
    data = host.state_dir / "data"
    data.mkdir(parents=True, exist_ok=True)
    spec = {
        "run_dir": str(host.run_dir),
        "log_dir": str(host.state_dir / "log"),
        "processes": [{"name": "raft", "command": ["sh", "-c", script]}],
        "disks": {disk: str(data)} if disk else {},
    }
    machine.start(host, spec)
    wait_until(lambda: pid(host))


def pid(host: Host) -> int:
    return machine.ask(host, {"do": "status"})["processes"]["raft"]["pid"]


def heard(lab: Lab, source: str, target: str, seconds: float = DEADLINE_SECONDS) -> bool:
    """Whether a datagram from one host reaches another: neighbours are fixed, so that only this direction matters."""
    here, there = lab.host(source), lab.host(target)
    script = (
        "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        f"s.bind(('{there.address}', 7)); print('bound', flush=True); print(s.recv(9), flush=True)"
    )
    link = network.run(["ip", "-n", there.namespace, "-brief", "link", "show", "eth0"]).split()[2]
    run_in(here, "ip", "neigh", "replace", there.address, "lladdr", link, "dev", "eth0")
    with subprocess.Popen(
        ["ip", "netns", "exec", there.namespace, "python3", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as receiver:
        assert receiver.stdout.readline() == "bound\n"
        # Again and again: a card that was plugged in just now may lose the first ones.
        send = (
            "import socket, time; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"while True: s.sendto(b'x', ('{there.address}', 7)); print('sent', flush=True); time.sleep(0.1)"
        )
        with subprocess.Popen(
            ["ip", "netns", "exec", here.namespace, "python3", "-c", send], stdout=subprocess.PIPE, text=True
        ) as sender:
            said = sender.stdout.readline()
            arrived, _, _ = select.select([receiver.stdout], [], [], seconds)
            sender.kill()
            receiver.kill()
        assert said == "sent\n"
        return bool(arrived)


def run_in(host: Host, *command: str) -> None:
    subprocess.run(["ip", "netns", "exec", host.namespace, *command], check=True)


def test_a_partition_cuts_both_ways_and_only_between_the_named_hosts(lab: Lab):
    r1, r2, r3 = lab.hosts
    assert heard(lab, "r1", "r2")
    partitions.partition(lab, [r1], [r2, r3])
    assert not heard(lab, "r1", "r2", LOST_SECONDS)
    assert not heard(lab, "r3", "r1", LOST_SECONDS)
    assert heard(lab, "r2", "r3")
    partitions.heal(lab, [r3])
    assert heard(lab, "r3", "r1")
    assert not heard(lab, "r2", "r1", LOST_SECONDS)
    partitions.heal(lab, lab.hosts)
    assert heard(lab, "r2", "r1")


def test_a_one_way_partition_lets_the_other_direction_through(lab: Lab):
    r1, r2, _ = lab.hosts
    partitions.partition(lab, [r1], [r2], one_way=True)
    assert not heard(lab, "r1", "r2", LOST_SECONDS)
    assert heard(lab, "r2", "r1")
    assert faults.in_force(lab)[-1] == "nothing from r1 reaches r2"
    partitions.partition(lab, [r2], [r1], one_way=True)
    assert faults.in_force(lab)[-1] == "r1 and r2 are partitioned"


def test_a_frozen_host_stands_still_and_goes_on_when_thawed(lab: Lab):
    host = lab.host("r1")
    start(host, f"while :; do date +%N > {host.state_dir}/data/clock; done")
    wait_until((host.state_dir / "data" / "clock").exists)
    running = pid(host)
    freezing.freeze(host)
    assert machine.frozen(running)
    clock = (host.state_dir / "data" / "clock").read_text()
    assert "r1: frozen" in faults.in_force(lab)
    with pytest.raises(LabProblem, match="host r1 is frozen: thaw it with `tim lab thaw r1`"):
        machine.ask(host, {"do": "status"}, missing_ok=True)
    assert (host.state_dir / "data" / "clock").read_text() == clock
    freezing.thaw(host)
    wait_until(lambda: (host.state_dir / "data" / "clock").read_text() not in {clock, ""})
    assert pid(host) == running


def test_one_frozen_process_does_not_stop_its_host(lab: Lab):
    host = lab.host("r1")
    start(host)
    freezing.freeze(host, "raft")
    assert "r1: raft frozen" in faults.in_force(lab)
    with pytest.raises(LabProblem, match="host r1 runs no 'api'; it runs: raft"):
        freezing.freeze(host, "api")
    freezing.thaw(host, "raft")
    assert not [line for line in faults.in_force(lab) if line.startswith("r1")]


def test_a_frozen_host_can_be_killed_and_a_host_that_is_down_cannot_be_frozen(lab: Lab):
    host = lab.host("r1")
    start(host)
    freezing.freeze(host)
    machine.kill(host)
    for step in (freezing.freeze, freezing.thaw):
        with pytest.raises(LabProblem, match="host r1 is down: start it with `tim lab start r1`"):
            step(host)


def test_a_full_disk_refuses_every_byte_until_it_is_normal_again(lab: Lab):
    host = lab.host("r1")
    disks.make(host, SIZE_MEBIBYTES)
    start(host, disk=str(disks.image_of(host)))
    write = ["sh", "-c", f"head -c 100000 /dev/zero > {host.state_dir}/data/more"]
    assert not subprocess.run(machine.enter(host, write), check=False).returncode
    disks.full(host)
    assert "r1: disk full" in faults.in_force(lab)
    write[-1] = write[-1].replace("more", "other")
    assert subprocess.run(machine.enter(host, write), check=False, capture_output=True).returncode
    disks.normal(host)
    assert not subprocess.run(machine.enter(host, write), check=False).returncode
    assert not (host.state_dir / "data" / "more").exists(), "only the host sees its disk"


def test_a_disk_that_is_this_machines_own_is_never_filled(lab: Lab):
    host = lab.host("r1")
    start(host)
    with pytest.raises(LabProblem, match="no disk of its own to fill: make the lab with `tim lab up --disks`"):
        disks.full(host)


def test_a_slow_disk_makes_each_sync_wait_and_nothing_is_slow_afterwards(lab: Lab):
    host = lab.host("r1")
    disks.make(host, SIZE_MEBIBYTES)
    start(host, disk=str(disks.image_of(host)))
    try:
        disks.slow(host, 10)
    except LabProblem as problem:
        pytest.skip(str(problem))
    assert "r1: disk slow" in faults.in_force(lab)
    assert synced_seconds(host, 5) > 0.3
    disks.normal(host)
    assert synced_seconds(host, 1) < DEADLINE_SECONDS
    assert not [line for line in faults.in_force(lab) if line.startswith("r1")]


def synced_seconds(host: Host, count: int) -> float:
    """How long a process of the host needs for so many writes with fdatasync."""
    command = f"exec dd if=/dev/zero of={host.state_dir}/data/sync bs=512 count={count} oflag=dsync 2>/dev/null"
    began = time.monotonic()
    in_group = ["sh", "-c", f"{joined(host)}{command}"]
    subprocess.run(machine.enter(host, in_group), check=True)
    return time.monotonic() - began


def joined(host: Host) -> str:
    """What moves a shell into the slow cgroup, where children of the host's programs are by themselves."""
    groups = [disks.group_of(tree, host) for tree in cgroups.own_hierarchies()]
    return "".join(f"echo $$ > {group}/cgroup.procs; " for group in groups if group.is_dir())
