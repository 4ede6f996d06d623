"""Objects on their way in, and how large a write is: the request, or the object that it changes.

Reading a large one is done beside the loop. It must not know verbs.
"""

from __future__ import annotations

from api.object import Tree
from api.scheme import Kind
from controlplane.admission.request import Identity
from controlplane.apiserver import incoming
from controlplane.apiserver.committing import How
from controlplane.apiserver.fairness.aside import Aside
from controlplane.apiserver.incoming import Incoming
from controlplane.apiserver.known_kinds import KnownKinds
from controlplane.apiserver.objects import key_of
from controlplane.replica import Replica


class Arriving:
    """Reads what was sent, and weighs it."""

    def __init__(self, replica: Replica, kinds: KnownKinds, aside: Aside) -> None:
        self._replica = replica
        self._kinds = kinds
        self._aside = aside

    async def read(
        self, identity: Identity, tree: Tree, how: How, *, with_defaults: bool = True, questions: bool = False
    ) -> Incoming:
        """As `incoming.read_as`, of a kind that is known here; `how` learns how large the write is. NotFound, Invalid."""
        kind = await self._kinds.find(lambda kinds: incoming.kind_of(tree, kinds))
        given = await self._aside.run(
            identity,
            how.get("size", 0),
            lambda: incoming.read_as(kind, tree, with_defaults=with_defaults, questions=questions),
        )
        self.weigh(how, kind, given.namespace, given.name)
        return given

    def weigh(self, how: How, kind: Kind, namespace: str, name: str, size: int = 0) -> None:
        """Note in `how` that a write has at least `size` bytes, and as many as the object that is there."""
        stored = self._replica.state.held(key_of(kind, namespace, name))
        how["size"] = max(how.get("size", 0), size, 0 if stored is None else len(stored.body))
