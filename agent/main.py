"""`tim-agent`: reads the configuration, builds the agent from its real parts, runs it until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
import grpc.aio
import structlog

from agent import machine
from agent.checkpoint import Cluster
from agent.config import AgentConfig
from agent.health import HealthServer
from agent.node_agent import Identity, NodeAgent
from agent.node_report import NodeReport
from agent.node_status import Offer
from agent.own_certificate import OwnCertificate
from agent.paths import Paths
from agent.runtime.podman import PodmanRuntime
from component import config as configuration
from component import pki
from component.core_dumps import forbid_core_dumps
from component.env import Env, system_env
from component.handshake import Handshake, Obstacle
from component.log import configure
from component.rpc import channel
from component.stacks import tell_stacks_when_asked
from component.version import version
from netplugin.plugin import Plugin
from netplugin.protocol import NetworkConfig

log = structlog.get_logger()

ROUTE_RETRY_SECONDS = 1.0


@click.command()
@click.version_option(version(), prog_name="tim-agent")
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("/etc/timonier/agent.yaml"),
    show_default=True,
)
@click.option("--node-name", default=None, help="The node's name, as in its certificate.")
@click.option("--node-ip", default=None, help="The node's address (default: the source of its route to the API).")
@click.option("--log-level", default=None, help="debug, info, warning or error.")
@click.option("--log-format", type=click.Choice(["auto", "json", "console"]), default=None)
def main(path: Path, **flags: Any) -> None:
    """The agent of one node: runs the pods that the control plane assigns to it."""
    import uvloop  # noqa: PLC0415 - not needed to print a version or a mistake

    try:
        config = configuration.load(AgentConfig, path, os.environ, prefix="TIM", flags=flags)
    except configuration.ConfigProblem as problem:
        raise click.ClickException(str(problem)) from problem
    configure("agent", level=config.log_level, log_format=config.log_format)
    forbid_core_dumps()
    structlog.contextvars.bind_contextvars(node=config.node_name)
    try:
        uvloop.run(_serve(config))
    except (OSError, pki.CertificateProblem) as error:
        log.critical("agent_not_started", reason=str(error))
        sys.exit(1)
    except Exception:
        log.critical("agent_failed", exc_info=True)
        sys.exit(70)


async def _serve(config: AgentConfig) -> None:
    """Run the agent until a signal ends it."""
    env = system_env()
    running = asyncio.ensure_future(_run(config, env))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, running.cancel)
    tell_stacks_when_asked()
    try:
        await running
    except asyncio.CancelledError:
        log.info("agent_stopped")


async def _run(config: AgentConfig, env: Env) -> None:
    paths = Paths(Path(config.data_dir), Path(config.run_dir))
    for folder in (paths.data_dir, paths.run_dir):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = OwnCertificate(config.ca_path, config.cert_path, config.key_path)
    agent = await build(config, paths, own, env)
    health = HealthServer(config.health_port, agent.problems, agent.metrics)
    await health.start()
    days = pki.days_left(own.tls.cert_pem, env.now())
    if days < pki.WARNING_DAYS:
        log.warning("certificate_expires", path=config.cert_path, days_left=round(days, 1))
    log.info("agent_started", version=version(), health_port=health.port)
    try:
        await agent.run()
    finally:
        await health.close()


async def build(config: AgentConfig, paths: Paths, own: OwnCertificate, env: Env) -> NodeAgent:
    """Make the agent from its real parts; waits until the node's address is known."""
    boot_id = machine.read_boot_id(config.boot_id_path)
    facts = await asyncio.to_thread(machine.read_machine, paths.data_dir, boot_id)
    load = await asyncio.to_thread(machine.read_load, paths.data_dir)
    address = config.node_ip or await _own_address(config.endpoints)
    resolv_conf = machine.resolv_conf_path()
    runtime = PodmanRuntime(config.podman_socket, config.run_dir, config.data_dir, env)

    def make_network(cluster: Cluster) -> Plugin:
        return Plugin(network_config(config, cluster, address, resolv_conf), env)

    def connect(endpoint: str) -> grpc.aio.Channel:
        own.look()
        return channel(endpoint, own.tls)

    async def explain(endpoint: str) -> Obstacle | None:
        handshake = Handshake(
            own.tls,
            config.ca_path,
            env,
            remedy="reset this node and join again",
            expiring=config.cert_path,
            renewal=f"run here what `tim token create --renew --name {config.node_name}` prints",
        )
        return await handshake.obstacle(endpoint)

    offer = Offer(address, config.system_reserved, config.capacity, config.max_pods, f"v{version()}")
    return NodeAgent(
        Identity(config.node_name, address, config.endpoints, version(), resolv_conf, config.cgroup_root),
        paths=paths,
        boot_id=boot_id,
        report=lambda network, changed: NodeReport(
            facts,
            load,
            offer,
            runtime=runtime,
            data_dir=paths.data_dir,
            network=network,
            changed=changed,
            env=env,
        ),
        runtime=runtime,
        make_network=make_network,
        connect=connect,
        env=env,
        explain=explain,
        certificate=own,
    )


def network_config(config: AgentConfig, cluster: Cluster, address: str, resolv_conf: str) -> NetworkConfig:
    """What the network plugin is told, from the agent's configuration and the cluster's word."""
    return NetworkConfig(
        node_name=config.node_name,
        node_ip=address,
        pod_range=cluster.pod_range,
        service_range=cluster.service_range,
        cluster_domain=cluster.cluster_domain,
        state_dir=str(Path(config.data_dir) / "network"),
        run_dir=str(Path(config.run_dir) / "network"),
        dns_address=config.dns_address,
        upstream_resolv_conf=resolv_conf,
        link_prefix=config.link_prefix,
        mode=config.network_mode,
    )


async def _own_address(endpoints: tuple[str, ...]) -> str:
    """The source address of the route to the API; waits for the machine's network after a boot."""
    told = False
    while True:
        for endpoint in endpoints:
            try:
                return await asyncio.to_thread(machine.source_address, endpoint)
            except machine.NoRoute as error:
                if not told:
                    log.warning("node_address_unknown", error=str(error))
                    told = True
        await asyncio.sleep(ROUTE_RETRY_SECONDS)


if __name__ == "__main__":
    main()
