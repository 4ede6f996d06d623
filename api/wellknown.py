"""Labels, annotations, taints and finalizers to which more than one part of the system gives a meaning, and it."""

from __future__ import annotations

from typing import Protocol

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
"""Of a Namespace: its own name, so that it can be selected by it."""

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
"""Of an EndpointSlice: the Service that it belongs to."""

ZONE_LABEL = "topology.kubernetes.io/zone"
"""Of a Node: the place whose failure takes down every node in it."""

ROOT_CERTIFICATE = "kube-root-ca.crt"
"""The ConfigMap of every namespace that holds the certificate authority of the API."""

LAST_APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
"""The manifest of the last apply."""

REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
"""Of a ReplicaSet: which revision of its Deployment it stands for; of a Deployment: its newest."""

PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
"""The reason of a Deployment's Progressing condition when a rollout makes no progress in time."""

NOT_READY_TAINT = "node.kubernetes.io/not-ready"
UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"
UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"

AGENT_POD_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
"""The condition types of a pod that its node's agent writes; all others are their writers'."""

HEALTH_TOLERATION_SECONDS = 5
"""How long a pod that says nothing stays on a node that is not ready or not reachable. Kubernetes: 300 s.

A small cluster notices a dead node within 4 s, and waiting longer only lengthens the outage.
"""

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""The PriorityClasses that every cluster has, above all others."""

HIGHEST_USER_PRIORITY = 1_000_000_000
"""Of a PriorityClass that people make."""

PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")

NAMESPACE_FINALIZER = "kubernetes"
"""In the spec of a Namespace: it has not been emptied yet."""

FOREGROUND_FINALIZER = "foregroundDeletion"
ORPHAN_FINALIZER = "orphan"
DEFINITION_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


class Tolerating(Protocol):
    """A toleration; an absent key or effect stands for all of them."""

    @property
    def key(self) -> str | None:
        """Of the taints that are tolerated."""

    @property
    def operator(self) -> str | None:
        """Exists, or Equal, which is meant when it is absent."""

    @property
    def value(self) -> str | None:
        """Of the taints that are tolerated, unless the operator is Exists."""

    @property
    def effect(self) -> str | None:
        """Of the taints that are tolerated."""


class Tainting(Protocol):
    """A taint."""

    @property
    def key(self) -> str:
        """What is the matter with the node."""

    @property
    def value(self) -> str | None:
        """More about it."""

    @property
    def effect(self) -> str:
        """NoSchedule, PreferNoSchedule or NoExecute."""


def tolerates(toleration: Tolerating, taint: Tainting) -> bool:
    """Whether a toleration covers a taint, for however long (Kubernetes: "Taints and Tolerations")."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and (toleration.value or "") == (taint.value or "")
