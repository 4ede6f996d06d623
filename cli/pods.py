"""From what a user names (a pod, or something that has pods) to a pod, and to one of its containers."""

from __future__ import annotations

from collections.abc import Callable

from api import scheme
from api.apps import ReplicaSet
from api.core import Pod
from api.errors import NotFound
from api.object import Object, Tree, at
from api.selectors import label_selector_of
from cli.mistakes import Misused
from cli.targets import Target, parse
from component.client import ApiClient

WITH_SELECTOR = ("deployments.apps", "replicasets.apps", "services")
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


async def find_pod(client: ApiClient, word: str, namespace: str, tell: Callable[[str], None]) -> Object:
    """The pod called `word`, or for `deployment/web` and the like its best one: running, not ending, ready before others.

    Tells which one it took out of several.
    """
    target = parse([word])[0] if "/" in word else Target(scheme.by_resource("pods"), word)
    if target.kind.resource == "pods":
        return await client.get("pods", namespace, target.name)
    pods = await pods_of(client, target, namespace)
    if not pods:
        raise NotFound(f"{word} has no pods")
    best = min(pods, key=_rank)
    if len(pods) > 1:
        tell(f"found {len(pods)} pods, using pod/{best.name}")
    return best


async def pods_of(client: ApiClient, target: Target, namespace: str) -> list[Object]:
    """All pods that the selector of an object finds, by name."""
    if target.kind.resource not in WITH_SELECTOR:
        raise Misused(f"{target.kind.plural} have no pods; name a pod, deployment, replicaset or service")
    owner = await client.get(target.kind.resource, namespace, target.name)
    if target.kind.resource == "services":
        labels = at(owner.tree(), "spec.selector", {})
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return list((await client.list("pods", namespace, label_selector=selector)).items) if selector else []
    matches = label_selector_of(owner.view(ReplicaSet).spec.selector)  # both kinds have the selector there
    pods = (await client.list("pods", namespace)).items
    return [pod for pod in pods if matches.matches(pod.view(Pod).metadata.labels)]


def container_names(pod: Tree) -> list[str]:
    """All the pod's containers: init containers, then the others, in its order, ephemeral ones last."""
    return [*_names(pod, "initContainers"), *_names(pod, "containers"), *_names(pod, "ephemeralContainers")]


def choose_container(pod: Tree, wanted: str) -> tuple[str, str]:
    """(the container meant, what to tell the user of the choice). NotFound for a name the pod does not have."""
    names, inits = _names(pod, "containers"), _names(pod, "initContainers")
    ephemeral = _names(pod, "ephemeralContainers")
    others = [*(f"{name} (init)" for name in inits), *(f"{name} (ephemeral)" for name in ephemeral)]
    shown = ", ".join([*names, *others])
    if wanted:
        if wanted not in (*names, *inits, *ephemeral):
            raise NotFound(f'pod "{at(pod, "metadata.name")}" has no container {wanted!r}; it has {shown}')
        return wanted, ""
    marked = at(pod, "metadata.annotations", {}).get(DEFAULT_CONTAINER)
    if marked in names:
        return str(marked), ""
    several = len(names) + len(others) > 1
    return names[0], f"using container {names[0]!r} out of {shown} (-c chooses)" if several else ""


def _names(pod: Tree, field: str) -> list[str]:
    return [str(each.get("name", "")) for each in at(pod, f"spec.{field}", [])]


def _rank(pod: Object) -> tuple[bool, bool, bool, str]:
    """The least is the best to look into; what is ending goes, however ready it still is."""
    view = pod.view(Pod)
    ready = any(condition.type == "Ready" and condition.status == "True" for condition in view.status.conditions)
    return view.status.phase != "Running", view.metadata.deletion_timestamp is not None, not ready, pod.name
