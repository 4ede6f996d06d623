"""Objects of custom kinds: they are made only while their definition is there to stay."""

from __future__ import annotations

from api.errors import Conflict, NotFound, NotReady
from api.object import Tree, at
from api.scheme import DEFINITIONS, Kind
from controlplane.apiserver.decision import Snapshot
from controlplane.apiserver.kinds.base import KindRules


class CustomRules(KindRules):
    """Rules of one custom kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def arriving(self, tree: Tree, old: Tree | None) -> Tree:
        """A status is only apart where the definition says so."""
        return super().arriving(tree, old) if self._kind.has_status else tree

    def completed(self, tree: Tree, old: Tree | None, snapshot: Snapshot) -> Tree:
        """A new object depends on every detail of its definition: one that is being deleted leaves nothing behind."""
        if old is not None:
            return tree
        definition = snapshot.get(DEFINITIONS, "", self._kind.resource)
        if definition is None:
            raise NotFound(f'there is no resource "{self._kind.resource}"')
        found = definition.tree()
        if at(found, "metadata.deletionTimestamp"):
            raise NotReady("create not allowed while custom resource definition is terminating")
        custom = self._kind.custom
        assert custom is not None, "these are rules of custom kinds"
        if (definition.uid, found["metadata"].get("generation", 0)) != (custom.uid, custom.generation):
            raise Conflict(f'the definition of "{self._kind.resource}" has just changed: send the request again')
        return tree
