"""The rules a kind has unless it has its own."""

from __future__ import annotations

from collections.abc import Sequence

from api.object import Tree
from controlplane.apiserver.decision import Snapshot
from controlplane.commands import Op


class KindRules:
    """Hooks of the write path, all pure: trees in, trees or operations out; arguments are never changed."""

    def arriving(self, tree: Tree, old: Tree | None) -> Tree:
        """Before admission and validation: drop and carry over fields that users do not own. `old` None: a create.

        A create starts without a status; an update keeps the stored one.
        """
        rest = {name: value for name, value in tree.items() if name != "status"}
        if old is not None and "status" in old:
            rest["status"] = old["status"]
        return rest

    def completed(self, tree: Tree, old: Tree | None, snapshot: Snapshot) -> Tree:  # noqa: ARG002 - a hook
        """After validation: fill what is allocated or derived. Raises Invalid or TooLarge when it cannot be."""
        return tree

    def consequences(self, old: Tree | None, new: Tree | None) -> Sequence[Op]:  # noqa: ARG002 - a hook
        """Claims and ledger entries that go with replacing `old` by `new`; None for no object."""
        return ()

    def check_status(self, tree: Tree) -> None:
        """Before a status is stored. Raises Invalid for one that whoever reads it could not work with."""

    def grace_seconds(self, tree: Tree, requested: int | None) -> int:  # noqa: ARG002 - a hook
        """How long a deletion has to wait for whoever works on the object; 0: it may vanish at once."""
        return 0

    def marked(self, tree: Tree) -> Tree:
        """A tree that has just got its deletionTimestamp."""
        return tree

    def held(self, tree: Tree) -> bool:  # noqa: ARG002 - a hook
        """Whether something besides metadata.finalizers keeps an object from vanishing."""
        return False

    def leaving(self, tree: Tree, snapshot: Snapshot) -> None:
        """The object is about to vanish. Raises Conflict when it must not yet."""
