"""`tim lab freeze|thaw|partition|disk|heal`: faults that a cluster must survive, and their end."""

from __future__ import annotations

from collections.abc import Callable

import click

from cli.labs import lab_errors, name_option
from cli.verb import Verb
from lab import cluster, disks, faults, freezing, partitions
from lab.layout import Host, Lab, LabProblem


def _hosts(lab: Lab, words: str) -> list[Host]:
    return [lab.host(name) for name in words.split(",")]


def _on_host(verb: str, done: str, act: Callable[[Host, str], None], text: str) -> click.Command:
    """A command that does `act` to a host or to one process of it, and says `done`."""

    @click.command(verb, cls=Verb, help=text)
    @name_option
    @click.argument("host")
    @click.option("--process", default="", help="Only this one (raft, api, podman, agent).")
    def command(name: str, host: str, process: str) -> None:
        with lab_errors():
            act(cluster.load(name).host(host), process)
        click.echo(f"{done} {host} {process}".rstrip())

    return command


freeze = _on_host(
    "freeze",
    "froze",
    freezing.freeze,
    "Stop HOST as a paused machine: nothing of it runs, its connections stay open.",
)
thaw = _on_host("thaw", "thawed", freezing.thaw, "Let a frozen HOST go on.")


@click.command(cls=Verb)
@name_option
@click.argument("ones", metavar="A[,A]")
@click.argument("others", metavar="B[,B]")
@click.option("--one-way", is_flag=True, help="Only what A sends to B is lost.")
def partition(name: str, ones: str, others: str, one_way: bool) -> None:
    """Let hosts A and B not reach each other, silently, until `tim lab heal`."""
    with lab_errors():
        made = cluster.load(name)
        these, those = _hosts(made, ones), _hosts(made, others)
        if both := {host.name for host in these} & {host.name for host in those}:
            raise LabProblem(f"host {min(both)} stands on both sides: a host cannot be cut from itself")
        partitions.partition(made, these, those, one_way=one_way)
    click.echo(f"nothing from {ones} reaches {others}" if one_way else f"partitioned {ones} and {others}")


@click.command(cls=Verb)
@name_option
@click.argument("host")
@click.argument("state", type=click.Choice(["slow", "full", "normal"]))
@click.option(
    "--writes-per-second",
    type=click.IntRange(min=1),
    default=disks.SLOW_WRITES_PER_SECOND,
    show_default=True,
    help="How slow: an fdatasync needs one to three of them.",
)
def disk(name: str, host: str, state: str, writes_per_second: int) -> None:
    """Make the disk below HOST's data slow, full, or normal again. Full needs a lab made with --disks."""
    with lab_errors():
        chosen = cluster.load(name).host(host)
        match state:
            case "slow":
                disks.slow(chosen, writes_per_second)
            case "full":
                disks.full(chosen)
            case _:
                disks.normal(chosen)
    click.echo(f"disk of {host} is {state}")


@click.command(cls=Verb)
@name_option
@click.argument("hosts", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Also thaw, plug in, and mend disks.")
def heal(name: str, hosts: tuple[str, ...], everything: bool) -> None:
    """End the partitions of HOSTS, or of all hosts."""
    with lab_errors():
        made = cluster.load(name)
        chosen = tuple(made.host(host) for host in hosts) or made.hosts
        faults.heal(made, chosen, everything=everything)
        left = faults.in_force(made)
    click.echo("healed" + "".join(f"\nstill: {line}" for line in left))


COMMANDS = (freeze, thaw, partition, disk, heal)
