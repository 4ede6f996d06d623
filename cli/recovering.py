"""Recovery from the loss of the quorum, on a stopped replica: what `tim replica recover` says and does."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from component import config as configuration
from component.env import system_env
from controlplane.commands import UnknownCommandVersion
from controlplane.config import ServerConfig
from controlplane.level import TooNew
from controlplane.raft.log import LogFailure
from controlplane.raft.membership import ChangeRefused
from controlplane.recovery import Remains, look, recover
from controlplane.store.snapshot import CorruptSnapshot

PROBLEMS = (
    configuration.ConfigProblem,
    LogFailure,
    CorruptSnapshot,
    ChangeRefused,
    TooNew,
    UnknownCommandVersion,
)


def recover_replica(directory: Path, data_dir: str, *, yes: bool) -> None:
    """Say what would be kept and lost; with `yes` do it. ClickException for whatever is in the way."""
    try:
        config = configuration.load(ServerConfig, directory / "server.yaml", os.environ, prefix="TIM_SERVER")
        if data_dir:
            config = msgspec.structs.replace(config, data_dir=data_dir)
        if not (Path(config.data_dir) / "raft" / "log").is_dir():
            raise click.ClickException(f"{config.data_dir} holds no replica's log: name its folder with --data-dir")
        remains = look(config)
        for line in account(config.replica, remains):
            click.echo(line)
        if not yes:
            raise click.ClickException("nothing was changed; do it with --yes")
        recover(config, system_env())
    except PROBLEMS as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(f"replica {config.replica} is the only member now, incarnation {remains.incarnation + 1}: start it")
    if remains.others:
        click.echo(f"then reset {', '.join(remains.others)} and let them join: tim replica add")


def account(replica: str, remains: Remains) -> list[str]:
    """What is there, what is lost, what is doubtful."""
    others = ", ".join(remains.others) or "none"
    return [
        (
            f"replica {replica} holds the log up to index {remains.index} (term {remains.term}), "
            f"revision {remains.revision}, {remains.objects} objects; its last command is of {remains.time}"
        ),
        f"lost: whatever was acknowledged later with the votes of {others} and did not reach this replica's disk",
        (
            f"kept although perhaps never acknowledged: entries after index {remains.snapshot_index}, the last snapshot, "
            "that the others did not have"
        ),
        "revisions go on at this machine's clock, in microseconds: every watch and list in progress starts anew",
        f"the others ({others}) must stay off until they are reset: one that meets this replica ends itself",
    ]
