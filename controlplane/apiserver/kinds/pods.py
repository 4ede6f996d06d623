"""Pods: their status at first, how they are deleted, and what they take of a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from api.core import PodSpec
from api.object import Tree
from api.resources import pod_requests, qos_class
from controlplane.apiserver.decision import Snapshot
from controlplane.apiserver.kinds.base import KindRules
from controlplane.commands import Add, Op

TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})
DEFAULT_GRACE_SECONDS = 30


def node_ledger(node: str) -> str:
    """The ledger of what pods hold of a node, in the units of `api.resources`."""
    return f"node/{node}"


def bound_node(pod: Tree) -> str:
    """The node a pod is bound to, or ""."""
    node: str = pod["spec"].get("nodeName", "")
    return node


def terminal(pod: Tree) -> bool:
    """Whether the pod's containers have ended for good."""
    return pod.get("status", {}).get("phase") in TERMINAL_PHASES


def held_amounts(pod: Tree | None) -> tuple[str, Mapping[str, int]]:
    """(node, amounts) that a pod holds: nothing before it is bound and after it ended."""
    if pod is None or not bound_node(pod) or terminal(pod):
        return "", {}
    return bound_node(pod), pod_requests(msgspec.convert(pod["spec"], PodSpec))


class PodRules(KindRules):
    """Rules of pods."""

    def completed(self, tree: Tree, old: Tree | None, snapshot: Snapshot) -> Tree:  # noqa: ARG002 - a hook
        """A new pod is Pending and has its class of service."""
        if old is not None:
            return tree
        spec = msgspec.convert(tree["spec"], PodSpec)
        return {**tree, "status": {"phase": "Pending", "qosClass": qos_class(spec)}}

    def consequences(self, old: Tree | None, new: Tree | None) -> Sequence[Op]:
        """Take from and give back to node ledgers, without limits: those are the business of binding."""
        before, after = held_amounts(old), held_amounts(new)
        if before == after:
            return ()
        deltas: dict[str, dict[str, int]] = {}
        for (node, amounts), sign in ((before, -1), (after, 1)):
            for resource, amount in amounts.items():
                ledger = deltas.setdefault(node, {})
                ledger[resource] = ledger.get(resource, 0) + sign * amount
        changed = {node: {name: delta for name, delta in each.items() if delta} for node, each in deltas.items()}
        return [Add(node_ledger(node), each) for node, each in changed.items() if each]

    def grace_seconds(self, tree: Tree, requested: int | None) -> int:
        """Nothing to wait for unless the pod may be running on a node."""
        if not bound_node(tree) or terminal(tree):
            return 0
        if requested is not None:
            return requested
        seconds: int = tree["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
        return seconds
