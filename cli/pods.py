"""From what a user names (a pod, or something that has pods) to a pod."""

from __future__ import annotations

from api import scheme
from api.apps import ReplicaSet
from api.core import Pod
from api.errors import Invalid, NotFound
from api.object import Object
from api.selectors import label_selector_of
from cli.columns import at
from cli.targets import Target, parse
from component.client import ApiClient

WITH_SELECTOR = ("deployments.apps", "replicasets.apps", "services")


async def find_pod(client: ApiClient, word: str, namespace: str) -> Object:
    """The pod called `word`, or for `deployment/web` and the like its best one: ready before running before others."""
    target = parse([word])[0] if "/" in word else Target(scheme.by_resource("pods"), word)
    if target.kind.resource == "pods":
        return await client.get("pods", namespace, target.name)
    pods = await pods_of(client, target, namespace)
    if not pods:
        raise NotFound(f"{word} has no pods")
    return min(pods, key=_rank)


async def pods_of(client: ApiClient, target: Target, namespace: str) -> list[Object]:
    """All pods that the selector of an object finds, by name."""
    if target.kind.resource not in WITH_SELECTOR:
        raise Invalid(f"{target.kind.plural} have no pods; name a pod, deployment, replicaset or service")
    owner = await client.get(target.kind.resource, namespace, target.name)
    if target.kind.resource == "services":
        labels = at(owner.tree(), "spec.selector", {})
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return list((await client.list("pods", namespace, label_selector=selector)).items) if selector else []
    matches = label_selector_of(owner.view(ReplicaSet).spec.selector)  # both kinds have the selector there
    pods = (await client.list("pods", namespace)).items
    return [pod for pod in pods if matches.matches(pod.view(Pod).metadata.labels)]


def _rank(pod: Object) -> tuple[bool, bool, str]:
    view = pod.view(Pod)
    ready = any(condition.type == "Ready" and condition.status == "True" for condition in view.status.conditions)
    return not ready, view.status.phase != "Running", pod.name
