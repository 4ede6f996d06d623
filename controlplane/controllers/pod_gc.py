"""Pods that nobody else can remove: their node is gone, or they never had one.

Pods of lost nodes stay Terminating, because they may still run there. They are removed once that is excluded: the
Node object is deleted, or carries the taint node.kubernetes.io/out-of-service ("Node Shutdowns" in the Kubernetes
documentation).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from api import errors
from api.core import Node, Pod
from api.errors import ApiError
from component.client import ApiClient
from component.informer import Cached, Change, Informer
from controlplane.controllers import pods
from controlplane.controllers.actions import Action, Delete, delete
from controlplane.controllers.loop import Key, Source

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"

NodeState = Literal["present", "gone", "out-of-service"]


def reconcile(pod: Cached[Pod], node: NodeState) -> list[Delete]:
    """Return the removal of a pod that nobody else will remove; `node` is the state of the node it is bound to."""
    ending = pods.terminating(pod.view)
    if pod.view.spec.node_name:
        remove = node == "gone" or (node == "out-of-service" and ending)
    else:
        remove = ending or pods.finished(pod.view)
    return [delete(pod.object, grace_seconds=0)] if remove else []


def state_of(node: Node) -> NodeState:
    """Whether pods of the node may still be running, as far as the Node object says."""
    ready = any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
    if not ready and any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints):
        return "out-of-service"
    return "present"


class PodCollector:
    """Looks at pods without a node, and at all pods of nodes that change."""

    name = "pod-gc"

    def __init__(self, client: ApiClient, pod_cache: Informer[Pod], nodes: Informer[Node]) -> None:
        self._client = client
        self._pods = pod_cache
        self._nodes = nodes

    def sources(self) -> Sequence[Source]:
        """Pods and nodes."""
        return [Source(self._pods, self._keys_of_pod), Source(self._nodes, self._keys_of_node)]

    def all_keys(self) -> Iterable[Key]:
        """All pods."""
        return (pod.key for pod in self._pods.items())

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one pod."""
        del failure
        namespace, name = key
        pod = self._pods.get(namespace, name)
        return [] if pod is None else reconcile(pod, await self._state(pod.view.spec.node_name or ""))

    async def _state(self, node: str) -> NodeState:
        if not node:
            return "present"
        cached = self._nodes.get("", node)
        if cached is not None:
            return state_of(cached.view)
        try:
            await self._client.get("nodes", "", node)  # the cache may be behind
        except errors.NotFound:
            return "gone"
        return "present"

    def _keys_of_pod(self, change: Change[Pod]) -> Iterable[Key]:
        pod = change.new
        if pod is None:
            return []
        node = pod.view.spec.node_name
        if node:
            cached = self._nodes.get("", node)
            stray = cached is None or state_of(cached.view) != "present"
        else:
            stray = pods.terminating(pod.view) or pods.finished(pod.view)
        return [pod.key] if stray else []

    def _keys_of_node(self, change: Change[Node]) -> Iterable[Key]:
        if change.new is not None and state_of(change.new.view) == "present":
            return []
        return [pod.key for pod in self._pods.by_index("node", change.latest.object.name)]
