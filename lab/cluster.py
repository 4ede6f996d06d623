"""Making, watching and removing a lab: what `tim lab` does, step by step, each step told to the caller.

`up` records the lab before it makes anything, so that `down` finds all of it even after a crash half-way.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from agent.runtime import kernel
from api.core import Node
from api.errors import ApiError
from component import config, kubeconfig
from component.env import Env
from component.files import write_private
from component.join import join
from component.rpc import Tls
from component.rpc_calls import TIMEOUT_SECONDS
from component.rpc_client import RpcClient
from controlplane.bootstrap import plan_cluster
from controlplane.config import ServerConfig
from lab import disks, machine, network
from lab.images import build_images
from lab.layout import RUN_ROOT, STATE_ROOT, Host, Lab, LabProblem, check_name, free_slot
from lab.podman import PodmanHost
from lab.podman_remains import remove_cgroup, remove_cgroups, remove_runtime_states

READY_SECONDS = 60.0
POLL_SECONDS = 0.05
RUN_BYTES = 512 << 20  # the most that the run files of all hosts may take

Tell = Callable[[str], None]


def load(name: str) -> Lab:
    """The lab as it was made; LabProblem names those there are."""
    try:
        return msgspec.json.decode((STATE_ROOT / name / "lab.json").read_bytes(), type=Lab)
    except FileNotFoundError:
        known = ", ".join(each.name for each in labs()) or "none"
        raise LabProblem(f"no lab named {name!r}; there are: {known}. Make one with `tim lab up`") from None


def labs() -> list[Lab]:
    """All labs on this machine."""
    found = []
    for path in sorted(STATE_ROOT.glob("*/lab.json")):
        with contextlib.suppress(OSError, msgspec.DecodeError):
            found.append(msgspec.json.decode(path.read_bytes(), type=Lab))
    return found


def up(
    name: str, replicas: int, nodes: int, env: Env, tell: Tell, *, egress: bool = True, disk_mebibytes: int = 0
) -> Lab:
    """Make a lab and wait until every node is Ready. What was made is removed again when a step fails."""
    check_name(name)
    if replicas not in {1, 3, 5}:
        raise LabProblem(f"{replicas} replicas: use 1, 3 or 5, so that a majority is clear")
    if (STATE_ROOT / name).exists():
        raise LabProblem(f"lab {name!r} exists: `tim lab down --name {name}` removes it, --name makes another one")
    STATE_ROOT.mkdir(parents=True, exist_ok=True)
    with (STATE_ROOT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two labs that are made at once must not choose the same addresses
        slot = free_slot((each.slot for each in labs()), network.machine_routes())
        lab = Lab(name, slot, replicas, nodes, egress, disk_mebibytes)
        lab.state_dir.mkdir()
        (lab.state_dir / "lab.json").write_bytes(msgspec.json.encode(lab))
    try:
        _make(lab, env, tell)
    except BaseException:
        tell("a step failed: removing what was made")
        down(name, tell=lambda _line: None)
        raise
    return lab


def _make(lab: Lab, env: Env, tell: Tell) -> None:
    tell(f"wiring {len(lab.hosts)} hosts on {lab.ranges.hosts}")
    lab.run_dir.mkdir(parents=True, exist_ok=True)
    # /run is not in memory on every machine that a lab runs on, and Secrets must not reach a disk.
    kernel.mount("run", str(lab.run_dir), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"size={RUN_BYTES},mode=0700")
    network.make_switch(lab)
    if lab.egress:
        network.allow_egress(lab)
    tell("building the test images")
    build_images(image_store(lab))
    tell(f"starting {lab.replicas} replicas")
    _install_replicas(lab, env)
    for host in lab.hosts:
        if host.role == "replica":
            start_host(lab, host)
    asyncio.run(_join_nodes(lab, env, tell))


def _install_replicas(lab: Lab, env: Env) -> None:
    replicas = {host.name: host for host in lab.hosts if host.role == "replica"}
    template = ServerConfig(
        replica=next(iter(replicas)),
        cluster_uid=env.new_uid(),
        replicas={name: host.address for name, host in replicas.items()},
        pod_range=lab.ranges.pods,
        service_range=lab.ranges.services,
    )
    files = plan_cluster(template, env, cluster_name=lab.name)
    for name, host in replicas.items():
        for relative, content in files.replicas[name].items():
            write_private(host.state_dir / "etc" / relative, content)
        if lab.disk_mebibytes:
            disks.make(host, lab.disk_mebibytes)
        path = host.state_dir / "etc" / "server.yaml"
        own = config.load(ServerConfig, path, {}, prefix="TIM_SERVER")
        own = msgspec.structs.replace(
            own,
            pki_dir=str(host.state_dir / "etc" / "pki"),
            data_dir=str(host.state_dir / "data"),
            run_dir=str(host.run_dir),
            audit_log=str(host.state_dir / "log" / "audit.log"),
            log_format="json",
        )
        config.write(own, path)
    write_private(lab.admin_conf, files.admin_conf)


async def _join_nodes(lab: Lab, env: Env, tell: Tell) -> None:
    async with client_of(lab, env) as client:
        await _until(lambda: _writable(client), "no replica leads: see `tim lab status` and the logs of the replicas")
        nodes = [host for host in lab.hosts if host.role == "node"]
        tell(f"joining {len(nodes)} nodes")
        await asyncio.gather(*(_join_node(lab, client, host, env) for host in nodes))
        tell("waiting for the nodes to be Ready")
        await _until(lambda: _ready(client, len(nodes)), "the nodes do not get Ready: see `tim get nodes`")


async def _join_node(lab: Lab, client: RpcClient, host: Host, env: Env) -> None:
    token = await client.create_join_token(role="node", name=host.name, ttl_seconds=300)
    servers = [f"{each.address}:6443" for each in lab.hosts if each.role == "replica"]
    joined = await join(servers, token.token, token.ca_hash, host.name, env)
    for relative, content in joined.files.items():
        write_private(host.state_dir / "etc" / relative, content)
    settings = {
        "node_name": host.name,
        "node_ip": host.address,
        "endpoints": list(joined.endpoints),
        "ca_path": str(host.state_dir / "etc" / "pki" / "ca.crt"),
        "cert_path": str(host.state_dir / "etc" / "pki" / "node.crt"),
        "key_path": str(host.state_dir / "etc" / "pki" / "node.key"),
        "data_dir": str(host.state_dir / "agent"),
        "run_dir": str(host.run_dir / "agent"),
        "podman_socket": str(podman_of(lab, host).socket_path),
        "boot_id_path": str(host.run_dir / "boot_id"),
        "cgroup_root": cgroup_of(lab.name),
        "log_format": "json",
    }
    write_private(host.state_dir / "etc" / "agent.yaml", yaml.safe_dump(settings).encode())
    await asyncio.to_thread(start_host, lab, host)


def start_host(lab: Lab, host: Host) -> None:
    """Power a host on: its wires, a new boot id, its programs."""
    if machine.holder_pid(host):
        raise LabProblem(f"host {host.name} runs already")
    network.unplug_host(host)
    network.plug_host(lab, host)
    disks.normal(host)  # its processes were slow, not its disk
    host.run_dir.mkdir(parents=True, exist_ok=True)
    (host.run_dir / "boot_id").write_bytes(os.urandom(16).hex().encode())
    machine.start(host, _programs(lab, host))


def kill_host(lab: Lab, host: Host) -> None:
    """Power a host off at once."""
    machine.kill_all(machine.holder_pid(host))
    for folder in (host.run_dir, host.state_dir):  # a pod that was just going is known to its agent's run files only
        remove_cgroups(folder)
    machine.kill(host)
    network.unplug_host(host)
    if host.role == "node":
        podman_of(lab, host).forget_run_state()


def kill_process(host: Host, name: str) -> None:
    """SIGKILL one program of a host; its holder starts it again. LabProblem names those there are."""
    running = machine.ask(host, {"do": "status"})["processes"]
    if name not in running:
        raise LabProblem(f"host {host.name} runs no {name!r}; it runs: {', '.join(running)}")
    with contextlib.suppress(ProcessLookupError):
        if pid := running[name]["pid"]:
            os.kill(pid, signal.SIGKILL)


def names() -> list[str]:
    """The names of all labs, also of those that were never finished."""
    return sorted({path.name for root in (STATE_ROOT, RUN_ROOT) for path in root.glob("*") if path.is_dir()})


def _programs(lab: Lab, host: Host) -> dict[str, Any]:
    etc = host.state_dir / "etc"
    binaries = Path(sys.executable).parent
    if host.role == "replica":
        command = [str(binaries / "tim-server"), "--config", str(etc / "server.yaml")]
        listed: list[dict[str, Any]] = [
            {"name": "raft", "command": [*command, "raft"]},
            {"name": "api", "command": [*command, "api"]},
        ]
        unmount: Sequence[str] = ()
    else:
        podman = podman_of(lab, host)
        podman.write_configuration()
        agent = [str(binaries / "tim-agent"), "--config", str(etc / "agent.yaml")]
        listed = [
            {"name": "podman", "command": podman.command(), "environment": podman.environment()},
            {"name": "agent", "command": agent},
        ]
        unmount = podman.unmount_first()
    return {
        "run_dir": str(host.run_dir),
        "log_dir": str(host.state_dir / "log"),
        "processes": listed,
        "unmount": list(unmount),
        "disks": {str(disks.image_of(host)): str(host.state_dir / "data")} if disks.image_of(host).exists() else {},
    }


def down(name: str, *, tell: Tell) -> None:
    """Remove everything a lab of this name ever made; nothing happens when there is nothing."""
    run_dir, state_dir = RUN_ROOT / name, STATE_ROOT / name
    tell(f"removing lab {name}")
    lab = Lab(name, 0, 0, 0)
    with contextlib.suppress(LabProblem):
        lab = load(name)
    machine.kill_all(*(machine.pid_of(path) for path in run_dir.glob("*/holder.pid")))
    network.remove(name, lab.table, lab.uplink, state_dir)
    remove_cgroup(cgroup_of(name))
    remove_runtime_states(state_dir)
    while run_dir.is_mount():
        kernel.unmount(str(run_dir))
    shutil.rmtree(run_dir, ignore_errors=True)
    shutil.rmtree(state_dir, ignore_errors=True)


def cgroup_of(name: str) -> str:
    """The cgroup above all pods of a lab."""
    return f"/timonier-lab-{name}"


def image_store(lab: Lab) -> Path:
    """The read-only image store that all hosts of the lab share."""
    return lab.state_dir / "images"


def podman_of(lab: Lab, host: Host) -> PodmanHost:
    """The host's own Podman."""
    return PodmanHost(host.state_dir / "podman", host.run_dir / "podman", image_store(lab))


def client_of(lab: Lab, env: Env, *, timeout_seconds: float = TIMEOUT_SECONDS) -> RpcClient:
    """A client with the administrator's rights."""
    found = kubeconfig.resolve(kubeconfig.read(lab.admin_conf), lab.admin_conf)
    return RpcClient(
        found.endpoints, Tls(found.ca_pem, found.cert_pem, found.key_pem), env, timeout_seconds=timeout_seconds
    )


async def _writable(client: RpcClient) -> bool:
    await client.get("namespaces", "", "default")
    return True


async def _ready(client: RpcClient, count: int) -> bool:
    nodes = [item.view(Node) for item in (await client.list("nodes")).items]
    ready = [
        node
        for node in nodes
        if any(condition.type == "Ready" and condition.status == "True" for condition in node.status.conditions)
    ]
    return len(ready) >= count


async def _until(condition: Callable[[], Any], complaint: str) -> None:
    deadline = time.monotonic() + READY_SECONDS  # noqa: TID251 - the lab is the machine around the product
    while True:
        with contextlib.suppress(ApiError):
            if await condition():
                return
        if time.monotonic() > deadline:  # noqa: TID251 - a lab runs in real time
            raise LabProblem(complaint)
        await asyncio.sleep(POLL_SECONDS)


def status(lab: Lab) -> list[dict[str, Any]]:
    """What runs on each host: name, address, holder's pid, processes."""
    rows = []
    for host in lab.hosts:
        pid = machine.holder_pid(host)
        answer = {"pid": pid, "frozen": True} if machine.frozen(pid) else _ask_status(host)
        rows.append({"host": host.name, "address": host.address, "role": host.role, **answer})
    return rows


def _ask_status(host: Host) -> dict[str, Any]:
    return machine.ask(host, {"do": "status"}, missing_ok=True)


def describe(lab: Lab) -> str:
    """The lab as JSON, for scripts."""
    return json.dumps({"name": lab.name, "hosts": status(lab), "admin_conf": str(lab.admin_conf)}, indent=2)
