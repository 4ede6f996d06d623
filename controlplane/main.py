"""`tim-server`: the two processes of a replica, `tim-server raft` and `tim-server api`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
import structlog

from component import config as configuration
from component import pki
from component.core_dumps import forbid_core_dumps
from component.env import system_env
from component.log import configure
from component.stacks import tell_stacks_when_asked
from component.version import version
from controlplane.config import ServerConfig
from controlplane.raft_settings import raft_config

log = structlog.get_logger()


@click.group()
@click.version_option(version(), prog_name="tim-server")
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("/etc/timonier/server.yaml"),
    show_default=True,
)
@click.option("--log-level", default=None, help="debug, info, warning or error.")
@click.option("--log-format", type=click.Choice(["auto", "json", "console"]), default=None)
@click.pass_context
def main(ctx: click.Context, path: Path, log_level: str | None, log_format: str | None) -> None:
    """One control-plane replica: start both processes, they find each other."""
    os.umask(0o077)  # logs and snapshots hold Secrets: whatever this process makes is for its owner only
    flags: dict[str, Any] = {"log_level": log_level, "log_format": log_format}
    try:
        ctx.obj = configuration.load(ServerConfig, path, os.environ, prefix="TIM_SERVER", flags=flags)
    except configuration.ConfigProblem as problem:
        raise click.ClickException(str(problem)) from problem


@main.command()
@click.pass_obj
def raft(config: ServerConfig) -> None:
    """The replicated log: elections, peers, disk."""
    from controlplane.raft.main import run  # noqa: PLC0415 - the other process must not load pysyncobj

    configure("raft", level=config.log_level, log_format=config.log_format)
    forbid_core_dumps()
    structlog.contextvars.bind_contextvars(replica=config.replica)
    Path(config.run_dir).mkdir(parents=True, exist_ok=True)
    sys.exit(run(raft_config(config)))


@main.command()
@click.pass_obj
def api(config: ServerConfig) -> None:
    """The API: requests, state, watches, node sessions; scheduler and controllers on the leader."""
    import uvloop  # noqa: PLC0415 - the Raft process needs neither

    from controlplane.replica import EXPLAINED  # noqa: PLC0415 - as above
    from controlplane.server import Server  # noqa: PLC0415 - as above

    configure("api", level=config.log_level, log_format=config.log_format)
    forbid_core_dumps()
    structlog.contextvars.bind_contextvars(replica=config.replica)
    Path(config.data_dir, "snapshots").mkdir(parents=True, exist_ok=True)

    async def serve() -> None:
        try:
            server = Server(config, system_env(), version())
        except ValueError as error:  # ranges that do not parse, or have no room
            raise configuration.ConfigProblem(str(error)) from error
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.stop)
        loop.add_signal_handler(signal.SIGHUP, server.reload)
        tell_stacks_when_asked()
        await server.run()

    try:
        uvloop.run(serve())
    except (OSError, configuration.ConfigProblem, pki.CertificateProblem) as error:
        log.critical("api_not_started", reason=str(error))
        sys.exit(1)
    except EXPLAINED as error:
        log.critical("api_failed", reason=str(error))
        sys.exit(1)
    except Exception:
        log.critical("api_failed", exc_info=True)
        sys.exit(70)


if __name__ == "__main__":
    main()
