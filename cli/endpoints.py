"""Keeping the client configuration's replica addresses as the cluster has them now.

Imported by commands that ask for the cluster's status anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.connect import admin_socket, config_path
from cli.verb import META_CONTEXT

if TYPE_CHECKING:  # loaded when needed
    from api.v1.apiserver_pb2 import ClusterStatusResponse


def remember_endpoints(status: ClusterStatusResponse) -> None:
    """Write the voters' addresses into the configuration in use, if they are other ones; say so when that fails."""
    from component import kubeconfig  # noqa: PLC0415 - YAML is needed here only

    context = click.get_current_context()
    if context.find_root().obj is not None or not status.endpoints or admin_socket():  # there is no configuration
        return
    path = config_path()
    endpoints = [each.address for each in status.endpoints]
    try:
        tree = kubeconfig.read(path)
        changed = kubeconfig.with_endpoints(tree, path, str(context.meta.get(META_CONTEXT, "")), endpoints)
        if changed is not None:
            kubeconfig.write(changed, path)
            click.echo(f"{path}: replicas are now {', '.join(endpoints)}", err=True)
    except kubeconfig.KubeconfigProblem as problem:
        click.echo(f"Warning: the new addresses were not remembered: {problem}", err=True)
