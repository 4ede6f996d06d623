"""`tim replica`: who the control plane's replicas are, and changing that while the cluster runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import options
from cli.connect import call
from cli.endpoints import remember_endpoints
from cli.replica_rows import UNREACHABLE, role, sync_times
from cli.verb import VerbGroup

if TYPE_CHECKING:  # gRPC is loaded when the call is made
    from api.v1.apiserver_pb2 import ClusterStatusResponse, CreateJoinTokenResponse, ReplicaStatus
    from component.rpc_client import RpcClient

HEADINGS = (
    "REPLICA",
    "ROLE",
    "READY",
    "TERM",
    "COMMIT",
    "APPLIED",
    "LAG",
    "FSYNC P50/P99",
    "LEVEL",
    "VERSION",
    "ADDRESS",
)


@click.group(
    cls=VerbGroup,
    examples=(
        "tim replica list",
        "tim replica add --id r4       # prints the command for the new machine",
        "tim replica remove r2",
        "tim replica transfer --to r3",
    ),
)
def replica() -> None:
    """The replicas of the control plane: see, add, remove, and choose which one leads."""


@replica.command(name="list")
def list_command() -> None:
    """Show every replica: role, term, indexes, lag, fsync time, level and version."""

    async def work(client: RpcClient, _namespace: str) -> ClusterStatusResponse:
        return await client.cluster_status()

    answer = call(work)
    remember_endpoints(answer)
    rows = [HEADINGS, *(_row(each) for each in answer.replicas)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo(f"cluster {answer.cluster_uid}: level {answer.level}, incarnation {answer.incarnation}")


def _row(status: ReplicaStatus) -> tuple[str, ...]:
    if status.role == UNREACHABLE:
        return (status.id, status.role, "no", "", "", "", "", "", "", "", status.address)  # its lag is not known
    return (
        status.id,
        role(status),
        "yes" if status.ready else "no",
        str(status.term),
        str(status.commit_index),
        str(status.applied_index),
        str(status.lag_entries),
        sync_times(status),
        str(status.level),
        status.version,
        status.address,
    )


@replica.command()
@click.option("--id", "name", default="", metavar="ID", help="Only a replica of this id may use the token.")
@click.option("--minutes", type=click.IntRange(1, 1440), default=15, show_default=True, help="How long it can be used.")
def add(name: str, minutes: int) -> None:
    """Make a token that works once, and print the command that makes a machine a replica.

    The token gives its holder the keys of the cluster: hand it over as you would a password. The new replica votes once
    it has caught up; replace a dead one by removing it first.
    """

    async def work(client: RpcClient, _namespace: str) -> tuple[ClusterStatusResponse, CreateJoinTokenResponse]:
        status = await client.cluster_status()
        return status, await client.create_join_token(role="replica", name=name, ttl_seconds=minutes * 60)

    status, made = call(work)
    servers = " ".join(each.address.rsplit(":", 1)[0] for each in status.endpoints)
    chosen = f" --name {name}" if name else ""
    click.echo(f"tim join {servers} --replica --token {made.token} --ca-hash {made.ca_hash}{chosen}")
    for line in warnings_of_growth(status):
        click.echo(line, err=True)


def warnings_of_growth(status: ClusterStatusResponse) -> list[str]:
    """What one more voter means for availability; nothing for the step to an odd number."""
    count = sum(each.voter for each in status.replicas) + 1
    found = []
    if count == 2:
        found.append(
            "Warning: with 2 voting replicas both must be up: less available than one, until a third has joined"
        )
    elif count % 2 == 0:
        found.append(f"Warning: {count} voting replicas survive the loss of no more than {count - 1} do: add one more")
    away = [each.id for each in status.replicas if each.role == UNREACHABLE]
    if away:
        found.append(
            f"Warning: {', '.join(away)} cannot be reached; one that will not come back: tim replica remove ID"
        )
    return found


@replica.command()
@click.argument("name", metavar="ID")
def remove(name: str) -> None:
    """Take replica ID out of the cluster; a leading one hands leadership over first.

    Afterwards `tim reset` its machine. What is left of it is never let in again.
    """

    async def work(client: RpcClient, _namespace: str) -> ClusterStatusResponse:
        await client.remove_replica(name)
        return await client.cluster_status()

    status = call(work)
    remember_endpoints(status)
    voters = [each.id for each in status.replicas if each.voter]
    click.echo(f"replica {name} removed; {len(voters)} left: {', '.join(voters)}")


@replica.command()
@options.directory("Where this replica's server.yaml lies.")
@click.option("--data-dir", default="", help="Where its data lies (default: as server.yaml says).")
@click.option("--yes", is_flag=True, help="Do it; without, only say what would be kept and lost.")
def recover(directory: Path, data_dir: str, yes: bool) -> None:
    """After most replicas are lost for good: go on from this one's data alone.

    Run it on the stopped replica with the highest last entry. Writes that only the others had are lost. Revisions go
    on at this machine's clock, so that none of the lost ones is ever used again: see that it is right. The others must
    stay off, be reset and join anew.
    """
    from cli.recovering import recover_replica  # noqa: PLC0415 - needs the control plane's code

    recover_replica(directory, data_dir, yes=yes)


@replica.command()
@click.option("--to", default="", metavar="ID", help="Which replica shall lead (default: the best one).")
def transfer(to: str) -> None:
    """Let another replica lead, without a pause in writing worth mentioning."""

    async def work(client: RpcClient, _namespace: str) -> str:
        return await client.transfer_leadership(to)

    click.echo(f"replica {call(work)} leads")
