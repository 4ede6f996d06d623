"""`make demo`: a lab, a web service of three containers behind one virtual IP, shown working; the lab stays up."""

from __future__ import annotations

import collections
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from component.env import system_env
from lab import cluster
from lab.layout import Lab, LabProblem
from lab.preflight import check_machine

NAME = "demo"
MANIFEST = Path(__file__).parent.parent / "examples" / "web.yaml"
ROLLOUT_SECONDS = 60
ANSWER_SECONDS = 15.0
REQUESTS = 30


def main() -> None:
    """Check the machine, make the lab unless it is there, deploy, show, and say what to try next."""
    _preflight()
    try:
        lab = _lab()
        address = _deploy(lab)
        _show(address)
        _explain(lab, address)
    except LabProblem as problem:
        _say(f"demo: {problem}")
        sys.exit(1)


def _preflight() -> None:
    obstacles = [finding for finding in check_machine() if not finding.passed]
    for finding in obstacles:
        _say(f"demo: {finding.name}: {finding.detail} -> {finding.remedy}")
    if obstacles:
        sys.exit(1)


def _lab() -> Lab:
    if NAME in cluster.names():
        _say(f"the lab {NAME!r} is up already")
        return cluster.load(NAME)
    started = time.monotonic()  # noqa: TID251 - a stopwatch for the person who watches
    lab = cluster.up(NAME, 3, 3, system_env(), lambda line: _say(f"  {line}"))
    _say(f"three replicas and three nodes are ready after {time.monotonic() - started:.0f} s")  # noqa: TID251 - a lab runs in real time
    return lab


def _deploy(lab: Lab) -> str:
    _say(f"applying {MANIFEST.name}: a Deployment of three containers and a Service")
    _tim(lab, "apply", "-f", str(MANIFEST))
    _tim(lab, "rollout", "status", "deployment/web", f"--timeout={ROLLOUT_SECONDS}")
    _tim(lab, "get", "pods", "-l", "app=web", "-o", "wide")
    service = _tim(lab, "get", "service", "web", "-o", "yaml", show=False)
    line = next(line for line in service.splitlines() if line.strip().startswith("clusterIP:"))
    return line.split(":", 1)[1].strip()


def _show(address: str) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS  # noqa: TID251 - a lab runs in real time
    while not _ask(address):
        if time.monotonic() > deadline:  # noqa: TID251 - a lab runs in real time
            raise LabProblem(
                f"http://{address}/ does not answer: see `tim get events` and `tim lab status --name {NAME}`"
            )
    answers = collections.Counter(_ask(address) for _ in range(REQUESTS))
    _say(f"{REQUESTS} requests to http://{address}/, each on a new connection:")
    for answer, count in sorted(answers.items()):
        _say(f"  {count:3} x {answer or 'no answer'}")


def _ask(address: str) -> str:
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=2) as response:
            return str(response.read().decode().strip())
    except (urllib.error.URLError, OSError):
        return ""


def _explain(lab: Lab, address: str) -> None:
    binary = Path(sys.executable).parent / "tim"
    _say(f"""
The web service answers on this machine at   http://{address}/

  export PATH={binary.parent}:$PATH TIMCONFIG={lab.admin_conf}

Try next:
  while sleep 0.2; do curl -s -m 1 http://{address}/ || echo LOST; done     # in a second terminal
  tim status                                   # which replica leads?
  tim lab kill --name {NAME} r1                   # kill a replica (all of it), also the leading one
  tim lab kill --name {NAME} n2                   # pull the plug of a host; watch: tim get pods -o wide -w
  tim lab start --name {NAME} n2                  # and power it on again
  tim scale deployment/web --replicas 6
  tim apply -f examples/web-v2.yaml            # roll out a new version; tim rollout undo deployment/web
  tim logs deployment/web ; tim exec deployment/web -- hostname

Stop it:
  tim lab down --name {NAME}""")


def _tim(lab: Lab, *arguments: str, show: bool = True) -> str:
    command = [str(Path(sys.executable).parent / "tim"), *arguments]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TIMCONFIG": str(lab.admin_conf), "HOME": "/root"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise LabProblem(f"tim {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
    if show:
        for line in done.stdout.strip().splitlines():
            _say(f"  {line}")
    return done.stdout


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this program's output


if __name__ == "__main__":
    main()
