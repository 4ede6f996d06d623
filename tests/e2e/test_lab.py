"""Labs beside each other, and what they leave behind: nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab import cluster as labs
from lab import machine
from tests.e2e.cluster import EXAMPLES, TIM, Cluster, Space, run

UP_SECONDS = 120.0


def traces(name: str) -> dict[str, list[str]]:
    """Everything on this machine that belongs to a lab of this name, by kind."""
    marks = (f"timlab-{name}-", f"timonier-lab/{name}/", f"/{name}/")
    made = labs.Lab(name, 0, 1, 1)

    def lines(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    def ours(found: list[str]) -> list[str]:
        return [line for line in found if any(mark in line for mark in marks)]

    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            except OSError:
                continue
            processes.append(f"{entry.name} {words}")
    folders = [
        str(path)
        for root in (labs.STATE_ROOT, labs.RUN_ROOT)
        for path in (root / name, *root.glob(f"{name}.*"))
        if path.exists()
    ]
    return {
        "namespaces": ours(lines("ip", "netns", "list")),
        "links": [line for line in lines("ip", "-o", "link") if f"{made.uplink}@" in line or f"{made.uplink}:" in line],
        "routes": [line for line in lines("ip", "route") if made.uplink in line],
        "mounts": ours(Path("/proc/self/mountinfo").read_text().splitlines()),
        "tables": [line for line in lines("nft", "list", "tables") if made.table in line],
        "processes": ours(processes),
        "files": folders,
    }


def machine_wide() -> dict[str, object]:
    """What a lab must not change on the machine."""
    settings = ("net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter")
    cgroups = [
        str(path)
        for controller in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*"))
        for path in controller.glob("*timonier*")
    ]
    return {
        "sysctl": {name: Path("/proc/sys", name).read_text() for name in settings},
        "crun": sorted(path.name for path in Path("/run/crun").glob("*")) if Path("/run/crun").is_dir() else [],
        "cgroups": sorted(cgroups),
    }


def pod_cgroups(uids: list[str]) -> list[str]:
    """Cgroups of pods, in any hierarchy."""
    found = []
    for folder, folders, _files in os.walk("/sys/fs/cgroup"):
        found += [f"{folder}/{each}" for each in folders if any(uid in each for uid in uids)]
    return found


def test_a_second_lab_runs_beside_and_leaves_nothing(cluster: Cluster):
    name = f"e2e2-{os.getpid()}"
    assert not any(traces(name).values())
    try:
        made = run(
            [TIM, "lab", "up", "--name", name, "--replicas", "1", "--nodes", "1", "--no-egress"], seconds=UP_SECONDS
        )
        assert made.code == 0, made.err + made.out
        second = Cluster(labs.load(name))
        try:
            space = Space(second, "default")
            space.apply((EXAMPLES / "web.yaml").read_text())
            pods = space.wait_pods("app=web", 3)
            space.wait_answers("", "web", answers=3)
            assert not cluster.exists("deployments.apps", "default", "web"), "two labs are two clusters"
            assert second.lab.ranges != cluster.lab.ranges
            present = traces(name)
            assert all(present[kind] for kind in ("namespaces", "links", "routes", "mounts", "processes", "files"))
            uids = [pod["metadata"]["uid"] for pod in pods]
            assert pod_cgroups(uids)
            assert run([TIM, "lab", "up", "--name", name]).code == 1, "it is there already"
        finally:
            second.close()
    finally:
        done = run([TIM, "lab", "down", "--name", name], seconds=UP_SECONDS)
    assert done.code == 0, done.err
    left = {kind: found for kind, found in traces(name).items() if found}
    assert not left
    assert not pod_cgroups(uids)
    assert not [each for each in machine_wide()["crun"] if "timonier" in each]
    assert len(cluster.ready_nodes()) == cluster.lab.nodes, "the other lab did not notice"
    assert run([TIM, "lab", "down", "--name", name]).code == 0, "may be repeated"


def test_a_lab_that_was_killed_half_way_is_removed_whole(cluster: Cluster):
    name = f"e2e3-{os.getpid()}"
    before = machine_wide()["sysctl"]
    starting = subprocess.Popen(
        [TIM, "lab", "up", "--name", name, "--replicas", "1", "--nodes", "1"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in starting.stdout:
            if line.startswith("joining"):
                break
    finally:
        starting.kill()
        starting.wait()
        starting.stdout.close()
        done = run([TIM, "lab", "down", "--name", name], seconds=UP_SECONDS)
    assert done.code == 0, done.err
    assert not {kind: found for kind, found in traces(name).items() if found}
    assert machine_wide()["sysctl"] == before


def test_commands_on_hosts(cluster: Cluster):
    shown = cluster.tim("lab", "status", "--name", cluster.lab.name).out
    assert all(host.name in shown for host in cluster.lab.hosts)
    assert cluster.tim("lab", "exec", "--name", cluster.lab.name, "n1", "--", "hostname", "-I", check=False).out
    failed = cluster.tim("lab", "kill", "--name", cluster.lab.name, "n9", check=False)
    assert failed.code == 1
    assert "n9" in failed.error_line
    failed = cluster.tim("lab", "exec", "--name", "absent", "n1", "--", "true", check=False)
    assert failed.code == 1
    assert "no lab named" in failed.error_line
    assert machine.holder_pid(cluster.lab.host("n1"))


def test_faults_are_shown_until_they_are_healed(cluster: Cluster):
    name = ["--name", cluster.lab.name]
    try:
        cluster.tim("lab", "partition", *name, "n1", "n2", "--one-way")
        cluster.tim("lab", "freeze", *name, "n3", "--process", "agent")
        cluster.tim("lab", "freeze", *name, "n1")
        shown = cluster.tim("lab", "status", *name).out.splitlines()
        for fault in ("nothing from n1 reaches n2", "n3: agent frozen", "n1: frozen"):
            assert f"fault: {fault}" in shown
        for words, complaint in (
            (("disk", *name, "r1", "full"), "make the lab with `tim lab up --disks`"),
            (("exec", *name, "n9", "--", "true"), "n9"),
            (("partition", *name, "r1", "r2,r1"), "host r1 stands on both sides"),
            (("kill", *name, "n1", "--process", "agent"), "host n1 is frozen: thaw it with `tim lab thaw n1`"),
        ):
            failed = cluster.tim("lab", *words, check=False)
            assert failed.code == 1
            assert complaint in failed.error_line
    finally:
        healed = cluster.tim("lab", "heal", *name, "--all").out
    assert healed == "healed\n"
    assert "fault:" not in cluster.tim("lab", "status", *name).out
    cluster.wait_healthy()
