"""A node may write only itself and the pods bound to it (Kubernetes: NodeRestriction)."""

from __future__ import annotations

from typing import NoReturn

from api.errors import Forbidden
from api.object import Tree
from controlplane.admission.request import Request, Snapshot

LEASE_NAMESPACE = "kube-node-lease"


class NodeRestriction:
    """Judges writes of node identities; everybody else passes.

    It stands at both ends of the chain: what a node may not do is told before anything is told about the object.
    """

    def admit(self, request: Request, snapshot: Snapshot) -> Tree:
        """Return the tree as it is, if the write may be."""
        self.check(request, snapshot)
        return request.tree

    def check(self, request: Request, snapshot: Snapshot) -> None:  # noqa: ARG002 - the stored object is in the request
        """Forbidden unless the write is one that a node has to make."""
        node = request.identity.node
        if not node:
            return
        match request.kind.resource:
            case "nodes":
                self._check_node(request, node)
            case "pods":
                self._check_pod(request, node)
            case "events" if request.verb in {"create", "update"}:
                return
            case "leases.coordination.k8s.io" if (request.namespace, request.name) == (LEASE_NAMESPACE, node):
                return
            case _:
                _refuse(request, "may not write objects of this kind")

    def _check_node(self, request: Request, node: str) -> None:
        if request.name != node:
            _refuse(request, "may only write its own Node")
        if request.verb == "delete":
            _refuse(request, "may not delete itself")
        if request.old is not None and request.tree.get("spec") != request.old.get("spec"):
            _refuse(request, "may not change its own spec")

    def _check_pod(self, request: Request, node: str) -> None:
        if request.verb not in {"update_status", "delete"}:
            _refuse(request, "may only report the status of pods and delete those that ended")
        pod = request.tree if request.old is None else request.old
        if pod["spec"].get("nodeName", "") != node:
            _refuse(request, "may only write pods bound to it")


def _refuse(request: Request, why: str) -> NoReturn:
    name = f"{request.namespace}/{request.name}" if request.namespace else request.name
    verb = request.verb.replace("_", " ")
    raise Forbidden(f'node "{request.identity.node}" {why}: {verb} of {request.kind.singular} "{name}" refused')
