"""The order in which plugins see a write: those that change it first, then, after validation, those that judge it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from api.object import Tree
from controlplane.admission.default_tolerations import DefaultTolerations
from controlplane.admission.namespace_lifecycle import NamespaceLifecycle
from controlplane.admission.node_restriction import NodeRestriction
from controlplane.admission.request import Request, Snapshot
from controlplane.admission.service_account import DefaultServiceAccount
from controlplane.admission.token_mount import TokenMount


class Mutator(Protocol):
    """Completes an object before it is validated."""

    def admit(self, request: Request, snapshot: Snapshot) -> Tree:
        """Return the tree to go on with: `request.tree`, or a changed copy. Raises Invalid or Forbidden."""


class Validator(Protocol):
    """Judges an object that is otherwise ready to be stored, and deletions."""

    def check(self, request: Request, snapshot: Snapshot) -> None:
        """Raise Invalid, Forbidden or NotFound if it must not be."""


@dataclass(frozen=True)
class Chain:
    """Plugins in order. Pure: both phases may run again for the same request on newer state."""

    mutators: Sequence[Mutator] = ()
    validators: Sequence[Validator] = ()

    def admit(self, request: Request, snapshot: Snapshot) -> Tree:
        """Return the tree after every mutator."""
        for plugin in self.mutators:
            tree = plugin.admit(request, snapshot)
            if tree is not request.tree:
                request = replace(request, tree=tree)
        return request.tree

    def with_validator(self, plugin: Validator) -> Chain:
        """The chain with one more validator at its end."""
        return replace(self, validators=(*self.validators, plugin))

    def check(self, request: Request, snapshot: Snapshot) -> None:
        """Raise what the first validator that objects raises."""
        for plugin in self.validators:
            plugin.check(request, snapshot)


def default_chain() -> Chain:
    """Every plugin of this version in its order."""
    return Chain(
        mutators=(NodeRestriction(), DefaultServiceAccount(), TokenMount(), DefaultTolerations()),
        validators=(NodeRestriction(), NamespaceLifecycle()),
    )
