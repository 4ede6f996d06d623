"""Whole replicas on loopback, both processes of each, started from any version of the program."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import yaml

from api.errors import ApiError
from component import kubeconfig
from component.env import system_env
from component.files import write_private
from component.rpc import Tls
from component.rpc_client import RpcClient
from controlplane.bootstrap import plan_cluster
from controlplane.config import ServerConfig
from tests.integration.raft_processes import free_ports
from tests.log_files import events_of
from tests.newer_build import ROOT

WAIT_SECONDS = 90.0
STOP_SECONDS = 40.0


class ServerProcesses:
    """Replicas r1..rN at 127.0.0.1..N with the same three ports; `build` is the source tree that a start runs."""

    def __init__(self, folder: Path, count: int = 3) -> None:
        self.folder = folder
        self.names = [f"r{number}" for number in range(1, count + 1)]
        self._running: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
        grpc_port, raft_port, https_port = free_ports(3)
        # A Unix socket's name is limited to 107 bytes, which a test folder's may exceed.
        self._run_folder = Path(f"/tmp/tserver-{os.getpid()}-{grpc_port}")
        replicas = {name: f"127.0.0.{number}" for number, name in enumerate(self.names, 1)}
        template = ServerConfig(
            replica="r1",
            cluster_uid="levels",
            replicas=replicas,
            grpc_port=grpc_port,
            raft_port=raft_port,
            https_port=https_port,
            log_format="json",
        )
        self.addresses = template.endpoints
        files = plan_cluster(template, system_env())
        for name, own in files.replicas.items():
            for relative, content in own.items():
                write_private(self.home(name) / relative, content)
            config = {
                **yaml.safe_load(own["server.yaml"]),
                "listen": replicas[name],
                "pki_dir": str(self.home(name) / "pki"),
                "data_dir": str(self.home(name) / "data"),
                "run_dir": str(self._run_folder / name),
            }
            self.config(name).write_text(yaml.safe_dump(config))
        self.admin_conf = folder / "admin.conf"
        write_private(self.admin_conf, files.admin_conf)

    def home(self, name: str) -> Path:
        return self.folder / name

    def config(self, name: str) -> Path:
        return self.home(name) / "server.yaml"

    def client(self, *only: str) -> RpcClient:
        """A client of these replicas, or of all."""
        found = kubeconfig.resolve(kubeconfig.read(self.admin_conf), self.admin_conf)
        endpoints = [self.addresses[name] for name in only] or found.endpoints
        return RpcClient(endpoints, Tls(found.ca_pem, found.cert_pem, found.key_pem), system_env())

    def start(self, *names: str, build: Path = ROOT) -> None:
        for name in names or self.names:
            for process in ("raft", "api"):
                with self.log_path(name, process).open("ab") as log:
                    self._running[name, process] = subprocess.Popen(
                        # setpriv: a killed test run leaves no process behind.
                        ["setpriv", "--pdeathsig", "KILL", *self._command(name), process],
                        cwd=build,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                    )

    def send_signal(self, name: str, process: str, number: signal.Signals) -> None:
        self._running[name, process].send_signal(number)

    async def stop(self, name: str) -> None:
        """As on a machine that is upgraded: the API process first, then Raft, each with the time it needs."""
        for process in ("api", "raft"):
            running = self._running.pop((name, process))
            running.send_signal(signal.SIGTERM)
            await asyncio.to_thread(running.wait, STOP_SECONDS)

    def run_api(self, name: str, build: Path) -> subprocess.CompletedProcess[str]:
        """Start the API process alone, which is expected to end by itself."""
        command = [*self._command(name), "api"]
        return subprocess.run(command, cwd=build, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)

    def tim(self, build: Path, *words: str, stdin: str = "", at: str = "r1") -> subprocess.CompletedProcess[str]:
        """That version's command line, which speaks to the replica `at` only."""
        conf = self.home(at) / "admin.conf"
        whole = kubeconfig.read(self.admin_conf)
        alone = kubeconfig.with_endpoints(whole, self.admin_conf, "", [self.addresses[at]])
        kubeconfig.write(alone or whole, conf)
        environment = {**os.environ, "TIMCONFIG": str(conf)}
        return subprocess.run(
            [sys.executable, "-c", "from cli.main import main; main()", *words],
            cwd=build,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )

    def log_path(self, name: str, process: str) -> Path:
        return self.home(name) / f"{process}.log"

    def logged(self, name: str, process: str, event: str) -> list[dict[str, object]]:
        """The events of that name in a process's log."""
        return [each for each in events_of(self.log_path(name, process)) if each["event"] == event]

    def close(self) -> None:
        for running in self._running.values():
            running.kill()
        for running in self._running.values():
            running.wait()
        self._running.clear()
        shutil.rmtree(self._run_folder, ignore_errors=True)

    def _command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "controlplane.main", "--config", str(self.config(name))]


async def eventually(probe: Callable[[], Awaitable[object]], what: str) -> None:
    """Return once `probe` is true; API errors count as not yet."""
    problem: object = ""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    if await probe():
                        return
                except ApiError as error:
                    problem = error
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"after {WAIT_SECONDS:g} s still not so: {what}; {problem}") from None
