"""Real Raft processes on loopback, with mutual TLS, for tests and benchmarks. Everything lives below one folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from component import pki
from controlplane.raft.link import SocketLog
from controlplane.raft.protocol import Entry, RaftStatus, ReplicatedLog, Snapshot
from tests.log_files import events_of
from tests.waiting import DEADLINE_SECONDS, eventually

ROOT = Path(__file__).resolve().parents[2]


def _bind_aside(held: socket.socket) -> None:
    """Take a free port of those that the kernel gives nobody by itself: a program will listen there only after a while."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    aside = [*range(10_000, low), *range(high + 1, 1 << 16)] or [0]
    for port in random.sample(aside, len(aside)):
        with contextlib.suppress(OSError):
            held.bind(("", port))
            return
    raise AssertionError(f"no port is free beside {low} to {high}")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            _bind_aside(held)
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()


class Reader:
    """A small API process: collects what a log delivers."""

    def __init__(self, log: ReplicatedLog) -> None:
        self.log = log
        self.entries: list[Entry] = []
        self.seen: set[bytes] = set()
        self.proposed = 0  # times that `put` sent something here, repetitions counted
        self.statuses: list[RaftStatus] = []
        self.installed: list[Snapshot] = []

    async def connect(self, applied: tuple[int, int] = (0, 0)) -> None:
        await self.log.connect(applied, self._take, self.statuses.append, self._install)

    def _take(self, entries: Sequence[Entry]) -> None:
        assert entries, "an empty batch"
        self.entries.extend(entries)
        self.seen.update(entry.data for entry in entries)

    async def _install(self, snapshot: Snapshot) -> None:
        self.installed.append(snapshot)

    @property
    def data(self) -> list[bytes]:
        return [entry.data for entry in self.entries if entry.data]

    @property
    def applied(self) -> tuple[int, int]:
        return (self.entries[-1].index, self.entries[-1].term) if self.entries else (0, 0)

    async def until(self, condition: Callable[[], object], seconds: float = DEADLINE_SECONDS) -> None:
        await eventually(condition, seconds)

    async def lead(self) -> int:
        await self.until(lambda: self.log.status.leading)
        return self.log.status.term


class RaftProcesses:
    """Replicas r1..rN. `start`, `kill`, `stop` work on one replica's Raft process; `api` makes its API end."""

    def __init__(self, folder: Path, count: int = 3, *, time_factor: float = 1.0, **settings: object) -> None:
        self.folder = folder
        self.names = [f"r{number}" for number in range(1, count + 1)]
        ports = free_ports(count)
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in zip(self.names, ports, strict=True)}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._settings = {"time_factor": time_factor, **settings}
        self._time_factor = time_factor
        self.enter: dict[str, Sequence[str]] = {}  # what a replica's command line starts with
        # A Unix socket's name is limited to 107 bytes, which a test folder's may exceed.
        self._run_folder = Path(f"/tmp/traft-{os.getpid()}-{ports[0]}")
        self._run_folder.mkdir()
        now = time.time()
        ca = pki.make_ca("test-raft-ca", now)
        for name in self.names:
            home = self.home(name)
            home.mkdir(parents=True)
            pair = pki.issue(ca, f"raft:{name}", now, dns_names=[f"{name}.raft.timonier.internal"])
            (home / "raft.crt").write_bytes(pair.cert_pem)
            (home / "raft.key").write_bytes(pair.key_pem)
            (home / "ca.crt").write_bytes(ca.cert_pem)
            (home / "raft.json").write_text(json.dumps(self.config(name)))

    def home(self, name: str) -> Path:
        return self.folder / name

    def socket_path(self, name: str) -> Path:
        return self._run_folder / f"{name}.sock"

    def config(self, name: str) -> dict[str, object]:
        home = self.home(name)
        return {
            "replica_id": name,
            "cluster_uid": "test",
            "listen": self.addresses[name],
            "peers": self.addresses,
            "data_dir": str(home / "raft"),
            "socket_path": str(self.socket_path(name)),
            "cert": str(home / "raft.crt"),
            "key": str(home / "raft.key"),
            "ca": str(home / "ca.crt"),
            **self._settings,
        }

    def start(self, *names: str) -> None:
        for name in names or self.names:
            with (self.home(name) / "raft.log").open("ab") as output:
                self.running[name] = subprocess.Popen(
                    # setpriv: a killed test run leaves no process behind.
                    [
                        "setpriv",
                        "--pdeathsig",
                        "KILL",
                        *self.enter.get(name, ()),
                        sys.executable,
                        "-m",
                        "controlplane.raft.main",
                        "--config",
                        str(self.home(name) / "raft.json"),
                    ],
                    cwd=ROOT,
                    stderr=output,
                    stdin=subprocess.DEVNULL,
                )

    def kill(self, *names: str) -> None:
        for name in names:
            self.running[name].kill()
        for name in names:
            self.running.pop(name).wait()

    def stop(self, name: str) -> int:
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=DEADLINE_SECONDS)

    def api(self, name: str) -> Reader:
        return Reader(SocketLog(self.socket_path(name), name, time_factor=self._time_factor))

    def logs(self, name: str) -> list[dict[str, object]]:
        return events_of(self.home(name) / "raft.log")

    def close(self) -> None:
        self.kill(*list(self.running))
        for name in self.names:
            self.socket_path(name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._run_folder.rmdir()


async def put(apis: Sequence[Reader], data: bytes, seconds: float = DEADLINE_SECONDS) -> Reader:
    """Write at whoever leads until it is delivered there; `data` must be unique and may end up in the log twice."""
    async with asyncio.timeout(seconds):
        while True:
            api = await leading(apis, seconds)
            term, refused = api.log.status.term, []
            api.proposed += 1
            api.log.propose(data, term, lambda refused=refused: refused.append(1))

            def settled(api=api, refused=refused, term=term) -> bool:
                status = api.log.status
                return bool(refused) or data in api.seen or status.term != term or not status.leader

            await eventually(settled, seconds)
            if data in api.seen:
                return api


async def leading(apis: Sequence[Reader], seconds: float = DEADLINE_SECONDS) -> Reader:
    """Wait for the one reader whose replica leads."""
    await eventually(lambda: any(api.log.status.leading for api in apis), seconds)
    return max((api for api in apis if api.log.status.leading), key=lambda api: api.log.status.term)
