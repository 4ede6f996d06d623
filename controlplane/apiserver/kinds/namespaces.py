"""Namespaces: they go only when a controller has emptied them and clears spec.finalizers."""

from __future__ import annotations

from api.errors import Conflict
from api.object import Tree
from api.wellknown import NAMESPACE_FINALIZER, NAMESPACE_NAME_LABEL
from controlplane.apiserver.decision import Snapshot
from controlplane.apiserver.kinds.base import KindRules


class NamespaceRules(KindRules):
    """Rules of namespaces."""

    def arriving(self, tree: Tree, old: Tree | None) -> Tree:
        """Ours joins the finalizers of a create; after that they only go, from a terminating one, by naming the rest."""
        tree = super().arriving(tree, old)
        spec, metadata = tree.get("spec", {}), tree["metadata"]
        if old is None:
            finalizers = [
                *(each for each in spec.get("finalizers", []) if each != NAMESPACE_FINALIZER),
                NAMESPACE_FINALIZER,
            ]
            tree = {**tree, "status": {"phase": "Active"}}
        else:
            finalizers = old["spec"].get("finalizers", [])
            if "deletionTimestamp" in old["metadata"] and "finalizers" in spec:
                finalizers = [each for each in finalizers if each in spec["finalizers"]]
        labels = {**metadata.get("labels", {}), NAMESPACE_NAME_LABEL: metadata["name"]}
        return {**tree, "metadata": {**metadata, "labels": labels}, "spec": {**spec, "finalizers": finalizers}}

    def marked(self, tree: Tree) -> Tree:
        """From now on nothing new is accepted in it."""
        return {**tree, "status": {**tree.get("status", {}), "phase": "Terminating"}}

    def held(self, tree: Tree) -> bool:
        """Until the namespace controller is done."""
        return bool(tree["spec"].get("finalizers"))

    def leaving(self, tree: Tree, snapshot: Snapshot) -> None:
        """A terminating namespace only ever gets emptier, so what is seen empty stays empty."""
        namespace = tree["metadata"]["name"]
        for resource in snapshot.state.resources():
            if left := snapshot.state.scan(resource, namespace, limit=1):
                raise Conflict(f'namespace "{namespace}" still holds {left[0].envelope.key}')
