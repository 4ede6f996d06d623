"""What `tim join --renew` does: another certificate for a machine that is a node already, whose own has expired.

Only that one file changes. The key, the agent's data and its pods stay as they are, and a running agent takes it by itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from agent.config import AgentConfig
from api.errors import ApiError
from component import config, pki
from component.env import system_env
from component.files import write_private
from component.join import renew


def renew_node(servers: Sequence[str], token: str, ca_hash: str, name: str, directory: Path) -> None:
    """Renew through one of `servers` (host:port of HTTPS) and say so. ClickException for whatever is in the way."""
    path = directory / "agent.yaml"
    if not path.exists():
        raise click.ClickException(f"{path} is missing: this machine is no node; without --renew it joins as one")
    try:
        settings = config.load(AgentConfig, path, os.environ, prefix="TIM")
        node = settings.node_name
        if name and name != node:
            raise click.ClickException(f"this machine is node {node}, not {name}: run this there")
        _check_pin(Path(settings.ca_path), ca_hash)
        key_pem = Path(settings.key_path).read_bytes()
        made = asyncio.run(renew(servers, token, ca_hash, node, key_pem, system_env()))
        write_private(Path(settings.cert_path), made, durable=True)
    except (config.ConfigProblem, pki.CertificateProblem) as error:
        raise click.ClickException(" ".join(str(error).split())) from error
    except ApiError as error:
        raise click.ClickException(f"{error.reason}: {error}") from error
    except OSError as error:
        raise click.ClickException(f"{error.filename or path}: {error.strerror}") from error
    until = datetime.fromtimestamp(pki.read_subject(made).not_after, UTC).strftime("%Y-%m-%d")
    click.echo(f"{settings.cert_path}: renewed, good until {until}; a running agent takes it within seconds")


def _check_pin(ca_path: Path, ca_hash: str) -> None:
    """Another CA's certificate would be of no use: the agent obeys the cluster that it joined."""
    found = pki.ca_hash(ca_path.read_bytes())
    if found != ca_hash:
        raise click.ClickException(f"{ca_path} has hash {found}, not {ca_hash}: this node belongs to another cluster")
