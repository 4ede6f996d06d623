"""The caches that the controllers and the scheduler share: one informer per kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api import scheme
from api.apiextensions import CustomResourceDefinition
from api.apps import Deployment, ReplicaSet
from api.core import ConfigMap, Namespace, Node, Pod, Service, ServiceAccount
from api.endpoints import Endpoints
from api.network import EndpointSlice
from api.rbac import ClusterRole
from api.scheme import DEFINITIONS, RBAC
from api.wellknown import ROOT_CERTIFICATE
from component.client import ApiClient
from component.env import Env
from component.informer import Informer, PartialObjectMetadata, owner_uids
from controlplane.controllers.endpointslice import service_index
from controlplane.controllers.ownership import controller_uid

NOT_CACHED = frozenset({"events"})  # own nothing, are owned by nothing, and there are many


class Caches:
    """One informer for every kind of this program but Events; kinds that only garbage collection looks at keep no bodies.

    Beside them one for the ConfigMaps that hold the API's certificate authority, whose bodies count.
    """

    def __init__(self, client: ApiClient, env: Env) -> None:
        owners = {"owners": owner_uids}
        controlled = {"owners": owner_uids, "controller": controller_uid}
        self.namespaces = Informer(client, "namespaces", Namespace, env, indexes=owners)
        self.nodes = Informer(client, "nodes", Node, env, indexes=owners)
        self.pods = Informer(client, "pods", Pod, env, indexes=controlled | {"node": node_index})
        self.services = Informer(client, "services", Service, env, indexes=owners)
        self.service_accounts = Informer(client, "serviceaccounts", ServiceAccount, env, indexes=owners)
        self.replica_sets = Informer(client, "replicasets.apps", ReplicaSet, env, indexes=controlled)
        self.deployments = Informer(client, "deployments.apps", Deployment, env, indexes=owners)
        self.slices = Informer(
            client, "endpointslices.discovery.k8s.io", EndpointSlice, env, indexes=owners | {"service": service_index}
        )
        self.endpoints = Informer(client, "endpoints", Endpoints, env, indexes=owners)
        self.root_certificates = Informer(
            client, "configmaps", ConfigMap, env, field_selector=f"metadata.name={ROOT_CERTIFICATE}"
        )
        self.cluster_roles = Informer(client, f"clusterroles.{RBAC}", ClusterRole, env, indexes=owners)
        self.definitions = Informer(client, DEFINITIONS, CustomResourceDefinition, env, indexes=owners)
        decoded: Sequence[Informer[Any]] = (
            *(self.namespaces, self.nodes, self.pods, self.services, self.service_accounts),
            *(self.replica_sets, self.deployments, self.slices, self.endpoints, self.cluster_roles, self.definitions),
        )
        by_resource = {informer.resource: informer for informer in decoded}
        for kind in scheme.KINDS:
            if kind.resource not in by_resource and kind.resource not in NOT_CACHED:
                by_resource[kind.resource] = Informer(
                    client, kind.resource, PartialObjectMetadata, env, indexes={"owners": owner_uids}
                )
        self.by_resource: Mapping[str, Informer[Any]] = by_resource


def node_index(cached: Any) -> list[str]:
    """Index: the node a pod is bound to."""
    node = cached.view.spec.node_name
    return [node] if node else []
