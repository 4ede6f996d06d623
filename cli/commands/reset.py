"""`tim reset`: a node or replica becomes a machine that knows no cluster. Does what `cli.resetting` plans."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from agent.config import AgentConfig
from agent.runtime import cgroups, kernel
from agent.runtime.podman import PodmanRuntime
from agent.runtime.protocol import RuntimeFailure
from cli import options
from cli.resetting import ResetProblem, Step, plan
from cli.verb import Verb
from component import config
from component.env import system_env
from controlplane.config import ServerConfig
from lab.podman_remains import attempts, mounts_below
from netplugin.plugin import Plugin
from netplugin.protocol import NetworkConfig, NetworkFailure

STOP_SECONDS = 60
CGROUP_SECONDS = 2.0
Config = TypeVar("Config", bound=msgspec.Struct)


@click.command(
    cls=Verb,
    examples=(
        "tim reset           what would be removed",
        "tim reset --yes     remove it",
    ),
)
@click.option("--yes", is_flag=True, help="Do it; without this it only says what it would do.")
@options.directory("Where the configuration is.")
def reset(yes: bool, directory: Path) -> None:
    """Make this machine a stranger to its cluster again: what `tim init` and `tim join` began is undone.

    Removes this machine's pods, their network and data, and its keys; for a replica also its copy of the cluster's
    state. It does not tell the cluster: delete the Node there with `tim delete node NAME`. May be run again.
    """
    try:
        agent = _read(AgentConfig, directory / "agent.yaml")
        server = _read(ServerConfig, directory / "server.yaml")
        steps = plan(agent, server, directory.absolute(), units=_units(), exists=os.path.lexists)
    except (config.ConfigProblem, ResetProblem) as problem:
        raise click.ClickException(str(problem)) from problem
    if not steps:
        click.echo(f"nothing to reset: no configuration in {directory}")
        return
    for step in steps:
        click.echo(("" if yes else "would ") + str(step))
        if yes:
            _take(step, agent)
    if not yes:
        raise click.ClickException("nothing was changed: --yes does it, and it cannot be undone")


def _take(step: Step, agent: AgentConfig | None) -> None:
    """One step; a ClickException stops the reset, which can be run again."""
    try:
        match step.action:
            case "stop":
                _run("systemctl", "disable", "--now", "--quiet", step.subject)
            case "containers" if agent is not None:
                _refuse_running(agent.health_port)
                asyncio.run(_remove_pods(agent))
                _remove_cgroup(agent.cgroup_root)
            case "network" if agent is not None:
                asyncio.run(_remove_network(agent))
            case "remove":
                _remove(Path(step.subject))
            case _:
                with contextlib.suppress(OSError):  # something is in it, or it is gone
                    Path(step.subject).rmdir()
    except (OSError, RuntimeFailure, NetworkFailure, subprocess.SubprocessError) as error:
        raise click.ClickException(f"could not {step}: {error}; mend that and run the same command again") from error


async def _remove_pods(agent: AgentConfig) -> None:
    runtime = PodmanRuntime(agent.podman_socket, agent.run_dir, agent.data_dir, system_env())
    try:
        if os.path.exists(agent.podman_socket):  # noqa: ASYNC240, PTH110 - else no Podman ever ran for us
            for container in await runtime.list_containers():
                await runtime.remove(container.id)
        for uid in await runtime.sandboxes():
            await runtime.remove_sandbox(uid)
    finally:
        await runtime.close()


def _remove_cgroup(parent: str) -> None:
    """The one above all pods', as soon as what ended in it is gone; processes that stay keep it."""
    if parent.strip("/"):
        any(cgroups.remove(parent, cgroups.own_hierarchies()) for _ in attempts(CGROUP_SECONDS))


async def _remove_network(agent: AgentConfig) -> None:
    """Ours is known by names, labels and route protocol alone, so the cluster's ranges do not matter."""
    settings = NetworkConfig(
        node_name=agent.node_name,
        node_ip=agent.node_ip or "127.0.0.1",
        pod_range="10.244.0.0/16",
        service_range="10.96.0.0/16",
        cluster_domain="cluster.local",
        state_dir=str(Path(agent.data_dir) / "network"),
        run_dir=str(Path(agent.run_dir) / "network"),
        dns_address=agent.dns_address,
        upstream_resolv_conf="/etc/resolv.conf",
        link_prefix=agent.link_prefix,
        mode=agent.network_mode,
    )
    await Plugin(settings, system_env()).reset()


def _remove(path: Path) -> None:
    """A file or a folder with all below it; what is mounted there is unmounted, not emptied."""
    if path.is_dir() and not path.is_symlink():
        for point in reversed(mounts_below(path)):
            kernel.unmount(point)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _refuse_running(health_port: int) -> None:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(("127.0.0.1", health_port)) == 0:
            raise click.ClickException(f"tim-agent still runs (it answers on port {health_port}): stop it first")


def _units() -> list[str]:
    """Our units that systemd knows; none on a machine that does not run it."""
    if not Path("/run/systemd/system").is_dir():
        return []
    listed = _run("systemctl", "list-unit-files", "--no-legend", "--plain", "timonier-*.service")
    return [line.split()[0] for line in listed.splitlines() if line.strip()]


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=STOP_SECONDS, check=False)
    if done.returncode and done.stderr.strip():
        raise click.ClickException(f"{' '.join(command)}: {' '.join(done.stderr.split())}")
    return done.stdout


def _read(kind: type[Config], path: Path) -> Config | None:
    return config.load(kind, path, {}, prefix="") if path.exists() else None
