"""Checking a backup file, and laying it down as the first replica of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from component import pki
from component.env import system_env
from component.files import write_private
from controlplane.backup import BackupProblem, Manifest, install
from controlplane.backup import verify as verify_file
from controlplane.bootstrap import plan_cluster
from controlplane.config import ServerConfig
from controlplane.key_ring import RING_FILE, KeyRingProblem, decode, encode
from controlplane.store.state import State


def verified(file: Path, keys: Sequence[bytes] = (), *, needs_keys: bool = True) -> tuple[Manifest, State]:
    """What a backup holds, checked whole. ClickException says what is wrong."""
    try:
        return verify_file(file, keys, needs_keys=needs_keys)
    except BackupProblem as problem:
        raise click.ClickException(str(problem)) from problem


def keys_of(file: Path | None, directory: Path) -> Sequence[bytes]:
    """The keys of Secrets in a file; without one, those of a replica whose files are in `directory`. ClickException."""
    if file is None:
        file = directory / "pki" / RING_FILE
        if not file.exists():
            return ()
    try:
        return decode(file.read_bytes(), str(file))
    except KeyRingProblem as problem:
        raise click.ClickException(str(problem)) from problem
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error


def describe(manifest: Manifest) -> str:
    """One line about a backup."""
    return (
        f"cluster {manifest.cluster_uid}, revision {manifest.revision}, {manifest.objects} objects, "
        f"saved {manifest.time} by version {manifest.version}"
    )


def restored(
    file: Path, secrets_key: Path | None, replica: str, address: str, directory: Path, data_dir: Path
) -> list[str]:
    """Write configuration, certificates and state of the first replica; the lines to tell. ClickException."""
    if (directory / "server.yaml").exists():
        raise click.ClickException(f"{directory}/server.yaml exists: this machine is a replica (`tim reset` undoes it)")
    if (data_dir / "raft").exists() or (data_dir / "snapshots").exists():
        raise click.ClickException(f"{data_dir} holds a replica's data: `tim reset` this machine first")
    keys = keys_of(secrets_key, directory)
    manifest, state = verified(file, keys)
    env = system_env()
    config = ServerConfig(
        replica=replica,
        cluster_uid=manifest.cluster_uid,
        replicas={replica: address},
        pki_dir=str(directory / "pki"),
        data_dir=str(data_dir),
        pod_range=manifest.pod_range,
        service_range=manifest.service_range,
        cluster_domain=manifest.cluster_domain,
        incarnation=manifest.raft_incarnation + 1,
    )
    ca = pki.KeyPair(manifest.ca_cert.encode(), manifest.ca_key.encode())
    files = plan_cluster(config, env, ca=ca, account_keys=manifest.account_keys.encode(), secrets_keys=encode(keys))
    try:
        install(state, data_dir, env)
        for relative, content in files.replicas[replica].items():
            write_private(directory / relative, content)
        write_private(directory / "admin.conf", files.admin_conf)
    except OSError as error:
        raise click.ClickException(f"{error.filename or directory}: {error.strerror}") from error
    return [
        (
            f"replica {replica}: revision {manifest.revision} restored, it goes on at {state.revision}; start it: "
            "systemctl enable --now timonier-raft timonier-api"
        ),
        f"administrator: export TIMCONFIG={directory}/admin.conf",
        (
            f"nodes: put {address}:{config.grpc_port} first in `endpoints` of their agent.yaml and restart timonier-agent; "
            "their pods keep running"
        ),
        "more replicas: tim replica add",
    ]
