"""Growing a lab's control plane while it runs, as on real machines: a token, a join, and the programs started."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import msgspec
import yaml

from api.errors import ApiError
from component import kubeconfig
from component.env import Env
from component.files import write_private
from component.join import JoinedReplica, join_replica
from controlplane.level import KNOWN_LEVEL
from lab import cluster
from lab.layout import Host, Lab, LabProblem

CAUGHT_UP_SECONDS = 60.0


def add_replica(lab: Lab, env: Env, tell: Callable[[str], None]) -> Host:
    """Add the next replica host and wait until it votes. LabProblem when the cluster does not let it in."""
    grown_lab = grown(lab)
    host = grown_lab.host(f"r{grown_lab.replicas}")
    tell(f"joining replica {host.name}")
    try:
        joined = asyncio.run(_join(lab, host, env))
    except ApiError as error:
        raise LabProblem(f"replica {host.name} did not join: {error}") from error
    install(host, joined)
    (lab.state_dir / "lab.json").write_bytes(msgspec.json.encode(grown_lab))
    cluster.start_host(grown_lab, host)
    tell(f"waiting for {host.name} to catch up")
    asyncio.run(_until_voting(grown_lab, host, env))
    return host


def grown(lab: Lab) -> Lab:
    """The lab with one more replica host."""
    return replace(lab, replicas=lab.replicas + 1)


def install(host: Host, joined: JoinedReplica) -> None:
    """The files of a joined replica, with the folders of a lab host."""
    etc = host.state_dir / "etc"
    for relative, content in joined.files.items():
        write_private(etc / relative, content)
    settings = {
        **joined.settings,
        "pki_dir": str(etc / "pki"),
        "data_dir": str(host.state_dir / "data"),
        "run_dir": str(host.run_dir),
        "audit_log": str(host.state_dir / "log" / "audit.log"),
        "log_format": "json",
    }
    write_private(etc / "server.yaml", yaml.safe_dump(settings, sort_keys=False).encode())


async def _join(lab: Lab, host: Host, env: Env) -> JoinedReplica:
    async with cluster.client_of(lab, env) as client:
        token = await client.create_join_token(role="replica", name=host.name, ttl_seconds=300)
        servers = [f"{each.address}:6443" for each in lab.hosts if each.role == "replica"]
        return await join_replica(servers, token.token, token.ca_hash, host.name, host.address, env, level=KNOWN_LEVEL)


async def _until_voting(lab: Lab, host: Host, env: Env) -> None:
    """Wait for its vote, then let the lab's own kubeconfig know all replicas there are."""
    async with cluster.client_of(lab, env) as client:
        give_up_time = env.monotonic() + CAUGHT_UP_SECONDS
        while True:
            status = await client.cluster_status()
            if any(each.id == host.name and each.voter and each.ready for each in status.replicas):
                break
            if env.monotonic() > give_up_time:
                raise LabProblem(f"{host.name} does not catch up: see {host.state_dir}/log")
            await asyncio.sleep(cluster.POLL_SECONDS)
    endpoints = [each.address for each in status.endpoints]
    changed = kubeconfig.with_endpoints(kubeconfig.read(lab.admin_conf), lab.admin_conf, "", endpoints)
    if changed is not None:
        kubeconfig.write(changed, lab.admin_conf)
