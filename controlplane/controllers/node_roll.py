"""Which nodes there are and what their Ready conditions say, kept up with every change of one.

All nodes are asked about several times a second. To look at each of 5,000 anew fetches the memory of all of them, which
was two thirds of the time for which such a look holds the loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from api.core import Node
from component.informer import Change, Informer
from controlplane.controllers import node_lifecycle


class NodeRoll:
    """Follows the cache of nodes for as long as that lives."""

    def __init__(self, nodes: Informer[Node]) -> None:
        self._names: dict[str, None] = {}  # not a set, for the same order in every process
        self._reported: set[str] = set()
        self._unknown: set[str] = set()
        for node in nodes.items():
            self._changed(Change(None, node))
        nodes.subscribe(self._changed)

    @property
    def names(self) -> Iterable[str]:
        """All nodes there are."""
        return self._names

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self._names)

    @property
    def reported(self) -> int:
        """How many agents ever said how their nodes are."""
        return len(self._reported)

    def unheard(self, silent: AbstractSet[str]) -> int:
        """Of how many of those nothing is known now, by their conditions or because they are in `silent`."""
        return len(self._unknown | (self._reported & silent))

    def _changed(self, change: Change[Node]) -> None:
        name = change.latest.object.name
        self._reported.discard(name)
        self._unknown.discard(name)
        if change.new is None:
            del self._names[name]
            return
        self._names[name] = None
        ready = node_lifecycle.ready_condition(change.new.view)
        if ready is not None and node_lifecycle.reported(ready):
            self._reported.add(name)
            if ready.status == "Unknown":
                self._unknown.add(name)
