"""What every cluster has from the start; made by whoever leads first and made again if somebody removes it."""

from __future__ import annotations

import ipaddress

from api.errors import AlreadyExists
from api.object import Tree
from controlplane.admission.namespace_lifecycle import PROTECTED
from controlplane.admission.request import MASTERS_GROUP, Identity
from controlplane.apiserver.core import ApiCore

SYSTEM = Identity("system:apiserver", (MASTERS_GROUP,))


async def bootstrap(core: ApiCore, service_range: str, https_port: int, epoch: int = 0) -> None:
    """Create the system's namespaces and the Service default/kubernetes unless they are there. Repeat at every start.

    The service has the first address of the service range and no selector: a controller keeps its endpoints.
    """
    for name in sorted(PROTECTED):
        await _ensure(core, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, epoch)
    await _ensure(core, _kubernetes_service(service_range, https_port), epoch)


async def _ensure(core: ApiCore, tree: Tree, epoch: int) -> None:
    try:
        await core.create(SYSTEM, tree, epoch=epoch)
    except AlreadyExists:
        return


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
            "clusterIP": str(ipaddress.ip_network(service_range)[1]),
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": https_port}],
        },
    }
