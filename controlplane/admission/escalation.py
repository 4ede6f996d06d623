"""Nobody gives away, by a role or a binding, what they may not do themselves.

Follows Kubernetes' documentation, "Using RBAC Authorization", privilege escalation prevention: whoever has the verb
`escalate` on a role may write anything into it, whoever has `bind` on a role may bind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from api.errors import Forbidden, NotFound
from api.object import Tree
from api.rbac import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding
from api.scheme import RBAC, Kind, by_kind, decode
from controlplane.admission.request import MASTERS_GROUP, Identity, Request, Snapshot, groups_of
from controlplane.rbac.attributes import Attributes, on, quoted
from controlplane.rbac.rules import EVERY_POLICY, Rule, missing, shown

_BOOKKEEPING: Final = frozenset({"finalizers", "ownerReferences", "managedFields", "resourceVersion"})
"""Metadata that the garbage collector has to change whatever the role says."""

_API_VERSION: Final = f"{RBAC}/v1"
_ROLES: Final = frozenset({"Role", "ClusterRole"})
_BINDINGS: Final = frozenset({"RoleBinding", "ClusterRoleBinding"})


class Rights(Protocol):
    """Knows who may do what."""

    def allows(self, identity: Identity, asked: Attributes) -> bool:
        """Whether the request may be made."""

    def rules_of(self, identity: Identity, namespace: str) -> Sequence[Rule]:
        """What somebody may do in a namespace; in "" what they may do everywhere."""


class RoleEscalation:
    """Judges creates and updates of roles and bindings."""

    def __init__(self, rights: Rights) -> None:
        self._rights = rights

    def check(self, request: Request, snapshot: Snapshot) -> None:
        """Forbidden when more would be given than the writer has; NotFound for a role that is to be bound and not there."""
        kind = request.kind
        if kind.group != RBAC or request.verb not in {"create", "update"}:
            return
        if MASTERS_GROUP in request.identity.groups or _same(request.tree, request.old):
            return
        if kind.kind in _ROLES:
            self._check_role(request)
        elif kind.kind in _BINDINGS:
            self._check_binding(request, snapshot)

    def _check_role(self, request: Request) -> None:
        role: Role | ClusterRole = decode(request.kind, request.tree)
        if self._rights.allows(request.identity, on(request.kind, "escalate", request.namespace, request.name)):
            return
        self._check_held(request, role.rules)
        before: Role | ClusterRole | None = None if request.old is None else decode(request.kind, request.old)
        gathers = any(isinstance(each, ClusterRole) and each.aggregation_rule is not None for each in (role, before))
        if gathers and missing(self._rights.rules_of(request.identity, request.namespace), EVERY_POLICY):
            raise _forbidden(request, "must have cluster-admin privileges to use the aggregationRule")

    def _check_binding(self, request: Request, snapshot: Snapshot) -> None:
        binding: RoleBinding | ClusterRoleBinding = decode(request.kind, request.tree)
        bound = by_kind(_API_VERSION, binding.role_ref.kind)
        name = binding.role_ref.name
        verb = Attributes("bind", bound.group, bound.plural, "", request.namespace, name)
        if self._rights.allows(request.identity, verb):
            return
        role = snapshot.get(bound.resource, request.namespace if bound.namespaced else "", name)
        if role is None:
            raise NotFound(f'{bound.resource} "{name}" not found')
        self._check_held(request, _rules(bound, role.tree()))

    def _check_held(self, request: Request, rules: Sequence[PolicyRule]) -> None:
        lacking = missing(self._rights.rules_of(request.identity, request.namespace), rules)
        if lacking:
            identity = request.identity
            groups = " ".join(map(quoted, groups_of(identity)))
            raise _forbidden(
                request,
                f"user {quoted(identity.user)} (groups=[{groups}]) is attempting to grant RBAC permissions not currently "
                f"held:\n" + "\n".join(sorted(map(shown, lacking))),
            )


def _rules(kind: Kind, tree: Tree) -> Sequence[PolicyRule]:
    role: Role | ClusterRole = decode(kind, tree)
    return role.rules


def _forbidden(request: Request, why: str) -> Forbidden:
    return Forbidden(f"{request.kind.resource} {quoted(request.name)} is forbidden: {why}")


def _same(tree: Tree, old: Tree | None) -> bool:
    """Whether nothing changes but what garbage collection needs."""
    return old is not None and _content(tree) == _content(old)


def _content(tree: Tree) -> Tree:
    metadata = {name: value for name, value in tree["metadata"].items() if name not in _BOOKKEEPING}
    return {**tree, "metadata": metadata}
