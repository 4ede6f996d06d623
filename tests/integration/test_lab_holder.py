import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import machine
from lab.layout import Host, LabProblem
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def holder(tmp_path, monkeypatch):
    monkeypatch.setattr("lab.layout.RUN_ROOT", tmp_path / "run")
    monkeypatch.setattr("lab.layout.STATE_ROOT", tmp_path / "state")
    host = Host("test", "h1", "node", 101, 0)
    host.run_dir.mkdir(parents=True)
    log_dir = host.state_dir / "log"
    log_dir.mkdir(parents=True)
    script = "trap 'echo got TERM; exit 0' TERM; echo started $$; while :; do sleep 0.05; done"
    spec = {
        "run_dir": str(host.run_dir),
        "log_dir": str(log_dir),
        "processes": [{"name": "p", "command": ["sh", "-c", script]}],
    }
    path = host.run_dir / "holder.json"
    path.write_text(json.dumps(spec))
    process = subprocess.Popen([sys.executable, "-m", "lab.holder", str(path)])
    try:
        yield host, process
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


def pid(host):
    return machine.ask(host, {"do": "status"}, missing_ok=True).get("processes", {}).get("p", {}).get("pid", 0)


def said(host):
    return (host.state_dir / "log" / "p.log").read_text()


async def test_a_program_that_is_killed_is_started_again(holder):
    host, _ = holder
    await eventually(lambda: pid(host))
    first = pid(host)
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: pid(host) not in {0, first})
    assert machine.ask(host, {"do": "status"})["processes"]["p"]["restarts"] == 1


async def test_a_stopped_program_stays_stopped_until_it_is_started(holder):
    host, _ = holder
    await eventually(lambda: pid(host))
    machine.ask(host, {"do": "stop", "process": "p"})
    await eventually(lambda: not pid(host))
    machine.ask(host, {"do": "start", "process": "p"})
    await eventually(lambda: pid(host))


async def test_starting_what_runs_leaves_it_alone(holder):
    host, _ = holder
    await eventually(lambda: pid(host))
    running = pid(host)
    await eventually(lambda: f"started {running}\n" in said(host))  # from then on it says that it is asked to end
    machine.ask(host, {"do": "start", "process": "p"})
    machine.ask(host, {"do": "stop", "process": "p"})
    await eventually(lambda: not pid(host))
    assert said(host).splitlines() == [f"started {running}", "got TERM"]


async def test_unknown_requests_are_answered_not_obeyed(holder):
    host, _ = holder
    await eventually(lambda: pid(host))
    with pytest.raises(LabProblem, match="no process 'q'; there are: p"):
        machine.ask(host, {"do": "stop", "process": "q"})
    with pytest.raises(LabProblem, match="unknown request 'dance'"):
        machine.ask(host, {"do": "dance"})


async def test_shutting_down_ends_the_programs_first(holder):
    host, process = holder
    await eventually(lambda: pid(host))
    running = pid(host)
    await eventually(lambda: f"started {running}\n" in said(host))
    machine.ask(host, {"do": "shutdown"})
    assert process.wait(DEADLINE_SECONDS) == 0
    assert not Path(f"/proc/{running}").exists()
    assert "got TERM" in said(host)


async def test_a_host_that_is_down_says_how_to_start_it():
    with pytest.raises(LabProblem, match="host h9 is down: start it with `tim lab start h9`"):
        machine.ask(Host("nothing-here", "h9", "node", 1, 0), {"do": "status"})


async def test_killing_never_touches_this_machines_own_processes():
    assert machine.processes([1, os.getpid()]) == set()
