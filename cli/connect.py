"""From a command to the cluster: the client that a command gets, and errors as one line each."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import click

from api.errors import ApiError
from component import kubeconfig
from component.env import system_env
from component.rpc import Tls
from component.rpc_client import RpcClient

Answer = TypeVar("Answer")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a user can mend into one line on standard error and exit code 1."""
    try:
        yield
    except (ApiError, kubeconfig.KubeconfigProblem) as error:
        kind = f"{error.reason}: " if isinstance(error, ApiError) else ""
        raise click.ClickException(f"{kind}{' '.join(str(error).split())}") from error


def credentials() -> kubeconfig.Credentials:
    """The context that the command line, the environment and the client configuration choose together."""
    meta = click.get_current_context().meta
    chosen = meta.get("timonier.config", "")
    path = Path(chosen) if chosen else kubeconfig.default_path(os.environ)
    return kubeconfig.resolve(kubeconfig.read(path), path, meta.get("timonier.context", ""))


def call(work: Callable[[RpcClient, str], Awaitable[Answer]]) -> Answer:
    """Run `work(client, default namespace)` to its end and return its answer; errors become one line.

    Tests put a client of their own into `ctx.obj`.
    """
    given = click.get_current_context().find_root().obj

    async def connected() -> Answer:
        if given is not None:
            return await work(given, "default")
        found = credentials()
        tls = Tls(found.ca_pem, found.cert_pem, found.key_pem)
        async with RpcClient(found.endpoints, tls, system_env()) as client:
            return await work(client, found.namespace)

    with one_line_errors():
        try:
            return asyncio.run(connected())
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None


def fail_after(problems: Sequence[ApiError]) -> None:
    """Print each problem on a line of standard error and exit with code 1, if there are any."""
    for problem in problems:
        click.echo(f"Error: {problem.reason}: {' '.join(str(problem).split())}", err=True)
    if problems:
        raise click.exceptions.Exit(1)


def system_time() -> float:
    """Seconds since the epoch, for the ages in tables."""
    return system_env().now()
