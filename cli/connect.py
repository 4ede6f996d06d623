"""From a command to the cluster: the client that a command gets, and errors as one line each.

Imported by every command, also for its `--help`: what is heavy (gRPC, YAML, asyncio) is loaded on the first call.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from api.errors import ApiError
from cli.mistakes import Misused
from cli.verb import META_CONFIG, META_CONTEXT, META_GROUPS, META_NAMESPACE, META_SOCKET, META_USER
from cli.visible import visible

if TYPE_CHECKING:  # only names of types: loading gRPC takes longer than all else together
    from component.handshake import Obstacle
    from component.kubeconfig import Credentials
    from component.rpc_client import RpcClient

OWN_SOCKET = Path("/run/timonier/admin.sock")

Answer = TypeVar("Answer")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a user can mend into one line on standard error and exit code 1, or 2 for a wrong command line."""
    from component.kubeconfig_problem import KubeconfigProblem  # noqa: PLC0415 - see the module's docstring

    try:
        yield
    except Misused as error:
        raise click.UsageError(" ".join(str(error).split()), click.get_current_context()) from error
    except ApiError as error:
        raise click.ClickException(_line(error)) from error
    except KubeconfigProblem as error:
        raise click.ClickException(" ".join(str(error).split())) from error


def config_paths() -> tuple[Path, ...]:
    """The files of the client configuration that the command line or the environment chooses, at least one."""
    from component.kubeconfig_files import chosen_paths  # noqa: PLC0415 - see the module's docstring

    chosen = click.get_current_context().meta.get(META_CONFIG, "")
    return (Path(chosen),) if chosen else chosen_paths(os.environ)


def admin_socket() -> str:
    """The admin socket to use, "" for the usual way: the one named, else, for root without configuration, this replica's.

    Who names a configuration, or a context of one, means it, whether it is there or not.
    """
    meta = click.get_current_context().meta
    if META_SOCKET in meta:
        return str(Path(str(meta[META_SOCKET])).absolute())
    chosen = meta.keys() & {META_CONTEXT, META_CONFIG} or os.environ.keys() & {"TIMCONFIG", "KUBECONFIG"}
    if chosen or os.geteuid() != 0 or not OWN_SOCKET.is_socket():
        return ""
    return "" if config_paths()[0].exists() else str(OWN_SOCKET)


def credentials() -> Credentials:
    """The context that the command line, the environment and the client configuration choose together."""
    from component import kubeconfig, kubeconfig_files  # noqa: PLC0415 - see the module's docstring

    tree, path = kubeconfig_files.read(config_paths())
    return kubeconfig.resolve(tree, path, click.get_current_context().meta.get(META_CONTEXT, ""))


def call(work: Callable[[RpcClient, str], Awaitable[Answer]]) -> Answer:
    """Run `work(client, default namespace)` to its end and return its answer; errors become one line.

    Tests put a client of their own into `ctx.obj`.
    """
    import asyncio  # noqa: PLC0415 - see the module's docstring

    context = click.get_current_context()
    given, chosen = context.find_root().obj, str(context.meta.get(META_NAMESPACE, ""))
    socket = "" if given is not None else admin_socket()
    found = None if given is not None or socket else _found()
    acting = acting_as(found)

    async def connected() -> Answer:
        if given is not None:
            return await work(given, chosen or "default")
        # Lines of gRPC's own would stand among ours; it reads this when it is loaded. Errors carry what matters.
        os.environ["GRPC_VERBOSITY"] = "DEBUG" if os.environ.get("TIM_DEBUG") else "NONE"
        from component.env import system_env  # noqa: PLC0415 - see the module's docstring
        from component.rpc import Tls  # noqa: PLC0415 - see the module's docstring
        from component.rpc_client import RpcClient  # noqa: PLC0415 - see the module's docstring
        from component.rpc_failover import Replicas  # noqa: PLC0415 - see the module's docstring

        connect = partial(Replicas, metadata=acting)
        if found is None:
            async with RpcClient([f"unix:{socket}"], None, system_env(), warn=warn, connect=connect) as client:
                return await work(client, chosen or "default")
        tls = Tls(found.ca_pem, found.cert_pem, found.key_pem)

        def explain(address: str) -> Awaitable[Obstacle | None]:
            from component.handshake import Handshake  # noqa: PLC0415 - only for what fails

            return Handshake(tls, str(found.path), system_env()).obstacle(address)

        async with RpcClient(found.endpoints, tls, system_env(), explain=explain, warn=warn, connect=connect) as client:
            return await work(client, chosen or found.namespace)

    with one_line_errors():
        try:
            return asyncio.run(connected())
        except BaseExceptionGroup as group:  # of a task group: the first failure is what happened
            raise _first(group) from group


def _found() -> Credentials:
    """As `credentials`, before anything runs: a program that is asked for them may take its time, and be interrupted."""
    with one_line_errors():
        return credentials()


def acting_as(found: Credentials | None) -> tuple[tuple[str, str], ...]:
    """The metadata of calls as whoever --as and --as-group name, else the configuration.

    A usage error for a group without a user.
    """
    context = click.get_current_context()
    user, groups = str(context.meta.get(META_USER, "")), context.meta.get(META_GROUPS, ())
    if groups and not user:
        raise click.UsageError("--as-group needs --as: groups are those of a user")
    if not user and found is not None:
        user, groups = found.acting_user, found.acting_groups
    return (*([("impersonate-user", user)] if user else ()), *(("impersonate-group", group) for group in groups))


def warn(text: str) -> None:
    """Print a warning of the API, in yellow on a terminal."""
    from cli import colour  # noqa: PLC0415 - seldom needed

    heading = "Warning:"
    if colour.wanted(terminal=sys.stderr.isatty(), environ=os.environ):
        heading = click.style(heading, fg="yellow")
    click.echo(f"{heading} {visible(text)}", err=True)


def fail_after(problems: Sequence[ApiError]) -> None:
    """Print each problem on a line of standard error and exit with code 1, if there are any."""
    for problem in problems:
        click.echo(f"Error: {_line(problem)}", err=True)
    if problems:
        raise click.exceptions.Exit(1)


def system_time() -> float:
    """Seconds since the epoch, for the ages in tables."""
    from component.env import system_env  # noqa: PLC0415 - see the module's docstring

    return system_env().now()


def _line(error: ApiError) -> str:
    return visible(f"{error.reason}: {' '.join(str(error).split())}")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
