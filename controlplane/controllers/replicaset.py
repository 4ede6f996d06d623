"""ReplicaSet: keeps a number of equal pods.

The decision is `reconcile`; `ReplicaSetController` only gathers what it needs from the caches. Rules are those of the
Kubernetes documentation ("ReplicaSet", "Pod deletion cost").
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice

from api.apps import ReplicaSet
from api.core import Pod
from api.errors import ApiError
from api.meta import ObjectMeta
from api.names import derived_name
from api.object import Tree
from api.selectors import label_selector_of
from api.validate_annotations import DELETION_COST
from component.env import Env, parse_time, rfc3339
from component.informer import Cached, Change, Informer
from controlplane.controllers import conditions, pods
from controlplane.controllers.actions import Action, Create, Record, UpdateStatus, Wake, delete
from controlplane.controllers.loop import Key, Source, own_key
from controlplane.controllers.ownership import claim, controller_keys, controller_of, orphans_of, owner_reference

BURST = 500  # pods created or deleted in one pass
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a decision needs besides the replica set and its pods.

    `taken` are the pod names in use in the namespace, `colocated` how many pods of related replica sets each node
    runs, `failure` why the last pass did not go through, `now` seconds since the epoch.
    """

    now: float
    taken: Container[str] = frozenset()
    colocated: Mapping[str, int] | None = None
    failure: str = ""


def reconcile(
    desired: Cached[ReplicaSet], candidates: Sequence[Cached[Pod]], surroundings: Surroundings
) -> list[Action]:
    """Return what moves the pods towards `desired`; [] once there and reported.

    `candidates` are the pods that `desired` controls or nobody does. Terminating and finished pods do not count: they
    are replaced at once.
    """
    replica_set = desired.view
    selector = label_selector_of(replica_set.spec.selector)
    deleting = replica_set.metadata.deletion_timestamp is not None

    def matches(metadata: ObjectMeta) -> bool:
        return selector.matches(metadata.labels)

    claimed = claim(desired.object, deleting, [c for c in candidates if not pods.finished(c.view)], matches)
    alive = [pod for pod in claimed.owned if pods.active(pod.view)]
    scaling: list[Action] = []
    if not deleting:
        surplus = len(alive) - _replicas(replica_set)
        if surplus < 0:
            scaling = _create(desired, min(-surplus, BURST), surroundings.taken)
        elif surplus > 0:
            scaling = _delete(desired, alive, min(surplus, BURST), surroundings.colocated or {})
    if scaling and not surroundings.failure:
        return [*claimed.updates, *scaling]  # the pods' own events bring the pass that reports
    return [
        *claimed.updates,
        *_report(desired, alive, surroundings),  # before what may be refused again, after which nothing more is done
        *scaling,
        *_wake(replica_set, alive, surroundings),
    ]


def pod_names(replica_set: Cached[ReplicaSet], taken: Container[str]) -> Iterator[str]:
    """Yield the names for new pods, always the same ones in the same situation: a repeated create finds its pod."""
    names = (derived_name(replica_set.object.name, replica_set.object.uid, i) for i in count())
    return (name for name in names if name not in taken)


def deletion_order(pod: Pod, colocated: Mapping[str, int]) -> tuple[object, ...]:
    """Sort key: who goes first when there are too many, as Kubernetes decides it.

    Unassigned before assigned, pending before running, not ready before ready, lower deletion cost first, then from
    nodes with more of the same, ready for less time, restarted more often, younger; ties by name.
    """
    node = pod.spec.node_name or ""
    since = pods.ready_since(pod)
    restarts = max((status.restart_count for status in pod.status.container_statuses), default=0)
    created = pod.metadata.creation_timestamp
    return (
        bool(node),
        _PHASES.get(pod.status.phase or "Pending", 1),
        pods.ready(pod),
        _deletion_cost(pod),
        -colocated.get(node, 0),
        -since if since is not None else float("-inf"),
        -restarts,
        -parse_time(created) if created else 0.0,
        pod.metadata.name,
    )


def _deletion_cost(pod: Pod) -> int:
    try:
        return int(pod.metadata.annotations.get(DELETION_COST, "0"))
    except ValueError:
        return 0


def _replicas(replica_set: ReplicaSet) -> int:
    return 1 if replica_set.spec.replicas is None else replica_set.spec.replicas


def _create(desired: Cached[ReplicaSet], number: int, taken: Container[str]) -> list[Action]:
    template = desired.object.tree()["spec"].get("template", {})
    names = list(islice(pod_names(desired, taken), number))
    created = [Record(desired.object, "Normal", "SuccessfulCreate", f"Created pod: {name}") for name in names]
    return [*(Create(_pod(desired, template, name)) for name in names), *created]


def _pod(desired: Cached[ReplicaSet], template: Tree, name: str) -> Tree:
    stamped = template.get("metadata", {})
    metadata = {field: stamped[field] for field in ("labels", "annotations", "finalizers") if stamped.get(field)}
    metadata |= {
        "name": name,
        "namespace": desired.object.namespace,
        "ownerReferences": [owner_reference(desired.object)],
    }
    tree = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec", {})}
    return copy.deepcopy(tree)


def _delete(
    desired: Cached[ReplicaSet], alive: Sequence[Cached[Pod]], number: int, colocated: Mapping[str, int]
) -> list[Action]:
    victims = sorted(alive, key=lambda pod: deletion_order(pod.view, colocated))[:number]
    deleted = [
        Record(desired.object, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.object.name}") for pod in victims
    ]
    return [*(delete(pod.object) for pod in victims), *deleted]


def _report(desired: Cached[ReplicaSet], alive: Sequence[Cached[Pod]], surroundings: Surroundings) -> list[Action]:
    replica_set = desired.view
    tree = desired.object.tree()
    old: Tree = tree.get("status", {})
    wanted = replica_set.spec.template.metadata.labels.items()
    min_ready_seconds = replica_set.spec.min_ready_seconds or 0
    counts = {
        "fullyLabeledReplicas": sum(wanted <= pod.metadata.labels.items() for pod in alive),
        "readyReplicas": sum(pods.ready(pod.view) for pod in alive),
        "availableReplicas": sum(pods.available(pod.view, min_ready_seconds, surroundings.now) for pod in alive),
        "observedGeneration": replica_set.metadata.generation or 0,
    }
    status: Tree = {"replicas": len(alive)} | {name: number for name, number in counts.items() if number}
    if found := _conditions(old.get("conditions", []), surroundings):
        status["conditions"] = found
    if status == old:
        return []
    tree["status"] = status
    reports: list[Action] = [UpdateStatus(tree)]
    if surroundings.failure:
        reports.append(Record(desired.object, "Warning", "FailedCreate", f"Error creating: {surroundings.failure}"))
    return reports


def _conditions(old: Sequence[Tree], surroundings: Surroundings) -> list[Tree]:
    if not surroundings.failure:
        return conditions.without(old, "ReplicaFailure")
    failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": surroundings.failure}
    return conditions.with_condition(old, failed, rfc3339(surroundings.now))


def _wake(replica_set: ReplicaSet, alive: Sequence[Cached[Pod]], surroundings: Surroundings) -> list[Action]:
    min_ready_seconds = replica_set.spec.min_ready_seconds or 0
    if not min_ready_seconds:
        return []
    since = [at for pod in alive if (at := pods.ready_since(pod.view)) is not None]
    waits = [at + min_ready_seconds - surroundings.now for at in since]
    soonest = min((wait for wait in waits if wait > 0), default=None)
    return [] if soonest is None else [Wake(soonest)]


class ReplicaSetController:
    """Gathers from the caches what `reconcile` decides on."""

    name = "replicaset"

    def __init__(self, replica_sets: Informer[ReplicaSet], pod_cache: Informer[Pod], env: Env) -> None:
        self._replica_sets = replica_sets
        self._pods = pod_cache
        self._env = env

    def sources(self) -> Sequence[Source]:
        """Replica sets and pods."""
        return [Source(self._replica_sets, own_key), Source(self._pods, self._keys_of_pod)]

    def all_keys(self) -> Iterable[Key]:
        """All replica sets."""
        return [cached.key for cached in self._replica_sets.items()]

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one replica set."""
        namespace, name = key
        desired = self._replica_sets.get(namespace, name)
        if desired is None:
            return []
        candidates = [
            *self._pods.by_index("controller", desired.object.uid),
            *self._pods.by_index("controller", orphans_of(namespace)),
        ]
        return reconcile(desired, candidates, self._surroundings(desired, failure))

    def _surroundings(self, desired: Cached[ReplicaSet], failure: ApiError | None) -> Surroundings:
        return Surroundings(
            now=self._env.now(),
            taken=self._pods.in_namespace(desired.object.namespace),
            colocated=self._colocated(desired),
            failure="" if failure is None else str(failure),
        )

    def _colocated(self, desired: Cached[ReplicaSet]) -> Mapping[str, int]:
        """How many pods of this replica set and its siblings each node runs."""
        owner = controller_of(desired.metadata)
        siblings = self._replica_sets.by_index("controller", owner.uid) if owner else [desired]
        return Counter(
            pod.view.spec.node_name
            for sibling in siblings
            for pod in self._pods.by_index("controller", sibling.object.uid)
            if pod.view.spec.node_name and pods.active(pod.view)
        )

    def _keys_of_pod(self, change: Change[Pod]) -> Iterable[Key]:
        return controller_keys(change, "ReplicaSet", self._replica_sets)
