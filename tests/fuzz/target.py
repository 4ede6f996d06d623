"""A lab of three real replicas to be fuzzed: who to ask, how its processes do, and whether the replicas agree at the end."""

from __future__ import annotations

import asyncio
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from api.scheme import KINDS
from component import kubeconfig
from component.env import system_env
from component.rpc import API_SERVER_NAME, Tls
from lab import cluster as labs
from lab import machine
from lab.layout import Lab
from tests import crontabs
from tests.chaos.verdict import complaints
from tests.fuzz.findings import Findings, tell
from tests.waiting import wait_until

HTTPS_PORT = 6443
GRPC_PORT = 7443
PROBE_PAUSE_SECONDS = 1.0
GROWTH_BYTES = (
    200 << 20
)  # of one process above what it held after a minute: watch rings and heaps have their bounds below
SETTLED_SECONDS = 60.0
AGREEMENT_SECONDS = 60.0
BLOCKED_SECONDS = 5.0  # a probe that waits longer found a loop that was held: the machine itself is shared
BUSY_PART = 0.02


class _Adapter(HTTPAdapter):
    """Expects the name of the API server, whatever the address."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, assert_hostname=API_SERVER_NAME, server_hostname=API_SERVER_NAME, **kwargs)


@dataclass
class Probes:
    """What a client that behaves well saw meanwhile."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Figures for people."""
        if len(self.seconds) < 2:
            return "no probes"
        p99 = statistics.quantiles(self.seconds, n=100)[98]
        return (
            f"{len(self.seconds)} probes, p50 {statistics.median(self.seconds) * 1000:.0f} ms, "
            f"p99 {p99 * 1000:.0f} ms, longest {max(self.seconds) * 1000:.0f} ms, {len(self.failures)} failed"
        )


class Target:
    """One lab and its administrator's credentials, as files."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        found = kubeconfig.resolve(kubeconfig.read(lab.admin_conf), lab.admin_conf)
        self.tls = Tls(found.ca_pem, found.cert_pem, found.key_pem)
        folder.mkdir(parents=True, exist_ok=True)
        self._files = {name: folder / name for name in ("ca.crt", "client.crt", "client.key")}
        for path, data in zip(self._files.values(), (found.ca_pem, found.cert_pem, found.key_pem), strict=True):
            path.write_bytes(data)
        self.hosts = [host for host in lab.hosts if host.role == "replica"]
        self.urls = [f"https://{host.address}:{HTTPS_PORT}" for host in self.hosts]
        self.addresses = [f"{host.address}:{GRPC_PORT}" for host in self.hosts]
        self.probes = Probes()
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._first = self.processes()
        self._settled: dict[int, int] = {}
        self._read: dict[Path, int] = {}
        self.helpers: list[int] = []  # processes of the one who asks, whose time counts as its own

    def session(self) -> requests.Session:
        """The administrator over HTTPS."""
        made = requests.Session()
        made.mount("https://", _Adapter())
        made.verify = str(self._files["ca.crt"])
        made.cert = (str(self._files["client.crt"]), str(self._files["client.key"]))
        made.trust_env = False
        return made

    def processes(self) -> dict[str, int]:
        """The pid of every program of every replica."""
        return {
            f"{host.name}/{name}": each["pid"]
            for host in self.hosts
            for name, each in machine.ask(host, {"do": "status"})["processes"].items()
        }

    def cpu_seconds(self) -> float:
        """What all replicas and this process have used so far."""
        own = os.times()
        return own.user + own.system + sum(_cpu_seconds(pid) for pid in (*self._first.values(), *self.helpers))

    def trouble(self) -> list[str]:
        """Processes that ended or grew without bound, and what they wrote that is a bug."""
        now = self.processes()
        found = [
            f"{name} ended: its pid was {pid}, is {now.get(name)}"
            for name, pid in self._first.items()
            if now.get(name) != pid
        ]
        held = {name: _resident_bytes(pid) for name, pid in now.items()}
        if not self._settled and time.monotonic() - self._began > SETTLED_SECONDS:
            self._settled = held
        for name, size in held.items():
            before = self._settled.get(name, size)
            if size - before > GROWTH_BYTES:
                found.append(f"{name} grew from {before >> 20} to {size >> 20} MiB")
        self._first = now
        logs = sorted(self.lab.state_dir.glob("r*/log/*.log"))
        return [*found, *complaints(logs), *(line for path in logs for line in self._exceptions(path))]

    def _exceptions(self, path: Path) -> Iterator[str]:
        """What was written since the last look about exceptions that nobody expected."""
        with path.open("rb") as log:
            log.seek(self._read.get(path, 0))
            lines = log.readlines()
        self._read[path] = self._read.get(path, 0) + sum(map(len, lines))
        for line in lines:
            if b'"exception": [' in line:
                yield f"{path.parent.parent.name}/{path.name}: {line[-4000:].decode('utf-8', 'replace')}"

    def sizes(self) -> str:
        """How much memory each process holds, for people."""
        return ", ".join(f"{name} {_resident_bytes(pid) >> 20} MiB" for name, pid in self.processes().items())

    def disagreements(self) -> list[str]:
        """What the replicas tell differently when each is asked by itself, once nothing is written any more."""
        end_time = time.monotonic() + AGREEMENT_SECONDS
        found: list[str] = ["nothing was compared"]
        while found and time.monotonic() < end_time:
            found = list(self._differences())
            time.sleep(1.0 if found else 0.0)
        return found

    def _differences(self) -> Iterator[str]:
        session = self.session()
        paths = {
            kind.resource: f"/{'apis' if kind.group else 'api'}/{kind.api_version}/{kind.plural}" for kind in KINDS
        }
        for resource, path in {**paths, crontabs.RESOURCE: f"/apis/{crontabs.API_VERSION}/crontabs"}.items():
            lists = [session.get(url + path, timeout=30) for url in self.urls]
            if resource == crontabs.RESOURCE and all(each.status_code == 404 for each in lists):
                continue  # the gRPC fuzzer may have taken its definition away
            shown = [
                {
                    (item["metadata"].get("namespace"), item["metadata"]["name"]): item
                    for item in each.json().get("items", [])
                }
                for each in lists
            ]
            if any(each.status_code != 200 for each in lists):
                yield f"{resource}: answered {[each.status_code for each in lists]}"
            elif not resource.startswith("leases.") and any(each != shown[0] for each in shown):
                differing = {
                    key for each in shown for key in shown[0].keys() | each.keys() if each.get(key) != shown[0].get(key)
                }
                yield f"{resource}: the replicas differ at {sorted(map(str, differing))[:3]}"

    def wait_until_ready(self) -> None:
        """Until every replica answers over HTTPS; a test that fails otherwise."""
        session = self.session()

        def ready() -> bool:
            with suppress(requests.ConnectionError):
                return all(session.get(f"{url}/readyz", timeout=30).status_code == 200 for url in self.urls)
            return False

        wait_until(ready, SETTLED_SECONDS, lambda: "a replica does not answer over HTTPS")

    def probing(self) -> threading.Thread:
        """Begin to ask every replica in turn for a small object, once a second."""
        thread = threading.Thread(target=self._probe, name="probes", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """No more probes."""
        self._stop.set()

    def _probe(self) -> None:
        session, number = self.session(), 0
        while not self._stop.wait(PROBE_PAUSE_SECONDS):
            number += 1
            url = f"{self.urls[number % len(self.urls)]}/api/v1/namespaces/kube-system"
            began = time.monotonic()
            try:
                answer = session.get(url, timeout=30)
                if answer.status_code != 200:
                    self.probes.failures.append(f"{url}: {answer.status_code} {answer.text[:200]}")
            except requests.RequestException as error:
                self.probes.failures.append(f"{url}: {error!r}"[:300])
            self.probes.seconds.append(time.monotonic() - began)


def _cpu_seconds(pid: int) -> float:
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


class Pace:
    """Keeps the part of one core that this process and the replicas take together below a limit."""

    def __init__(self, target: Target, cores: float) -> None:
        self._target, self._cores = target, cores
        self._began, self._used = time.monotonic(), target.cpu_seconds()

    def wait_seconds(self) -> float:
        """How long to rest now."""
        used = self._target.cpu_seconds() - self._used
        return max(0.0, used / self._cores - (time.monotonic() - self._began))

    def rest(self) -> None:
        """Rest that long."""
        time.sleep(min(self.wait_seconds(), 5.0))

    async def rest_async(self) -> None:
        """Rest that long, and let others go on."""
        await asyncio.sleep(min(self.wait_seconds(), 5.0))


@contextmanager
def running(name: str, folder: Path) -> Iterator[Target]:
    """A new lab of three replicas, removed at the end."""
    try:
        lab = labs.up(name, 3, 0, system_env(), lambda _line: None, egress=False)
        target = Target(lab, folder)
        target.wait_until_ready()
        target.probing()
        yield target
        target.stop()
    finally:
        labs.down(name, tell=lambda _line: None)


def finish(target: Target, findings: Findings, *, busy: int = 0) -> int:
    """Judge the whole run, print the sum; 1 when anything was found."""
    target.stop()
    for line in [*target.trouble(), *target.disagreements()]:
        findings.add("end", line, {})
    if max(target.probes.seconds, default=0.0) > BLOCKED_SECONDS:
        findings.add("probe", f"waited {max(target.probes.seconds):.1f} s", {})
    for line in target.probes.failures[:5]:
        findings.add("probe", line, {})
    if busy > BUSY_PART * findings.cases + 20:
        findings.add("busy", f"{busy} of {findings.cases} requests were answered 503 or 504", {})
    for line in [*findings.lines(), target.probes.line(), target.sizes(), f"load {os.getloadavg()[0]:.1f}"]:
        tell(line)
    return 1 if findings.kinds else 0
