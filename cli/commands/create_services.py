"""`tim create service`: one command for each type."""

from __future__ import annotations

import click

from cli import service_generators
from cli.creating import generator
from cli.verb import VerbGroup

_TCP = click.option(
    "--tcp",
    multiple=True,
    metavar="PORT[:TARGET]",
    help="A port of the service, and the pods' port (number or name) if it is another one. May be repeated.",
)


@click.group("service", cls=VerbGroup, examples=("tim create service clusterip web --tcp 80:8080",))
def create_service() -> None:
    """Create a Service in front of the pods with the label app=NAME."""


for _command in (
    generator(
        "clusterip",
        service_generators.cluster_ip_service,
        "Create a Service with an address inside the cluster.",
        _TCP,
        click.option(
            *("--clusterip", "cluster_ip"), default="", metavar="IP|None", help="This address; None: headless."
        ),
        examples=("tim create service clusterip web --tcp 80:8080", "tim create service clusterip db --clusterip None"),
    ),
    generator(
        "nodeport",
        service_generators.node_port_service,
        "Create a Service that each node offers on a port of its own.",
        _TCP,
        click.option("--node-port", type=click.IntRange(1, 65535), default=None, help="This port of the nodes."),
    ),
    generator(
        "loadbalancer",
        service_generators.load_balancer_service,
        "Create a Service with an address outside the cluster.",
        _TCP,
    ),
    generator(
        "externalname",
        service_generators.external_name_service,
        "Create a Service that is another name for a host elsewhere.",
        click.option("--external-name", required=True, metavar="HOST", help="The host's name in the DNS."),
        _TCP,
    ),
):
    create_service.add_command(_command)
