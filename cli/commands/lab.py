"""`tim lab`: a whole cluster on this machine."""

from __future__ import annotations

import json
import os

import click

from cli import options
from cli.commands import lab_faults
from cli.labs import lab_errors, name_option
from cli.verb import VerbGroup
from component.env import system_env
from lab import cluster, faults, machine, network, replicas
from lab.images import load_image

DISK_MEBIBYTES = 512


@click.group(
    cls=VerbGroup,
    examples=(
        "tim lab up --name demo",
        "tim lab exec n1 --name demo -- ip route",
        "tim lab kill r1 --name demo",
        "tim lab partition r1 r2,r3 --name demo",
        "tim lab down --name demo",
    ),
)
def lab() -> None:
    """A whole cluster on this machine: every host a network namespace with real processes and containers in it."""


@lab.command()
@name_option
@click.option("--replicas", type=int, default=3, show_default=True, help="Control-plane hosts: 1, 3 or 5.")
@click.option("--nodes", type=int, default=3, show_default=True, help="Hosts that run pods.")
@click.option("--no-egress", is_flag=True, help="Hosts and pods reach nothing outside the lab.")
@click.option("--disks", is_flag=True, help=f"Each replica has a disk of {DISK_MEBIBYTES} MiB, which can be filled.")
def up(name: str, replicas: int, nodes: int, no_egress: bool, disks: bool) -> None:
    """Make a lab and wait until it is ready."""
    with lab_errors():
        size = DISK_MEBIBYTES if disks else 0
        made = cluster.up(name, replicas, nodes, system_env(), click.echo, egress=not no_egress, disk_mebibytes=size)
    click.echo(f"lab {name} is up: export TIMCONFIG={made.admin_conf}")


@lab.command()
@name_option
@click.option("-o", "--output", type=options.Output(("table", "json")), default="table", help="As a table or as data.")
def status(name: str, output: str) -> None:
    """Show the lab's hosts, their processes, and the faults in force."""
    with lab_errors():
        made = cluster.load(name)
        rows, broken = cluster.status(made), faults.in_force(made)
    if output == "json":
        click.echo(json.dumps({"hosts": rows, "faults": broken}, indent=2))
        return
    click.echo(f"{'HOST':<8}{'ROLE':<10}{'ADDRESS':<16}PROCESSES")
    for row in rows:
        listed = [f"{each}({state['pid'] or 'stopped'})" for each, state in row.get("processes", {}).items()]
        listed += ["frozen"] if row.get("frozen") else []
        click.echo(f"{row['host']:<8}{row['role']:<10}{row['address']:<16}{' '.join(listed) or 'down'}")
    for line in broken:
        click.echo(f"fault: {line}")


@lab.command(name="exec", context_settings={"ignore_unknown_options": True})
@name_option
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_command(name: str, host: str, command: tuple[str, ...]) -> None:
    """Run COMMAND inside HOST: tim lab exec n1 -- ip route."""
    with lab_errors():
        line = machine.enter(cluster.load(name).host(host), command)
    os.execvp(line[0], line)  # noqa: S606 - the user asked for exactly this


@lab.command()
@name_option
@click.argument("host")
@click.option("--process", default="", help="Kill only this one (raft, api, podman, agent); it is restarted at once.")
def kill(name: str, host: str, process: str) -> None:
    """Power HOST off at once, as if its plug was pulled."""
    with lab_errors():
        made = cluster.load(name)
        if process:
            cluster.kill_process(made.host(host), process)
        else:
            cluster.kill_host(made, made.host(host))
    click.echo(f"killed {host} {process}".rstrip())


@lab.command()
@name_option
@click.argument("host")
def start(name: str, host: str) -> None:
    """Power HOST on again."""
    with lab_errors():
        made = cluster.load(name)
        cluster.start_host(made, made.host(host))
    click.echo(f"started {host}")


@lab.command()
@name_option
@click.argument("host")
@click.argument("state", type=click.Choice(["up", "down"]))
def link(name: str, host: str, state: str) -> None:
    """Plug HOST's network cable in (up) or pull it (down)."""
    with lab_errors():
        made = cluster.load(name)
        network.cut_link(made, made.host(host), up=state == "up")
    click.echo(f"link of {host} is {state}")


@lab.command(name="add-replica")
@name_option
def add_replica(name: str) -> None:
    """Make one more control-plane host and let it join the lab's cluster."""
    with lab_errors():
        host = replicas.add_replica(cluster.load(name), system_env(), click.echo)
    click.echo(f"added {host.name} at {host.address}: tim replica list")


@lab.command(name="load-image")
@name_option
@click.argument("image")
def load(name: str, image: str) -> None:
    """Give IMAGE, from this machine's Podman, to all hosts of the lab."""
    with lab_errors():
        load_image(image, cluster.image_store(cluster.load(name)))
    click.echo(f"loaded {image}")


@lab.command()
@name_option
@click.option("--all", "everything", is_flag=True, help="Every lab, also what a crash left behind.")
def down(name: str, everything: bool) -> None:
    """Remove the lab and all its traces."""
    with lab_errors():
        for each in cluster.names() if everything else [name]:
            cluster.down(each, tell=click.echo)


for command in lab_faults.COMMANDS:
    lab.add_command(command)
