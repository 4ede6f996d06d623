"""Validation: everything that is wrong with the values of an object, each by its path.

Expects trees that `api.strict.check` accepts and `api.defaults.default` has completed. Pure; looks at one object and what
it was before, never at other objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from api import (
    schema_trees,
    validate_cluster,
    validate_config,
    validate_definition,
    validate_endpoints,
    validate_policy,
    validate_rbac,
    validate_service,
    validate_webhooks,
    validate_workload,
)
from api.errors import FieldError
from api.faults import forbidden
from api.honoured import refusals
from api.names import Fault, dns_1035_label_fault, dns_label_fault, dns_subdomain_fault, path_segment_fault
from api.object import Tree
from api.scheme import ADMISSION, DEFINITIONS, RBAC, Kind, decode
from api.validate_meta import metadata_faults
from api.validate_pod import pod_change_faults, pod_faults

_NAME_FAULTS: dict[str, Fault] = {
    "namespaces": dns_label_fault,
    "services": dns_1035_label_fault,
    **{f"{plural}.{RBAC}": path_segment_fault for plural in validate_rbac.PLURALS},
}


def validate(kind: Kind, tree: Tree, old: Tree | None) -> list[FieldError]:
    """Return every fault of an object; `old` is what it was before, None for a new one.

    Covers values, immutable fields and fields that are not honoured yet.
    """
    view = decode(kind, tree)
    old_view = decode(kind, old) if old is not None else None
    name_fault = _NAME_FAULTS.get(kind.resource, dns_subdomain_fault)
    old_metadata = old_view.metadata if old_view is not None else None
    faults = list(metadata_faults(view.metadata, old_metadata, namespaced=kind.namespaced, name_fault=name_fault))
    if kind.custom is not None:
        return [*faults, *schema_trees.faults(kind.custom.schema, tree, old)]
    if rule := _RULES.get(kind.resource):
        faults += rule(view, old_view, tree, old)
    faults += refusals(kind, tree)
    return faults


def _pod(view: Any, _old_view: Any, tree: Tree, old: Tree | None) -> Iterator[FieldError]:
    yield from pod_faults(view)
    if old is None and view.spec.ephemeral_containers:
        yield forbidden("spec.ephemeralContainers", "cannot be set on create")
    if old is not None:
        yield from pod_change_faults(tree.get("spec", {}), old.get("spec", {}))


_RULES: dict[str, Callable[[Any, Any, Tree, Tree | None], Iterator[FieldError]]] = {
    "pods": _pod,
    "replicasets.apps": lambda view, _, tree, old: validate_workload.replica_set_faults(view, tree, old),
    "deployments.apps": lambda view, _, tree, old: validate_workload.deployment_faults(view, tree, old),
    "services": lambda view, old_view, *_: validate_service.service_faults(view, old_view),
    "endpoints": lambda view, old, *_: validate_endpoints.endpoints_faults(view, old),
    "endpointslices.discovery.k8s.io": lambda view, old, *_: validate_service.endpoint_slice_faults(view, old),
    "configmaps": lambda view, old_view, *_: validate_config.config_map_faults(view, old_view),
    "secrets": lambda view, old_view, *_: validate_config.secret_faults(view, old_view),
    "limitranges": lambda view, *_: validate_policy.limit_range_faults(view),
    "resourcequotas": lambda view, old_view, *_: validate_policy.resource_quota_faults(view, old_view),
    "priorityclasses.scheduling.k8s.io": lambda view, old, *_: validate_policy.priority_class_faults(view, old),
    "nodes": lambda view, old_view, *_: validate_cluster.node_faults(view, old_view),
    "namespaces": lambda view, *_: validate_cluster.namespace_faults(view),
    "leases.coordination.k8s.io": lambda view, *_: validate_cluster.lease_faults(view),
    "events": lambda view, *_: validate_cluster.event_faults(view),
    DEFINITIONS: lambda view, _, tree, old: validate_definition.definition_faults(view, tree, old),
    f"roles.{RBAC}": lambda view, *_: validate_rbac.role_faults(view),
    f"clusterroles.{RBAC}": lambda view, *_: validate_rbac.cluster_role_faults(view),
    f"rolebindings.{RBAC}": lambda view, old_view, *_: validate_rbac.role_binding_faults(view, old_view),
    f"clusterrolebindings.{RBAC}": lambda view, old_view, *_: validate_rbac.role_binding_faults(view, old_view),
    f"mutatingwebhookconfigurations.{ADMISSION}": lambda view, *_: validate_webhooks.configuration_faults(view),
    f"validatingwebhookconfigurations.{ADMISSION}": lambda view, *_: validate_webhooks.configuration_faults(view),
}
