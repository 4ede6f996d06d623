"""A machine with systemd: installed, made a cluster of one, a node with pods, restarted service by service, and made a stranger again."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

from lab.images import docker_archive, recipes
from tests.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
SYSTEMD = Path("/lib/systemd/systemd")
CGROUPS = Path("/sys/fs/cgroup")
ADMIN = "TIMCONFIG=/etc/timonier/admin.conf"
BUSYBOX = shutil.which("busybox")
BOOT_SECONDS = 600.0  # with all that the installer fetches

SKIPPED = {
    "check the network": "the package index cannot be reached",
    "no overlay over / can be made here": "the root's file system cannot be the lower one of an overlay",
}
"""What the script says where the test cannot run, and what that means."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not SYSTEMD.exists(), reason="systemd is not installed here"),
]


class Machine:
    """Runs systemd_machine.sh. `run` runs a command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"timonier-machine-{uuid.uuid4().hex[:6]}"
        self.log = folder / "log"
        script = str(Path(__file__).with_name("systemd_machine.sh"))
        command = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            script,
            str(folder),
            str(CHECKOUT),
            self.name,
        ]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def wait_until_up(self) -> None:
        wait_until(self._up, BOOT_SECONDS, self.log.read_text)

    def _up(self) -> bool:
        if self._process.poll() is not None:
            said = self.log.read_text()
            for words, reason in SKIPPED.items():
                if words in said:
                    pytest.skip(reason)
            pytest.fail(said)
        done = self.run("systemctl", "is-system-running", check=False)
        return done.stdout.strip() in {"running", "degraded"}

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        init = self._init()
        if not init:
            return subprocess.CompletedProcess(command, 1, "", "not booted")
        words = ["nsenter", "--target", init, "--all", "env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        done = subprocess.run(
            [*words, ADMIN, *command],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def _init(self) -> str:
        """The pid of the machine's first process, "" before it booted."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        with contextlib.suppress(OSError):  # what installs comes and goes
            for pid in children.read_text().split():
                if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    return pid
        return ""

    def out(self, *command: str) -> str:
        return self.run(*command).stdout.strip()

    def stop(self) -> None:
        self._process.kill()  # and with it its pid namespace
        self._process.wait()
        for top in [CGROUPS, *(each for each in CGROUPS.iterdir() if each.is_dir())]:
            place = top / self.name
            for group in sorted((place, *place.rglob("*/")), reverse=True):
                with contextlib.suppress(FileNotFoundError):
                    wait_until(lambda group=group: _removed(group), explain=lambda group=group: f"{group} is busy")


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return True


@pytest.fixture(scope="module")
def machine():
    with tempfile.TemporaryDirectory(prefix="timonier-machine-", dir="/var/tmp") as folder:
        machine = Machine(Path(folder))
        try:
            machine.wait_until_up()
            yield machine
        finally:
            machine.stop()


@pytest.fixture(scope="module")
def node(machine):
    """The machine as the only replica and the only node of a cluster, as docs/operations.md says."""
    machine.run("tim", "init", "--replica", "r1=10.99.0.1")
    machine.run("systemctl", "enable", "--now", "timonier-raft", "timonier-api")
    join = machine.out("tim", "token", "create", "--name", "n1").split()
    machine.run(*join)
    machine.run("systemctl", "enable", "--now", "timonier-podman", "timonier-agent")
    machine.run("tim", "wait", "node/n1", "--for=create", "--timeout", "120s")
    machine.run("tim", "wait", "node/n1", "--for=condition=Ready", "--timeout", "120s")
    return machine


def load_images(machine):
    """As an administrator would, into the Podman that runs pods."""
    unit = machine.out("systemctl", "show", "--property=ExecStart", "--value", "timonier-podman")
    podman = unit.partition("argv[]=")[2].partition(" system service")[0].split()
    archive = machine.folder / "lib" / "images.tar"
    archive.write_bytes(docker_archive(recipes(Path(BUSYBOX))))
    machine.run(
        "env",
        "CONTAINERS_CONF=/run/timonier/podman/containers.conf",
        *podman,
        "load",
        "--quiet",
        "--input",
        "/var/lib/images.tar",
    )


def starts(machine):
    pods = json.loads(machine.out("tim", "get", "pods", "-l", "app=web", "-o", "json"))["items"]
    return {
        pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["state"].get("running", {}).get("startedAt")
        for pod in pods
    }


def test_the_installer_puts_the_program_where_it_says_and_starts_nothing(machine):
    assert machine.out("readlink", "/usr/local/bin/tim") == "/opt/timonier/venv/bin/tim"
    assert machine.out("tim", "--version").startswith("tim, version ")
    units = machine.out("systemctl", "list-unit-files", "--no-legend", "--plain", "timonier-*").splitlines()
    assert {line.split()[0]: line.split()[1] for line in units} == {
        f"timonier-{each}.service": "disabled" for each in ("agent", "api", "podman", "raft")
    }


@pytest.mark.skipif(BUSYBOX is None, reason="needs busybox")
def test_a_machine_becomes_a_cluster_and_its_pods_outlive_restarts_of_every_service(node):
    load_images(node)
    node.run("tim", "apply", "-f", "/mnt/examples/web.yaml")
    node.run("tim", "rollout", "status", "deploy/web", "--timeout", "120s")
    address = json.loads(node.out("tim", "get", "svc", "web", "-o", "json"))["spec"]["clusterIP"]
    assert node.out("curl", "-sS", "--max-time", "30", f"http://{address}/")
    before = starts(node)
    node.run("systemctl", "restart", "timonier-podman", "timonier-agent", "timonier-raft", "timonier-api")
    wait_until(lambda: node.run("tim", "get", "nodes", check=False).returncode == 0, explain=lambda: "no API")
    node.run("tim", "wait", "node/n1", "--for=condition=Ready", "--timeout", "120s")
    node.run("tim", "rollout", "status", "deploy/web", "--timeout", "120s")
    assert starts(node) == before
    assert node.out("curl", "-sS", "--max-time", "30", f"http://{address}/")


def test_reset_says_what_it_would_remove_and_then_leaves_nothing(node):
    assert "would stop and disable timonier-agent.service" in node.run("tim", "reset", check=False).stdout
    assert node.out("systemctl", "is-active", "timonier-agent", "timonier-raft") == "active\nactive"
    node.run("tim", "reset", "--yes")
    assert node.out("sh", "-c", "ls -d /var/lib/timonier /run/timonier /etc/timonier 2>/dev/null || true") == ""
    assert [line.split()[0].partition("@")[0] for line in node.out("ip", "-br", "link").splitlines()] == [
        "lo",
        "switch",
        "eth0",
    ]
    assert node.out("nft", "list", "ruleset") == ""
    assert "proto 84" not in node.out("ip", "route")
    assert node.out("awk", "$5 ~ /timonier/", "/proc/self/mountinfo") == ""
    assert node.out("find", "/sys/fs/cgroup", "-name", "timonier", "-type", "d") == ""
    left = node.out("ps", "-eo", "args", "--no-headers").splitlines()
    assert not [line for line in left if any(word in line for word in ("conmon", "podman", "tim-", "httpd"))]
    enabled = node.run(
        "systemctl", "is-enabled", "timonier-agent", "timonier-podman", "timonier-api", "timonier-raft", check=False
    )
    assert set(enabled.stdout.split()) == {"disabled"}
    assert node.out("tim", "reset", "--yes") == "nothing to reset: no configuration in /etc/timonier"
