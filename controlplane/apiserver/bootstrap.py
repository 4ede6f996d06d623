"""What every cluster has from the start; made by whoever leads first and made again if somebody removes it."""

from __future__ import annotations

import contextlib

from api.errors import AlreadyExists
from api.object import Tree
from component.client import ApiClient
from controlplane.admission.namespace_lifecycle import PROTECTED
from controlplane.bootstrap import api_service_address


async def bootstrap(client: ApiClient, service_range: str, https_port: int) -> None:
    """Create the system's namespaces and the Service default/kubernetes unless they are there. Repeat at every start.

    The service has the first address of the service range and no selector: a controller keeps its endpoints.
    """
    for name in sorted(PROTECTED):
        await _ensure(client, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    await _ensure(client, _kubernetes_service(service_range, https_port))


async def _ensure(client: ApiClient, tree: Tree) -> None:
    with contextlib.suppress(AlreadyExists):
        await client.create(tree)


def _kubernetes_service(service_range: str, https_port: int) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": api_service_address(service_range),
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": https_port}],
        },
    }
