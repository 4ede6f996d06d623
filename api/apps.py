"""Workloads: controllers that keep a number of equal pods."""

from __future__ import annotations

from api.meta import IntOrString, LabelSelector, ObjectMeta, Resource, required
from api.pod import PodTemplateSpec


class ReplicaSetSpec(Resource):
    """Desired state, written by users only.

    `replicas` is a pod count, 0 or more. `min_ready_seconds` is how long a pod must stay ready to count as available.
    """

    min_ready_seconds: int | None = None
    replicas: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplateSpec = PodTemplateSpec()


class ReplicaSetCondition(Resource):
    """One aspect of a replica set, such as ReplicaFailure."""

    status: str | None = None
    type: str | None = None
    last_transition_time: str | None = None
    message: str | None = None
    reason: str | None = None


class ReplicaSetStatus(Resource):
    """Pod counts as observed at `observed_generation`."""

    available_replicas: int | None = None
    conditions: tuple[ReplicaSetCondition, ...] = ()
    fully_labeled_replicas: int | None = None
    observed_generation: int | None = None
    ready_replicas: int | None = None
    replicas: int = required(0)
    terminating_replicas: int | None = None


class ReplicaSet(Resource):
    """Keeps a number of equal pods."""

    api_version: str = required("apps/v1")
    kind: str = required("ReplicaSet")
    metadata: ObjectMeta = ObjectMeta()
    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


class RollingUpdateDeployment(Resource):
    """How many pods above and below the wanted number a roll-out may use, as counts or percentages."""

    max_surge: IntOrString | None = None
    max_unavailable: IntOrString | None = None


class DeploymentStrategy(Resource):
    """RollingUpdate, or Recreate: all old pods go before new ones come."""

    type: str | None = None
    rolling_update: RollingUpdateDeployment | None = None


class DeploymentSpec(Resource):
    """Desired state, written by users only.

    `progress_deadline_seconds` without progress make the roll-out failed; `revision_history_limit` is how many old replica sets stay.
    """

    min_ready_seconds: int | None = None
    paused: bool | None = None
    progress_deadline_seconds: int | None = None
    replicas: int | None = None
    revision_history_limit: int | None = None
    selector: LabelSelector | None = None
    strategy: DeploymentStrategy | None = None
    template: PodTemplateSpec = PodTemplateSpec()


class DeploymentCondition(Resource):
    """One aspect of a deployment: Available, Progressing or ReplicaFailure."""

    status: str | None = None
    type: str | None = None
    last_transition_time: str | None = None
    last_update_time: str | None = None
    message: str | None = None
    reason: str | None = None


class DeploymentStatus(Resource):
    """Pod counts over all replica sets; `collision_count` helps to find a free name for a new one."""

    available_replicas: int | None = None
    collision_count: int | None = None
    conditions: tuple[DeploymentCondition, ...] = ()
    observed_generation: int | None = None
    ready_replicas: int | None = None
    replicas: int | None = None
    terminating_replicas: int | None = None
    unavailable_replicas: int | None = None
    updated_replicas: int | None = None


class Deployment(Resource):
    """Rolls changes of its pod template out through replica sets."""

    api_version: str = required("apps/v1")
    kind: str = required("Deployment")
    metadata: ObjectMeta = ObjectMeta()
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()
