"""What a node may ask for without a role: itself, its pods, and what these need (Kubernetes: the node authorizer).

Which of its writes are right is decided where the object is known, by the admission plugin NodeRestriction.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from api.core import Event, Pod
from controlplane.apiserver.references import named_by
from controlplane.commands import Key
from controlplane.rbac.attributes import Attributes
from controlplane.store.state import State

WRITES: Mapping[str, frozenset[str]] = {
    "nodes": frozenset({"create", "update", "patch", "delete"}),
    "pods": frozenset({"create", "update", "patch", "delete"}),
    "events": frozenset({"create", "update", "patch"}),
    "leases.coordination.k8s.io": frozenset({"create", "update", "patch", "delete"}),
}
"""Those that NodeRestriction has a word on: it tells a node more than that it may not."""


def node_allows(node: str, asked: Attributes, state: State) -> bool:
    """Whether the request is one that a node has to make."""
    if asked.verb in WRITES.get(asked.qualified, ()) and asked.subresource in {"", "status"}:
        return True
    named = asked.verb == "get" and asked.name and not asked.subresource
    namespace = "" if asked.qualified == "nodes" else asked.namespace
    return bool(named) and _needs(node, Key(asked.qualified, namespace, asked.name), state)


def _needs(node: str, key: Key, state: State) -> bool:
    """A node needs itself, its pods, the ConfigMaps, Secrets and service accounts they name, and the Events it wrote."""
    if key.resource == "nodes":
        return key.name == node
    if key.resource in {"pods", "events"}:
        stored = state.get(key)
        if stored is None or key.resource == "pods":
            return stored is not None and stored.envelope.node == node
        source = msgspec.json.decode(stored.body, type=Event).source
        return source is not None and source.host == node
    for pod_key in state.by_node(node):
        stored = state.get(pod_key) if pod_key.namespace == key.namespace else None
        if stored is not None and (key.resource, key.name) in named_by(msgspec.json.decode(stored.body, type=Pod)):
            return True
    return False
