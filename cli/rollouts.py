"""What a Deployment's rollout looks like from outside. Pure: trees in, words and trees out."""

from __future__ import annotations

from collections.abc import Sequence

from api.errors import ApiError, Invalid, NotFound
from api.names import TEMPLATE_HASH_LABEL
from api.object import Tree, at
from api.wellknown import PROGRESS_DEADLINE_EXCEEDED, REVISION_ANNOTATION

CHANGE_CAUSE = "kubernetes.io/change-cause"
RESTARTED = "kubectl.kubernetes.io/restartedAt"


class RolloutStuck(ApiError):
    """The rollout made no progress within its deadline."""


def progress(deployment: Tree) -> tuple[str, bool]:
    """(what to tell, whether the rollout is complete); RolloutStuck when it exceeded its progress deadline."""
    name, status = deployment["metadata"]["name"], deployment.get("status", {})
    wanted = at(deployment, "spec.replicas", 1)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    waiting = f'Waiting for deployment "{name}" rollout to finish: '
    if status.get("observedGeneration", 0) < at(deployment, "metadata.generation", 0):
        return "Waiting for deployment spec update to be observed...", False
    if any(
        each.get("type") == "Progressing" and each.get("reason") == PROGRESS_DEADLINE_EXCEEDED
        for each in status.get("conditions", [])
    ):
        raise RolloutStuck(f'deployment "{name}" exceeded its progress deadline')
    if updated < wanted:
        return f"{waiting}{updated} out of {wanted} new replicas have been updated...", False
    if status.get("replicas", 0) > updated:
        return f"{waiting}{status['replicas'] - updated} old replicas are pending termination...", False
    if available < updated:
        return f"{waiting}{available} of {updated} updated replicas are available...", False
    return f'deployment "{name}" successfully rolled out', True


def revision_of(replica_set: Tree) -> int:
    """The revision a replica set stands for; 0 when it stands for none."""
    text = str(at(replica_set, "metadata.annotations", {}).get(REVISION_ANNOTATION, ""))
    return int(text) if text.isascii() and text.isdecimal() else 0


def own_replica_sets(deployment: Tree, replica_sets: Sequence[Tree]) -> list[Tree]:
    """Those the Deployment controls, oldest revision first."""
    uid = deployment["metadata"]["uid"]
    own = [
        each
        for each in replica_sets
        if any(o["uid"] == uid and o.get("controller") for o in at(each, "metadata.ownerReferences", []))
    ]
    return sorted(own, key=revision_of)


def undone(deployment: Tree, replica_sets: Sequence[Tree], revision: int) -> Tree | None:
    """The Deployment with the template of `revision` (0: the one before); None when it has that already.

    NotFound when there is no such revision, Invalid while the Deployment is paused.
    """
    name = deployment["metadata"]["name"]
    if at(deployment, "spec.paused", default=False):
        raise Invalid(f'deployment "{name}" is paused: resume it first with `tim rollout resume deployment/{name}`')
    own = own_replica_sets(deployment, replica_sets)
    found = [each for each in own if revision_of(each) == revision] if revision else own[-2:-1]
    if not found:
        which = f"revision {revision}" if revision else "an earlier revision"
        raise NotFound(f'deployment "{name}" has no {which}; see `tim rollout history deployment/{name}`')
    template = found[-1]["spec"]["template"]
    labels = {key: value for key, value in at(template, "metadata.labels", {}).items() if key != TEMPLATE_HASH_LABEL}
    template = {**template, "metadata": {**template.get("metadata", {}), "labels": labels}}
    if template == deployment["spec"]["template"]:
        return None
    return {**deployment, "spec": {**deployment["spec"], "template": template}}


def restarted(deployment: Tree, timestamp: str) -> Tree:
    """The Deployment with a template that differs in one annotation, so that all pods are made anew.

    Invalid while it is paused: nothing would happen.
    """
    if at(deployment, "spec.paused", default=False):
        name = deployment["metadata"]["name"]
        raise Invalid(f'deployment "{name}" is paused: resume it first with `tim rollout resume deployment/{name}`')
    template = deployment["spec"]["template"]
    metadata = template.get("metadata", {})
    annotations = {**metadata.get("annotations", {}), RESTARTED: timestamp}
    template = {**template, "metadata": {**metadata, "annotations": annotations}}
    return {**deployment, "spec": {**deployment["spec"], "template": template}}
