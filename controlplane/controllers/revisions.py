"""Revisions of a Deployment: which replica set stands for which pod template, and what a new one looks like."""

from __future__ import annotations

from collections.abc import Sequence

from api.apps import Deployment, ReplicaSet
from api.meta import ObjectMeta
from api.names import TEMPLATE_HASH_LABEL, template_hash
from api.object import Tree
from api.protobuf_fields import meaning
from api.wellknown import LAST_APPLIED_ANNOTATION, REVISION_ANNOTATION
from component.informer import Cached
from controlplane.controllers.ownership import owner_reference
from controlplane.controllers.rolling import Limits, Size, size_annotations

HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
_OWN = frozenset({LAST_APPLIED_ANNOTATION, REVISION_ANNOTATION, HISTORY, DESIRED, MOST})
_HISTORY_LIMIT = 2_000  # characters
TEMPLATE = "PodTemplateSpec"  # the message that a template is


def number(text: str | None) -> int:
    """A number kept in an annotation; 0 when there is none."""
    try:
        return int(text or 0)
    except ValueError:
        return 0


def revision_of(metadata: ObjectMeta) -> int:
    """The revision annotation; 0 when there is none."""
    return number(metadata.annotations.get(REVISION_ANNOTATION))


def by_age(replica_sets: Sequence[Cached[ReplicaSet]]) -> list[Cached[ReplicaSet]]:
    """Oldest first; of equal age by revision, then by name."""
    return sorted(
        replica_sets,
        key=lambda rs: (rs.metadata.creation_timestamp or "", revision_of(rs.metadata), rs.object.name),
    )


def bare_template(spec: Tree) -> Tree:
    """The pod template in a spec without the label that tells replica sets apart."""
    template: Tree = dict(spec.get("template", {}))
    metadata = dict(template.get("metadata", {}))
    metadata.pop("creationTimestamp", None)
    labels = {name: value for name, value in metadata.get("labels", {}).items() if name != TEMPLATE_HASH_LABEL}
    metadata["labels"] = labels
    template["metadata"] = metadata
    return template


def find_new(spec: Tree, replica_sets: Sequence[Cached[ReplicaSet]]) -> Cached[ReplicaSet] | None:
    """The oldest replica set that has the deployment's template now; a rollback finds the old one again."""
    wanted = bare_template(spec)
    templates = [(each, bare_template(each.object.tree()["spec"])) for each in by_age(replica_sets)]
    found = next((each for each, template in templates if template == wanted), None)
    if found is not None:
        return found
    meant = meaning(TEMPLATE, wanted)
    return next((each for each, template in templates if meaning(TEMPLATE, template) == meant), None)


def next_revision(old: Sequence[Cached[ReplicaSet]]) -> int:
    """One more than the highest revision of the old replica sets."""
    return max((revision_of(rs.metadata) for rs in old), default=0) + 1


def size_of(replica_set: Cached[ReplicaSet]) -> Size:
    """The numbers of a replica set."""
    view = replica_set.view
    annotations = view.metadata.annotations
    return Size(
        name=replica_set.object.name,
        wanted=1 if view.spec.replicas is None else view.spec.replicas,
        running=view.status.replicas,
        available=view.status.available_replicas or 0,
        desired=number(annotations[DESIRED]) if DESIRED in annotations else None,
        most=number(annotations[MOST]) if MOST in annotations else None,
        observed=(view.status.observed_generation or 0) >= (view.metadata.generation or 0),
    )


def name_of_new(deployment: Cached[Deployment], spec: Tree) -> str:
    """The name for a replica set of the template; another one after each collision."""
    return f"{deployment.object.name}-{_hash_of_new(deployment, spec)}"


def _hash_of_new(deployment: Cached[Deployment], spec: Tree) -> str:
    return template_hash(meaning(TEMPLATE, bare_template(spec)), deployment.view.status.collision_count or 0)


def new_replica_set(deployment: Cached[Deployment], spec: Tree, revision: int, replicas: int, limits: Limits) -> Tree:
    """A replica set for the deployment's template as it is now."""
    hash_ = _hash_of_new(deployment, spec)
    template = bare_template(spec)
    template["metadata"]["labels"] |= {TEMPLATE_HASH_LABEL: hash_}
    selector = dict(spec.get("selector", {}))
    selector["matchLabels"] = selector.get("matchLabels", {}) | {TEMPLATE_HASH_LABEL: hash_}
    metadata = {
        "name": name_of_new(deployment, spec),
        "namespace": deployment.object.namespace,
        "labels": template["metadata"]["labels"],
        "annotations": annotations_of_new(deployment, {}, revision) | size_annotations(limits),
        "ownerReferences": [owner_reference(deployment.object)],
    }
    wanted: Tree = {"replicas": replicas, "selector": selector, "template": template}
    if spec.get("minReadySeconds"):
        wanted["minReadySeconds"] = spec["minReadySeconds"]
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": wanted}


def annotations_of_new(deployment: Cached[Deployment], current: dict[str, str], revision: int) -> dict[str, str]:
    """The annotations of the new replica set: the deployment's (change-cause), its revision and former revisions.

    A replica set that becomes the new one again gets the next revision and remembers the ones it had.
    """
    copied = {name: value for name, value in deployment.metadata.annotations.items() if name not in _OWN}
    annotations = current | copied
    had = number(current.get(REVISION_ANNOTATION))
    if had < revision:
        annotations[REVISION_ANNOTATION] = str(revision)
        if had:
            former = [*filter(None, current.get(HISTORY, "").split(",")), str(had)]
            while len(",".join(former)) > _HISTORY_LIMIT:
                del former[0]
            annotations[HISTORY] = ",".join(former)
    return annotations
