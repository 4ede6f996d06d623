"""Binding as a pure decision: a pod gets its node and takes its share of it in one transaction."""

from __future__ import annotations

from api.core import Node
from api.errors import Conflict, NotFound
from api.object import Tree
from api.resources import allocatable
from api.scheme import by_resource
from component.client import Binding
from component.env import Env
from controlplane.apiserver.decision import Decision, Snapshot
from controlplane.apiserver.kinds.pods import PodRules, bound_node, terminal
from controlplane.apiserver.objects import key_of, object_at, object_of, put_of, tree_of
from controlplane.apiserver.writes import check_preconditions
from controlplane.commands import Add, Check, Op

_PODS = by_resource("pods")
_RULES = PodRules()


def decide(env: Env, binding: Binding, snapshot: Snapshot) -> Decision:
    """Return how to bind. NotFound (pod or node); Conflict when the pod is another, going, ended or bound elsewhere.

    The ledger's limits are the node's allocatable amounts as they stand now; committing fails when they do not suffice.
    """
    name = f'pod "{binding.name}"'
    key = key_of(_PODS, binding.namespace, binding.name)
    stored = snapshot.state.get(key)
    if stored is None:
        raise NotFound(f'pods "{binding.name}" not found')
    check_preconditions(name, stored, binding.uid, 0)
    old = tree_of(stored.body)
    if bound_node(old) == binding.node:
        return Decision(object_of(stored))
    if bound_node(old):
        raise Conflict(f'{name} is already assigned to node "{bound_node(old)}"')
    if "deletionTimestamp" in old["metadata"] or terminal(old):
        raise Conflict(f"{name} is being deleted or has ended: it cannot be assigned to a node")
    node = snapshot.get_identity("nodes", "", binding.node)
    if node is None:
        raise NotFound(f'nodes "{binding.node}" not found')
    put = put_of(_PODS, _bound(old, binding.node, env.timestamp()))
    limits = allocatable(node.view(Node).status)
    new = tree_of(put.body)
    shares: list[Op] = [
        Add(op.ledger, op.deltas, {resource: limits.get(resource, 0) for resource in op.deltas})
        for op in _RULES.consequences(old, new)
        if isinstance(op, Add)
    ]
    ops = (*snapshot.checks, Check(key, stored.envelope.uid, stored.revision), *shares, put)
    return Decision(object_at(put.envelope, put.body, 0), ops)


def posted_tree(binding: Binding) -> Tree:
    """A binding as Kubernetes writes it."""
    metadata = {"namespace": binding.namespace, "name": binding.name} | ({"uid": binding.uid} if binding.uid else {})
    target = {"apiVersion": "v1", "kind": "Node", "name": binding.node}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}


def _bound(pod: Tree, node: str, now: str) -> Tree:
    """The pod with its node, and the condition that says so."""
    status = pod.get("status", {})
    others = [each for each in status.get("conditions", ()) if each.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now}
    metadata = pod["metadata"]
    return {
        **pod,
        "metadata": {**metadata, "generation": metadata.get("generation", 0) + 1},
        "spec": {**pod["spec"], "nodeName": node},
        "status": {**status, "conditions": [*others, scheduled]},
    }
