"""The columns of every kind in tables, as Kubernetes has them: for `tim get`, and for clients that ask the server for tables.

Pure: how a cell is filled stands in `api.cells`, how a table travels in `api.table`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from api import cells, pod_cells
from api.cells import Cell, age, last_seen, path
from api.object import at


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, and how a tree fills it.

    `wide` ones only show with -o wide. Those that say next to nothing here are `foreign`: only tables for Kubernetes' clients
    have them. The text of an "integer" cell is a number; an empty cell of a column that is `nullable` is no value. `text` says
    what the column is.
    """

    name: str
    cell: Cell
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    wide: bool = False
    foreign: bool = False
    nullable: bool = False
    text: str = ""

    @property
    def heading(self) -> str:
        """The name as it stands above a printed column."""
        return self.name.upper()


NAME = Column("Name", path("metadata.name"))
AGE = Column("Age", lambda tree, now: age(at(tree, "metadata.creationTimestamp"), now))
SELECTOR = Column("Selector", cells.selector, wide=True)
TEMPLATE = (
    Column("Containers", cells.template("name"), wide=True),
    Column("Images", cells.template("image"), wide=True),
    SELECTOR,
)
CREATED = Column("Created At", path("metadata.creationTimestamp"))
WEBHOOKS = (NAME, Column("Webhooks", cells.count("webhooks"), "integer"), AGE)
BINDING = (
    NAME,
    Column("Role", cells.role),
    AGE,
    Column("Users", cells.subjects("User"), wide=True),
    Column("Groups", cells.subjects("Group"), wide=True),
    Column("ServiceAccounts", cells.subjects("ServiceAccount"), wide=True),
)

COLUMNS: Mapping[str, Sequence[Column]] = {
    "pods": (
        NAME,
        Column("Ready", pod_cells.pod_ready),
        Column("Status", lambda tree, _now: pod_cells.pod_status(tree)),
        Column("Restarts", pod_cells.pod_restarts),
        AGE,
        Column("IP", path("status.podIP"), wide=True),
        Column("Node", path("spec.nodeName"), wide=True),
        Column("Nominated Node", path("status.nominatedNodeName"), wide=True, foreign=True),
        Column("Readiness Gates", cells.pod_gates, wide=True, foreign=True),
    ),
    "nodes": (
        NAME,
        Column("Status", cells.node_status),
        Column("Roles", cells.node_roles),
        AGE,
        Column("Version", path("status.nodeInfo.kubeletVersion")),
        Column("Internal-IP", cells.node_address("InternalIP"), wide=True),
        Column("External-IP", cells.node_address("ExternalIP"), wide=True, foreign=True),
        Column("OS-Image", path("status.nodeInfo.osImage"), wide=True),
        Column("Kernel-Version", path("status.nodeInfo.kernelVersion"), wide=True),
        Column("Container-Runtime", path("status.nodeInfo.containerRuntimeVersion"), wide=True),
    ),
    "deployments.apps": (
        NAME,
        Column("Ready", lambda d, _now: f"{at(d, 'status.readyReplicas', 0)}/{at(d, 'spec.replicas', 0)}"),
        Column("Up-to-date", path("status.updatedReplicas", "0"), "integer"),
        Column("Available", path("status.availableReplicas", "0"), "integer"),
        AGE,
        *TEMPLATE,
    ),
    "replicasets.apps": (
        NAME,
        Column("Desired", path("spec.replicas", "0"), "integer"),
        Column("Current", path("status.replicas", "0"), "integer"),
        Column("Ready", path("status.readyReplicas", "0"), "integer"),
        AGE,
        *TEMPLATE,
    ),
    "services": (
        NAME,
        Column("Type", path("spec.type")),
        Column("Cluster-IP", path("spec.clusterIP")),
        Column("External-IP", cells.joined("spec.externalIPs")),
        Column("Port(s)", cells.service_ports),
        AGE,
        SELECTOR,
    ),
    "endpoints": (NAME, Column("Endpoints", cells.endpoints), AGE),
    "endpointslices.discovery.k8s.io": (
        NAME,
        Column("AddressType", path("addressType")),
        Column("Ports", cells.slice_ports),
        Column("Endpoints", cells.slice_endpoints),
        AGE,
    ),
    "configmaps": (NAME, Column("Data", cells.count("data", "binaryData"), "integer"), AGE),
    "secrets": (NAME, Column("Type", path("type")), Column("Data", cells.count("data"), "integer"), AGE),
    "serviceaccounts": (NAME, Column("Secrets", cells.count("secrets"), "integer", foreign=True), AGE),
    "namespaces": (NAME, Column("Status", path("status.phase")), AGE),
    "events": (
        Column("Last Seen", lambda e, now: age(last_seen(e), now)),
        Column("Type", path("type")),
        Column("Reason", path("reason")),
        Column("Object", cells.event_object),
        Column("Subobject", path("involvedObject.fieldPath", ""), wide=True, foreign=True),
        Column("Source", cells.event_source, wide=True, foreign=True),
        Column("Message", lambda e, _now: " ".join(str(e.get("message", "")).split())),
        Column("First Seen", lambda e, now: age(_first_seen(e), now), wide=True, foreign=True),
        Column("Count", cells.event_count, "integer", wide=True, foreign=True),
        Column("Name", path("metadata.name"), wide=True, foreign=True),
    ),
    "roles.rbac.authorization.k8s.io": (NAME, CREATED),
    "clusterroles.rbac.authorization.k8s.io": (NAME, CREATED),
    "rolebindings.rbac.authorization.k8s.io": BINDING,
    "clusterrolebindings.rbac.authorization.k8s.io": BINDING,
    "resourcequotas": (
        NAME,
        Column("Request", cells.quota_use(limits=False)),
        Column("Limit", cells.quota_use(limits=True)),
        AGE,
    ),
    "limitranges": (NAME, CREATED),
    "priorityclasses.scheduling.k8s.io": (
        NAME,
        Column("Value", path("value", "0"), "integer"),
        Column("Global-Default", lambda tree, _now: str(bool(tree.get("globalDefault"))).lower()),
        AGE,
        Column("PreemptionPolicy", path("preemptionPolicy", "<unset>")),
    ),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": WEBHOOKS,
    "validatingwebhookconfigurations.admissionregistration.k8s.io": WEBHOOKS,
    "customresourcedefinitions.apiextensions.k8s.io": (NAME, CREATED),
    "leases.coordination.k8s.io": (NAME, Column("Holder", path("spec.holderIdentity")), AGE),
}


def _first_seen(event: Mapping[str, str]) -> str:
    return event.get("firstTimestamp") or event.get("eventTime") or ""


def columns_of(
    resource: str, *, wide: bool = True, foreign: bool = False, custom: Sequence[Column] = ()
) -> Sequence[Column]:
    """The columns of a kind, `custom` if there are any; name and age for one without its own."""
    columns = custom or COLUMNS.get(resource, (NAME, AGE))
    return [each for each in columns if (wide or not each.wide) and (foreign or not each.foreign)]
