"""Making a machine a replica: what `tim join --replica` asks for and writes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import click
import yaml

from api.errors import ApiError
from component.env import system_env
from component.files import write_private
from component.join import JoinedReplica, join_replica
from controlplane.level import KNOWN_LEVEL

DATA_DIR = Path("/var/lib/timonier")


def join_as_replica(servers: Sequence[str], token: str, ca_hash: str, name: str, address: str, directory: Path) -> None:
    """Join and write this machine's files below `directory`. ClickException for whatever is in the way."""
    if (directory / "server.yaml").exists():
        raise click.ClickException(
            f"{directory}/server.yaml exists: this machine is a replica already (`tim reset` undoes it)"
        )
    if (DATA_DIR / "raft").exists():
        raise click.ClickException(f"{DATA_DIR}/raft holds an earlier replica's log: `tim reset` this machine first")
    name = name or socket.gethostname().lower()
    addresses = [server if ":" in server else f"{server}:6443" for server in servers]
    try:
        address = address or own_address(addresses[0])
        joined = asyncio.run(join_replica(addresses, token, ca_hash, name, address, system_env(), level=KNOWN_LEVEL))
    except ApiError as error:
        raise click.ClickException(f"{error.reason}: {error}") from error
    except OSError as error:
        raise click.ClickException(f"cannot tell this machine's address: {error}; give --address") from error
    write_replica_files(joined, directory)
    click.echo(f"replica {name} joined; start it: systemctl enable --now timonier-raft timonier-api")
    click.echo("it votes once it has caught up: tim replica list")


def own_address(server: str) -> str:
    """The source address of the route to `server` (host:port); sends nothing. OSError without a route."""
    host, _, port = server.rpartition(":")
    family, kind, protocol, _, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(target)
        return str(probe.getsockname()[0])


def write_replica_files(joined: JoinedReplica, directory: Path) -> None:
    """server.yaml comes last: a machine that has it is a replica."""
    for relative, content in joined.files.items():
        write_private(directory / relative, content)
    settings = {**joined.settings, "pki_dir": str(directory / "pki")}
    write_private(directory / "server.yaml", yaml.safe_dump(settings, sort_keys=False).encode())
