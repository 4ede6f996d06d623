"""Three real replicas on loopback addresses: the control plane alone, without hosts, namespaces and agents."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import subprocess
import sys
from pathlib import Path

import yaml

from api.errors import ApiError
from bench.report import until
from component import kubeconfig, pki
from component.env import system_env
from component.files import write_private
from component.rpc import Tls
from component.rpc_client import RpcClient
from controlplane.bootstrap import plan_cluster
from controlplane.config import ServerConfig

PROCESSES = ("raft", "api")
READY_SECONDS = 60.0


def keep(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program that dies with this one, whatever happens to it."""
    with log.open("ab") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [held.getsockname()[1] for held in sockets]
    finally:
        for held in sockets:
            held.close()


class Replicas:
    """r1 to r3 with all their files below `folder`, on three addresses of 127/8 that are unlikely to be in use.

    With `probed`, the API processes say when their loops are held (`bench.probed_api`).
    """

    def __init__(self, folder: Path, *, probed: bool = False, pod_range: str = "10.244.0.0/16") -> None:
        self._folder = folder
        self._probed = probed
        net = f"127.{random.randint(2, 250)}.{random.randint(2, 250)}"
        self.addresses = {f"r{number}": f"{net}.{number}" for number in (1, 2, 3)}
        env = system_env()
        template = ServerConfig(replica="r1", cluster_uid=env.new_uid(), replicas=self.addresses)
        files = plan_cluster(template, env, cluster_name="bench")
        for name, contents in files.replicas.items():
            home = folder / name
            for relative, content in contents.items():
                write_private(home / relative, content)
            settings = yaml.safe_load((home / "server.yaml").read_bytes())
            settings |= {"listen": self.addresses[name], "pki_dir": str(home / "pki"), "data_dir": str(home / "data")}
            settings |= {"run_dir": str(home / "run"), "log_format": "json", "pod_range": pod_range}
            write_private(home / "server.yaml", yaml.safe_dump(settings).encode())
        admin = folder / "admin.conf"
        write_private(admin, files.admin_conf)
        found = kubeconfig.resolve(kubeconfig.read(admin), admin)
        self.tls = Tls(found.ca_pem, found.cert_pem, found.key_pem)
        self.endpoints = dict(zip(self.addresses, template.endpoints.values(), strict=True))
        self._processes: dict[str, list[subprocess.Popen[bytes]]] = {}

    def start(self, *names: str) -> None:
        """Start both processes of replicas, of all by default."""
        binary = str(Path(sys.executable).parent / "tim-server")
        for name in names or self.addresses:
            home = self._folder / name
            arguments = ["--config", str(home / "server.yaml")]
            programs = {each: [binary] for each in PROCESSES}
            if self._probed:
                programs["api"] = [sys.executable, "-m", "bench.probed_api", str(self.probe(name))]
            self._processes[name] = [
                keep([*programs[each], *arguments, each], home / f"{each}.log") for each in PROCESSES
            ]

    def kill(self, name: str) -> None:
        """SIGKILL both processes of a replica."""
        processes = self._processes.pop(name)
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()

    def stop(self) -> None:
        """SIGKILL everything."""
        for name in list(self._processes):
            self.kill(name)

    def pids(self, name: str = "") -> list[int]:
        """Of the processes that run, of one replica or of all."""
        return [process.pid for each, listed in self._processes.items() if name in {"", each} for process in listed]

    @property
    def ca(self) -> pki.KeyPair:
        """The cluster's own, to issue certificates of any user."""
        return pki.KeyPair(*((self._folder / "r1" / "pki" / f"ca.{end}").read_bytes() for end in ("crt", "key")))

    def probe(self, name: str) -> Path:
        """Where the probe of a replica's API loop writes."""
        return self._folder / name / "loop.probe"

    def log(self, name: str, process: str) -> list[dict]:
        """What a process has logged."""
        lines = (self._folder / name / f"{process}.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def client(self) -> RpcClient:
        """A client with the administrator's rights."""
        return RpcClient(list(self.endpoints.values()), self.tls, system_env())


async def leader_of(client: RpcClient, members: int = 3) -> str:
    """The leading replica, "" unless all members are ready and follow it."""
    status = await client.cluster_status()
    ready = sum(each.ready for each in status.replicas) == members
    return next((each.id for each in status.replicas if ready and each.role == "leader"), "")


async def leading(client: RpcClient, seconds: float = READY_SECONDS) -> str:
    """The leading replica once all are ready and follow it; SystemExit when that takes longer than `seconds`."""

    async def found() -> str:
        with contextlib.suppress(ApiError):
            return await leader_of(client)
        return ""

    name: str = await until(found, seconds, "three replicas ready")
    return name
