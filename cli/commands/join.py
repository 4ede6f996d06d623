"""`tim join`: this machine becomes a node."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import click
import yaml

from api.errors import ApiError
from cli import options
from cli.verb import Verb
from component.env import system_env
from component.files import write_private
from component.join import join


@click.command(name="join", cls=Verb)
@click.argument("servers", nargs=-1, required=True, metavar="HOST[:PORT]...")
@click.option("--token", required=True, help="As `tim token create` printed it.")
@click.option("--ca-hash", required=True, help="sha256:... of the cluster's CA, printed with the token.")
@click.option("--name", default="", help="The node's name (default: this machine's host name).")
@click.option("--node-ip", default="", help="The node's address (default: the source of its route to the API).")
@click.option(
    "--replica", "as_replica", is_flag=True, help="Become a replica of the control plane (`tim replica add`)."
)
@click.option(
    "--renew",
    is_flag=True,
    help="Only get this node another certificate (`tim token create --renew`): its own has expired.",
)
@click.option("--address", default="", help="Where the other replicas reach this one (default: as for --node-ip).")
@options.directory("Where the files go.")
def join_command(
    servers: tuple[str, ...],
    token: str,
    ca_hash: str,
    name: str,
    node_ip: str,
    as_replica: bool,
    renew: bool,
    address: str,
    directory: Path,
) -> None:
    """Make this machine a node, or with --replica a replica, of the cluster that any of SERVERS belongs to.

    A node gets agent.yaml and its certificate below --dir; then start timonier-agent. A replica gets server.yaml, its
    certificates and the cluster's keys; then start timonier-raft and timonier-api.
    """
    addresses = [server if ":" in server else f"{server}:6443" for server in servers]
    if renew and (as_replica or node_ip or address):
        raise click.UsageError("--renew changes nothing but the certificate of a node: leave the other options out")
    if renew:
        from cli.node_renewal import renew_node  # noqa: PLC0415 - seldom needed

        renew_node(addresses, token, ca_hash, name, directory)
        return
    if as_replica:
        from cli.replica_files import join_as_replica  # noqa: PLC0415 - a node does not need it

        join_as_replica(servers, token, ca_hash, name, address, directory)
        return
    if (directory / "agent.yaml").exists():
        raise click.ClickException(
            f"{directory}/agent.yaml exists: this machine is a node already (`tim reset` undoes it)"
        )
    name = name or socket.gethostname().lower()
    try:
        joined = asyncio.run(join(addresses, token, ca_hash, name, system_env()))
    except ApiError as error:
        raise click.ClickException(f"{error.reason}: {error}") from error
    for relative, content in joined.files.items():
        write_private(directory / relative, content)
    settings = {
        "node_name": name,
        "endpoints": list(joined.endpoints),
        "ca_path": str(directory / "pki/ca.crt"),
        "cert_path": str(directory / "pki/node.crt"),
        "key_path": str(directory / "pki/node.key"),
        **({"node_ip": node_ip} if node_ip else {}),
    }
    write_private(directory / "agent.yaml", yaml.safe_dump(settings, sort_keys=False).encode())
    click.echo(f"node {name} joined; start it: systemctl enable --now timonier-agent")
