"""Deployment: rolls changes of a pod template out through replica sets.

`reconcile` decides; the arithmetic is in `rolling`, the history in `revisions`, the reporting in `deployment_status`.
Behaviour follows the Kubernetes documentation ("Deployments"). New sizes for the new and the old replica sets are
decided in one pass, which gives the same sizes as one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from api.apps import Deployment, ReplicaSet
from api.core import Pod
from api.errors import ApiError
from api.meta import ObjectMeta
from api.object import Tree
from api.selectors import label_selector_of
from api.wellknown import REVISION_ANNOTATION
from component.env import Env
from component.informer import Cached, Change, Informer
from controlplane.controllers import deployment_status, pods, revisions, rolling
from controlplane.controllers.actions import Action, Create, Record, Update, UpdateStatus, Wake, delete
from controlplane.controllers.loop import Key, Source, own_key
from controlplane.controllers.ownership import claim, controller_keys, controller_of, orphans_of
from controlplane.controllers.revisions import size_of
from controlplane.controllers.rolling import Size

DEFAULT_HISTORY_LIMIT = 10


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a decision needs besides the deployment and its replica sets.

    `taken` are the names of all replica sets in the namespace, `busy` the uids of replica sets that still have pods
    which have not ended (also terminating ones), `failure` why the last pass did not go through, `now` seconds since
    the epoch.
    """

    now: float
    taken: Collection[str] = ()
    busy: Callable[[str], bool] = lambda _: False
    failure: str = ""


class _Rollout:
    """One look at a deployment: what is there, and what is decided about it so far."""

    def __init__(
        self, desired: Cached[Deployment], owned: Sequence[Cached[ReplicaSet]], surroundings: Surroundings
    ) -> None:
        self.desired = desired
        self.view = desired.view
        self.surroundings = surroundings
        self.tree = desired.object.tree()
        self.spec: Tree = self.tree["spec"]
        self.status: Tree = self.tree.get("status", {})
        self.limits = rolling.limits(self.view.spec)
        self.all = revisions.by_age(owned)
        self.new = revisions.find_new(self.spec, self.all)
        self.old = [rs for rs in self.all if rs is not self.new]
        self.sizes = {rs.object.name: size_of(rs) for rs in self.all}
        self.wanted: dict[str, int] = {}

    @property
    def old_sizes(self) -> list[Size]:
        return [self.sizes[rs.object.name] for rs in self.old]

    @property
    def new_size(self) -> Size | None:
        return self.sizes[self.new.object.name] if self.new is not None else None

    @property
    def recreate(self) -> bool:
        strategy = self.view.spec.strategy
        return strategy is not None and strategy.type == "Recreate"

    @property
    def scaled(self) -> bool:
        """Whether the wanted number has changed since the active replica sets were sized.

        Recreate never shares a number among several: it goes on with emptying the old ones.
        """
        active = [size for size in self.sizes.values() if size.wanted > 0]
        if self.recreate and len(active) > 1:
            return False
        return any(size.desired is not None and size.desired != self.limits.replicas for size in active)


def reconcile(
    desired: Cached[Deployment], candidates: Sequence[Cached[ReplicaSet]], surroundings: Surroundings
) -> list[Action]:
    """Return what moves the roll-out on; [] once it is complete and reported.

    `candidates` are the replica sets that `desired` controls or nobody does.
    """
    selector = label_selector_of(desired.view.spec.selector)
    if selector.empty:
        return []  # would claim every replica set there is; validation refuses it

    def matches(metadata: ObjectMeta) -> bool:
        return selector.matches(metadata.labels)

    deleting = desired.metadata.deletion_timestamp is not None
    claimed = claim(desired.object, deleting, candidates, matches)
    if claimed.updates:
        return list(claimed.updates)  # their events bring the pass that goes on
    rollout = _Rollout(desired, claimed.owned, surroundings)
    if deleting:
        return _report(rollout)
    if rollout.view.spec.paused or rollout.scaled:
        _scale(rollout)
    elif rollout.recreate:
        if actions := _recreate(rollout):
            return actions
    else:
        if rollout.new is None:
            return _create_new(rollout)
        _roll(rollout)
    return [*_edits(rollout), *_clean_up(rollout)] or _report(rollout)


def _roll(rollout: _Rollout) -> None:
    size = rollout.new_size
    assert size is not None
    wanted = rolling.new_size(rollout.limits, size, rollout.old_sizes)
    rollout.wanted[size.name] = wanted
    rollout.wanted |= rolling.old_sizes(rollout.limits, replace(size, wanted=wanted), rollout.old_sizes)


def _recreate(rollout: _Rollout) -> list[Action]:
    """All old pods go before the first new one comes."""
    rollout.wanted = {size.name: 0 for size in rollout.old_sizes if size.wanted}
    if rollout.wanted or any(rollout.surroundings.busy(rs.object.uid) for rs in rollout.old):
        return []
    if rollout.new is None:
        return _create_new(rollout)
    rollout.wanted[rollout.new.object.name] = rollout.limits.replicas
    return []


def _scale(rollout: _Rollout) -> None:
    """Only follow the wanted number, in proportion when several replica sets are active."""
    active = [size for rs in reversed(rollout.all) if (size := rollout.sizes[rs.object.name]).wanted > 0]
    replicas = rollout.limits.replicas
    new = rollout.new_size
    if len(active) <= 1:
        newest = rollout.sizes[rollout.all[-1].object.name] if rollout.all else None
        only = active[0] if active else new or newest
        if only is not None:
            rollout.wanted[only.name] = replicas
    elif new is not None and new.wanted == new.available == new.desired == replicas:
        rollout.wanted |= {size.name: 0 for size in rollout.old_sizes if size.wanted}
    elif not rollout.recreate:
        reported = rollout.status.get("replicas", 0)
        rollout.wanted |= rolling.proportional_sizes(rollout.limits, active, reported)


def _create_new(rollout: _Rollout) -> list[Action]:
    surroundings = rollout.surroundings
    name = revisions.name_of_new(rollout.desired, rollout.spec)
    tree = rollout.tree
    if name in surroundings.taken:
        tree["status"] = rollout.status | {"collisionCount": rollout.status.get("collisionCount", 0) + 1}
        return [UpdateStatus(tree)]  # the name belongs to another template: the next pass tries another one
    size = rolling.new_size(rollout.limits, Size(name), rollout.old_sizes)
    revision = revisions.next_revision(rollout.old)
    create = Create(revisions.new_replica_set(rollout.desired, rollout.spec, revision, size, rollout.limits))
    if surroundings.failure:
        status = deployment_status.new_set_refused(rollout.status, name, surroundings.failure, surroundings.now)
        if status != rollout.status:
            tree["status"] = status
            message = f'Failed to create new replica set "{name}": {surroundings.failure}'
            return [
                UpdateStatus(tree),
                Record(rollout.desired.object, "Warning", "ReplicaSetCreateError", message),
                create,
            ]
        return [create]
    actions: list[Action] = [create, *_scaling_record(rollout, name, 0, size)]
    if rollout.view.spec.progress_deadline_seconds is not None:
        tree["status"] = deployment_status.new_set_created(rollout.status, name, surroundings.now)
        actions.append(UpdateStatus(tree))
    return actions


def _edits(rollout: _Rollout) -> list[Action]:
    """The replica sets and the deployment's revision as they should be, where they are not."""
    updates: list[Action] = []
    records: list[Action] = []
    for replica_set in reversed(rollout.all):
        size = rollout.sizes[replica_set.object.name]
        wanted = rollout.wanted.get(size.name, size.wanted)
        if wanted != size.wanted:
            records += _scaling_record(rollout, size.name, size.wanted, wanted)
        tree = replica_set.object.tree()
        if _edit(rollout, replica_set, tree, wanted):
            updates.append(Update(tree))
    if rollout.new is not None:
        revision = _revision(rollout)
        annotations = rollout.tree["metadata"].setdefault("annotations", {})
        if annotations.get(REVISION_ANNOTATION) != revision:
            annotations[REVISION_ANNOTATION] = revision
            updates.append(Update(rollout.tree))
    return [*updates, *records]


def _edit(rollout: _Rollout, replica_set: Cached[ReplicaSet], tree: Tree, wanted: int) -> bool:
    """Change `tree` to what is decided about the replica set; returns whether that changes anything."""
    before = dict(replica_set.metadata.annotations)
    annotations = dict(before)
    changed = False
    if replica_set is rollout.new:
        annotations = revisions.annotations_of_new(rollout.desired, annotations, int(_revision(rollout)))
        seconds = rollout.spec.get("minReadySeconds", 0)
        if tree["spec"].get("minReadySeconds", 0) != seconds:
            tree["spec"]["minReadySeconds"] = seconds
            changed = True
    if wanted > 0 or rollout.sizes[replica_set.object.name].wanted > 0:
        annotations |= rolling.size_annotations(rollout.limits)
    if annotations != before:
        tree["metadata"]["annotations"] = annotations
        changed = True
    if tree["spec"].get("replicas", 1) != wanted:
        tree["spec"]["replicas"] = wanted
        changed = True
    return changed


def _revision(rollout: _Rollout) -> str:
    assert rollout.new is not None
    return str(max(revisions.next_revision(rollout.old), revisions.revision_of(rollout.new.metadata)))


def _clean_up(rollout: _Rollout) -> list[Action]:
    """Delete the oldest revisions beyond the history limit, once nothing depends on them."""
    done = rollout.view.spec.paused or deployment_status.complete(
        rollout.status, rollout.view.metadata.generation or 0, rollout.limits.replicas
    )
    if not done or rollout.wanted.keys() & {size.name for size in rollout.old_sizes if size.wanted}:
        return []
    limit = rollout.view.spec.revision_history_limit
    kept = DEFAULT_HISTORY_LIMIT if limit is None else limit
    old = [rs for rs in rollout.old if rs.metadata.deletion_timestamp is None]
    by_revision = sorted(old, key=lambda rs: revisions.revision_of(rs.metadata))
    surplus = by_revision[: max(0, len(old) - kept)]
    sizes = (rollout.sizes[rs.object.name] for rs in surplus)
    return [delete(rs.object) for rs, size in zip(surplus, sizes, strict=True) if size.observed and not size.occupied]


def _report(rollout: _Rollout) -> list[Action]:
    ready = sum(rs.view.status.ready_replicas or 0 for rs in rollout.all)
    sizes = list(rollout.sizes.values())
    counted = deployment_status.counted(rollout.view, rollout.status, sizes, ready, rollout.new_size)
    status = deployment_status.judged(
        rollout.view, rollout.status, counted, rollout.limits, rollout.new, rollout.all, rollout.surroundings.now
    )
    if status != rollout.status:
        rollout.tree["status"] = status
        return [UpdateStatus(rollout.tree)]
    left = deployment_status.seconds_left(rollout.view, status["conditions"], rollout.surroundings.now)
    return [Wake(left + 1.0)] if left else []  # times are kept in whole seconds


def _scaling_record(rollout: _Rollout, name: str, before: int, after: int) -> list[Action]:
    if before == after:
        return []
    direction = "up" if after > before else "down"
    message = f"Scaled {direction} replica set {name} from {before} to {after}"
    return [Record(rollout.desired.object, "Normal", "ScalingReplicaSet", message)]


class DeploymentController:
    """Gathers from the caches what `reconcile` decides on."""

    name = "deployment"

    def __init__(
        self,
        deployments: Informer[Deployment],
        replica_sets: Informer[ReplicaSet],
        pod_cache: Informer[Pod],
        env: Env,
    ) -> None:
        self._deployments = deployments
        self._replica_sets = replica_sets
        self._pods = pod_cache
        self._env = env

    def sources(self) -> Sequence[Source]:
        """Deployments, their replica sets, and the end of pods, for which Recreate waits."""
        return [
            Source(self._deployments, own_key),
            Source(self._replica_sets, self._keys_of_replica_set),
            Source(self._pods, self._keys_of_pod),
        ]

    def all_keys(self) -> Iterable[Key]:
        """All deployments."""
        return [cached.key for cached in self._deployments.items()]

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one deployment."""
        namespace, name = key
        desired = self._deployments.get(namespace, name)
        if desired is None:
            return []
        candidates = [
            *self._replica_sets.by_index("controller", desired.object.uid),
            *self._replica_sets.by_index("controller", orphans_of(namespace)),
        ]
        surroundings = Surroundings(
            now=self._env.now(),
            taken=self._taken(namespace),
            busy=self._busy,
            failure="" if failure is None else str(failure),
        )
        return reconcile(desired, candidates, surroundings)

    def _taken(self, namespace: str) -> Mapping[str, object]:
        return self._replica_sets.in_namespace(namespace)

    def _busy(self, uid: str) -> bool:
        return any(not pods.finished(pod.view) for pod in self._pods.by_index("controller", uid))

    def _keys_of_replica_set(self, change: Change[ReplicaSet]) -> Iterable[Key]:
        return controller_keys(change, "Deployment", self._deployments)

    def _keys_of_pod(self, change: Change[Pod]) -> Iterable[Key]:
        old, new = change.old, change.new
        if old is None or (new is not None and not pods.finished(new.view)):
            return []
        owner = controller_of(old.metadata)
        if owner is None or owner.kind != "ReplicaSet":
            return []
        replica_set = self._replica_sets.get(old.object.namespace, owner.name)
        above = controller_of(replica_set.metadata) if replica_set is not None else None
        if above is None or above.kind != "Deployment":
            return []
        deployment = self._deployments.get(old.object.namespace, above.name)
        strategy = deployment.view.spec.strategy if deployment is not None else None
        return [(old.object.namespace, above.name)] if strategy is not None and strategy.type == "Recreate" else []
