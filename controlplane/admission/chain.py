"""The order in which plugins see a write: those that change it first, then, after validation, those that judge it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from msgspec import structs

from api.object import Tree
from controlplane.admission.default_tolerations import DefaultTolerations
from controlplane.admission.limit_ranger import LimitRanger
from controlplane.admission.namespace_lifecycle import NamespaceLifecycle
from controlplane.admission.node_restriction import NodeRestriction
from controlplane.admission.pod_security import PodSecurity
from controlplane.admission.priority import Priority
from controlplane.admission.request import Request, Snapshot
from controlplane.admission.resource_quota import ResourceQuota
from controlplane.admission.service_account import DefaultServiceAccount
from controlplane.admission.token_mount import TokenMount
from controlplane.admission.webhooks.attributes import Attributes
from controlplane.admission.webhooks.plugin import Finish, MutatingWebhooks, ValidatingWebhooks, as_it_is


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
    webhooks: MutatingWebhooks | None = None

    @property
    def limits_quotas(self) -> bool:
        """Whether what exceeds a quota is refused; it is counted in any case."""
        return any(isinstance(plugin, ResourceQuota) for plugin in self.validators)

    def admit(self, request: Request, snapshot: Snapshot, finish: Finish = as_it_is) -> Tree:
        """Return the tree after every mutator, then every webhook; `finish` completes what a webhook changed."""
        tree = self._mutated(request, snapshot)
        if self.webhooks is None:
            return tree
        if tree is not request.tree:
            request = structs.replace(request, tree=tree)
        return self.ask(
            request, snapshot, finish, lambda each: self._mutated(structs.replace(request, tree=each), snapshot)
        )

    def ask(self, request: Request, snapshot: Snapshot, finish: Finish, plugins: Finish = as_it_is) -> Tree:
        """Return the tree after every webhook; `plugins` run again when one changed it."""
        return request.tree if self.webhooks is None else self.webhooks.admit(request, snapshot, finish, plugins)

    def consult(self, asked: Attributes, snapshot: Snapshot, finish: Finish) -> Tree | None:
        """Return what a subresource is posted, or a connection opened with, after every webhook. Raises what one denies."""
        if self.webhooks is not None:
            asked = replace(asked, tree=self.webhooks.change(asked, snapshot, finish))
        for plugin in self.validators:
            if isinstance(plugin, ValidatingWebhooks):
                plugin.judge(asked, snapshot)
        return asked.tree

    def _mutated(self, request: Request, snapshot: Snapshot) -> Tree:
        for plugin in self.mutators:
            tree = plugin.admit(request, snapshot)
            if tree is not request.tree:
                request = structs.replace(request, tree=tree)
        return request.tree

    def with_validator(self, plugin: Validator) -> Chain:
        """The chain with one more validator at its end."""
        return replace(self, validators=(*self.validators, plugin))

    def check(self, request: Request, snapshot: Snapshot) -> None:
        """Raise what the first validator that objects raises."""
        for plugin in self.validators:
            plugin.check(request, snapshot)


MUTATORS: Sequence[tuple[str, Callable[[], Mutator]]] = (
    ("NodeRestriction", NodeRestriction),
    ("LimitRanger", LimitRanger),
    ("ServiceAccount", DefaultServiceAccount),
    ("ServiceAccount", TokenMount),
    ("Priority", Priority),
    ("DefaultTolerationSeconds", DefaultTolerations),
)
"""Every plugin that changes objects, in order, by the name that Kubernetes has for it."""

VALIDATORS: Sequence[tuple[str, Callable[[], Validator]]] = (
    ("NodeRestriction", NodeRestriction),
    ("NamespaceLifecycle", NamespaceLifecycle),
    ("LimitRanger", LimitRanger),
    ("PodSecurity", PodSecurity),
    ("Priority", Priority),
    ("ValidatingAdmissionWebhook", ValidatingWebhooks),
    ("ResourceQuota", ResourceQuota),
)
"""Every plugin that judges them."""

MUTATING_WEBHOOKS = "MutatingAdmissionWebhook"
"""The plugin that asks webhooks, after all others that change objects."""

REQUIRED = frozenset({"NodeRestriction", "NamespaceLifecycle"})
"""Without these a node could write anything, and namespaces could not be emptied."""


def default_chain(disabled: Collection[str] = ()) -> Chain:
    """Every plugin of this version in its order, but for those disabled by name. ValueError for a name that cannot be."""
    known = {MUTATING_WEBHOOKS, *(name for name, _ in (*MUTATORS, *VALIDATORS))}
    for name in disabled:
        if name not in known:
            raise ValueError(f"there is no admission plugin {name!r}; there are {', '.join(sorted(known))}")
        if name in REQUIRED:
            raise ValueError(f"the admission plugin {name} cannot be disabled: the system needs it")
    return Chain(
        mutators=[plugin() for name, plugin in MUTATORS if name not in disabled],
        validators=[plugin() for name, plugin in VALIDATORS if name not in disabled],
        webhooks=None if MUTATING_WEBHOOKS in disabled else MutatingWebhooks(),
    )
