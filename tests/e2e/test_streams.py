"""What streams into pods go through dies: the client is told in one line, nothing is left, and what goes another way goes on."""

from __future__ import annotations

import select
import socket
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster import TIM, Done, Space, eventually
from tests.e2e.test_pods import FOREVER, pod
from tests.waiting import DEADLINE_SECONDS

QUIET_SECONDS = "86399"
"""Of the command that every exec runs: it says nothing by itself, and can be found by this."""


@pytest.fixture
def quiet(space: Space):
    """A namespace with a pod that listens at 80 and seldom says something."""
    space.cluster.wait_healthy()
    space.apply(pod("quiet", "echo ready; exec /usr/bin/web", image="localhost/web:1"))
    space.wait_ready("quiet")
    yield space
    space.cluster.wait_healthy()


def holder(space: Space) -> str:
    """The replica that holds the session of the pod's node."""
    node = space.cluster.get("nodes", "", space.pod("quiet")["spec"]["nodeName"])
    return node["metadata"]["annotations"]["timonier.dev/session"].partition("/")[0]


def other_replica(space: Space, *taken: str) -> str:
    return next(each for each in ("r1", "r2", "r3") if each not in taken)


def lead_elsewhere(space: Space, replica: str) -> str:
    """The leader's name, after another replica than this one has begun to lead."""
    cluster = space.cluster
    if eventually("a replica leads", cluster.leader) == replica:
        cluster.tim("replica", "transfer", "--to", other_replica(space, replica))
    return eventually("another leads", lambda: (found := cluster.leader()) != replica and found)


class Streaming:
    """Programs of `tim` that know one replica only, in the middle of their streams."""

    def __init__(self, space: Space, replica: str, folder) -> None:
        self._space = space
        tree = yaml.safe_load(space.cluster.lab.admin_conf.read_text())
        address = space.cluster.lab.host(replica).address
        tree["clusters"][0]["cluster"]["server"] = f"https://{address}:6443"
        tree["clusters"][0]["cluster"]["extensions"][0]["extension"]["endpoints"] = [f"{address}:7443"]
        self._config = folder / f"{replica}.conf"
        self._config.write_text(yaml.safe_dump(tree))
        self._stack = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_raised):
        self._stack.close()

    def begin(self, verb: str, *words: str) -> subprocess.Popen[str]:
        command = [TIM, "--config", str(self._config), verb, "-n", self._space.name, *words]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        program = self._stack.enter_context(subprocess.Popen(command, text=True, **pipes))
        self._stack.callback(program.kill)
        return program

    def forward(self) -> tuple[subprocess.Popen[str], socket.socket]:
        """A forwarded port, and a connection over it that has been used."""
        program = self.begin("port-forward", "pod/quiet", ":80", "--address=127.0.0.1")
        port = int(program.stdout.readline().split(" ->")[0].rpartition(":")[2])
        connection = self._stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        assert program.stdout.readline().startswith("Handling connection")
        return program, connection


@contextmanager
def all_streams(space: Space, replica: str, folder):
    """Exec, a followed log and attach, each with something said; and a forwarded connection."""
    with Streaming(space, replica, folder) as streaming:
        programs = {
            "exec": streaming.begin("exec", "-i", "quiet", "--", "sh", "-c", f"echo ready; exec sleep {QUIET_SECONDS}"),
            "logs": streaming.begin("logs", "-f", "quiet"),
            "attach": streaming.begin("attach", "quiet"),
        }
        _, connection = streaming.forward()
        for name in ("exec", "logs"):
            assert programs[name].stdout.readline() == "ready\n", name
        eventually("the command runs", lambda: sleeps(space))
        eventually("attach has begun", lambda: attached(space, programs["attach"]))
        yield programs, connection


def attached(space: Space, program: subprocess.Popen[str]) -> bool:
    """Whether it shows what the pod says: only then it is sure to end with its stream, not to begin another one later."""
    space.exec("quiet", "sh", "-c", "echo more > /proc/1/fd/1", check=False)
    return bool(select.select([program.stdout], [], [], 1.0)[0])


def sleeps(space: Space) -> int:
    """How many of our commands run in the pod's node."""
    found = space.cluster.in_host(
        space.pod("quiet")["spec"]["nodeName"], "pgrep", "-f", f"^sleep {QUIET_SECONDS}", check=False
    )
    uid = space.pod("quiet")["metadata"]["uid"]
    return sum(uid in cgroup_of(pid) for pid in found.out.split())


def cgroup_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""


def said(program: subprocess.Popen[str], line: str) -> str:
    """What the program answers to a line; how it ended when it does not."""
    with suppress(BrokenPipeError):
        program.stdin.write(line)
        program.stdin.flush()
        if answer := program.stdout.readline():
            return answer
    return f"exit code {program.wait(DEADLINE_SECONDS)}: {program.stderr.read()}"


def assert_told(programs, connection) -> None:
    """Every program ends with one clear line, the connection ends, in time."""
    for name, program in programs.items():
        out, err = program.communicate(timeout=DEADLINE_SECONDS)
        done = Done(program.returncode, out, err)
        assert done.code == 1, (name, done)
        assert "Unavailable: " in done.error_line, (name, done)
        assert " was lost" in done.error_line, (name, done)
    connection.settimeout(DEADLINE_SECONDS)
    with connection, suppress(ConnectionResetError):
        assert connection.recv(1 << 16) == b""


def test_every_stream_ends_with_its_agent_and_so_does_the_command(quiet, tmp_path):
    host = quiet.pod("quiet")["spec"]["nodeName"]
    with all_streams(quiet, other_replica(quiet, holder(quiet)), tmp_path) as (programs, connection):
        killed = quiet.cluster.kill(host, "agent")
        assert_told(programs, connection)
    quiet.cluster.wait_restarted([(host, "agent", killed)])
    eventually("the command was ended", lambda: not sleeps(quiet))
    read = partial(quiet.tim, "logs", "quiet", check=False)
    eventually("logs can be read", lambda: read().out.startswith("ready\n"), explain=read)


@pytest.mark.parametrize("dying", ["relaying", "holding"])
def test_every_stream_ends_with_a_replica_that_it_goes_through(quiet, tmp_path, dying):
    holding = holder(quiet)
    relaying = other_replica(quiet, holding)
    victim = relaying if dying == "relaying" else holding
    with all_streams(quiet, relaying, tmp_path) as (programs, connection):
        killed = quiet.cluster.kill(victim, "api")
        assert_told(programs, connection)
    eventually("the command was ended", lambda: not sleeps(quiet))
    quiet.cluster.wait_restarted([(victim, "api", killed)])


def test_streams_that_do_not_go_through_the_leader_survive_its_death(quiet, tmp_path):
    holding = holder(quiet)
    leader = lead_elsewhere(quiet, holding)
    with Streaming(quiet, other_replica(quiet, holding, leader), tmp_path) as streaming:
        program = streaming.begin(
            "exec", "-i", "quiet", "--", "sh", "-c", "while read line; do echo got $line; done; exit 3"
        )
        for number in range(3):
            assert said(program, f"{number}\n") == f"got {number}\n"
            if number == 0:
                killed = [(leader, process, quiet.cluster.kill(leader, process)) for process in ("api", "raft")]
                quiet.cluster.wait_restarted(killed)
        out, err = program.communicate(timeout=DEADLINE_SECONDS)
    assert (program.returncode, out, err) == (3, "", "")


def test_a_pod_can_be_deleted_while_the_reader_of_a_command_pauses(quiet, tmp_path):
    quiet.apply(pod("loud", FOREVER))
    quiet.wait_ready("loud")
    with Streaming(quiet, "r1", tmp_path) as streaming:
        program = streaming.begin(
            "exec", "loud", "--", "sh", "-c", "while true; do echo 0123456789012345678901234567890123456789; done"
        )
        assert program.stdout.readline(), program.communicate(timeout=DEADLINE_SECONDS)
        quiet.tim("delete", "pod", "loud")
        eventually("it is gone", lambda: not quiet.cluster.exists("pods", quiet.name, "loud"))
        program.communicate(timeout=DEADLINE_SECONDS)
    assert program.returncode
