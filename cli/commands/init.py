"""`tim init`: the keys and configuration of a first cluster."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options
from cli.verb import Verb
from component import pki
from component.env import system_env
from component.files import write_private
from controlplane.bootstrap import plan_cluster
from controlplane.config import ServerConfig


@click.command(cls=Verb)
@click.option(
    "--replica", "replicas", multiple=True, required=True, metavar="ID=ADDRESS", help="One per replica: 1, 3 or 5."
)
@click.option("--self", "own", default="", metavar="ID", help="This machine's replica id (default: the first).")
@options.directory("Where the files go.")
@click.option("--pod-range", default="10.244.0.0/16", show_default=True, help="Addresses of pods.")
@click.option("--service-range", default="10.96.0.0/16", show_default=True, help="Virtual addresses of Services.")
def init(replicas: tuple[str, ...], own: str, directory: Path, pod_range: str, service_range: str) -> None:
    """Make the certificate authorities and every replica's files.

    This machine's files go to --dir, those of the other replicas to bundles/ID below it: copy each one to its
    machine's /etc/timonier, then start timonier-raft and timonier-api on all of them.
    """
    addresses = _addresses(replicas)
    own = own or next(iter(addresses))
    if own not in addresses:
        raise click.ClickException(f"--self {own}: no such replica; there are: {', '.join(addresses)}")
    if (directory / "server.yaml").exists():
        raise click.ClickException(f"{directory}/server.yaml exists: this machine belongs to a cluster already")
    env = system_env()
    try:
        template = ServerConfig(
            replica=own, cluster_uid=env.new_uid(), replicas=addresses, pod_range=pod_range, service_range=service_range
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    files = plan_cluster(template, env)
    for replica, contents in files.replicas.items():
        target = directory if replica == own else directory / "bundles" / replica
        for relative, content in contents.items():
            write_private(target / relative, content)
    write_private(directory / "admin.conf", files.admin_conf)
    others = ", ".join(replica for replica in addresses if replica != own)
    click.echo(f"replica {own}: files in {directory}")
    if others:
        click.echo(f"replicas {others}: copy {directory}/bundles/ID to /etc/timonier of each, then remove the bundles")
    click.echo("start it: systemctl enable --now timonier-raft timonier-api")
    click.echo(f"administrator: export TIMCONFIG={directory}/admin.conf")
    click.echo(f"CA hash: {pki.ca_hash(files.replicas[own]['pki/ca.crt'])}")


def _addresses(pairs: tuple[str, ...]) -> dict[str, str]:
    addresses = {}
    for pair in pairs:
        replica, separator, address = pair.partition("=")
        if not (separator and replica and address):
            raise click.ClickException(f"--replica {pair}: write it as ID=ADDRESS, for example r1=10.0.0.1")
        addresses[replica] = address
    return addresses
