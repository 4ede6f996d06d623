"""Keeping the client configuration's replica addresses as the cluster has them now.

Imported by commands that ask for the cluster's status anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.connect import admin_socket, config_paths
from cli.verb import META_CONTEXT

if TYPE_CHECKING:  # loaded when needed
    from api.v1.apiserver_pb2 import ClusterStatusResponse


def remember_endpoints(status: ClusterStatusResponse) -> None:
    """Write the voters' addresses into the configuration in use, if they are other ones; say so when that fails."""
    from component import kubeconfig, kubeconfig_files  # noqa: PLC0415 - YAML is needed here only
    from component.kubeconfig_problem import KubeconfigProblem  # noqa: PLC0415 - as above

    context = click.get_current_context()
    if context.find_root().obj is not None or not status.endpoints or admin_socket():  # there is no configuration
        return
    paths = config_paths()
    endpoints = [each.address for each in status.endpoints]
    try:
        whole, label = kubeconfig_files.read(paths)
        name = kubeconfig.cluster_of(whole, label, str(context.meta.get(META_CONTEXT, "")))
        path = kubeconfig_files.holder(paths, "clusters", name)
        changed = kubeconfig.with_endpoints(kubeconfig.read(path), path, name, endpoints)
        if changed is not None:
            kubeconfig.write(changed, path)
            click.echo(f"{path}: replicas are now {', '.join(endpoints)}", err=True)
    except KubeconfigProblem as problem:
        click.echo(f"Warning: the new addresses were not remembered: {problem}", err=True)
