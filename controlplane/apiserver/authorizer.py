"""Who may do what, decided on the state of this replica: administrators, nodes, and everybody by roles and bindings.

The rules are `controlplane.rbac`'s. A decision costs about a microsecond: roles and bindings are looked at again only
when one of them has changed, and what somebody may do is remembered until then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from api.errors import Forbidden
from api.rbac import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding
from api.scheme import RBAC
from controlplane.admission.request import MASTERS_GROUP, Identity, groups_of
from controlplane.apiserver.node_access import node_allows
from controlplane.commands import Stored
from controlplane.rbac.attributes import Attributes, refusal
from controlplane.rbac.index import Grants, Index, Place
from controlplane.rbac.rules import EVERY_POLICY, EVERY_RULE, Rule
from controlplane.store.state import State

_ROLES: Final = ((f"roles.{RBAC}", Role), (f"clusterroles.{RBAC}", ClusterRole))
_BINDINGS: Final = ((f"rolebindings.{RBAC}", RoleBinding), (f"clusterrolebindings.{RBAC}", ClusterRoleBinding))


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` says through what it is allowed, or, of a refusal, what is wrong with the roles if something is."""

    allowed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Rights:
    """Everything that somebody may do in a namespace, as rules; `reason` says why they may not be all."""

    rules: Sequence[PolicyRule]
    reason: str


class Authorizer:
    """Decides on `state()` as it is at the moment: a refusal by a replica that lags may be wrong, see `ApiCore.authorize`."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state
        self._index = Index()
        self._known: dict[str, dict[Place, Stored]] = {}
        self._seen: tuple[State | None, int] = (None, -1)
        self._changes: dict[str, int] = {}

    def allows(self, identity: Identity, asked: Attributes) -> bool:
        """Whether `identity` may make the request."""
        if MASTERS_GROUP in identity.groups:
            return True
        state = self._state()
        node = identity.node
        if node and node_allows(node, asked, state):
            return True
        return self._grants(identity, asked.namespace, state).allow(asked)

    def check(self, identity: Identity, asked: Attributes) -> None:
        """Raise Forbidden, in Kubernetes' words, unless `identity` may make the request."""
        if not self.allows(identity, asked):
            raise Forbidden(refusal(identity.user, asked, self.decide(identity, asked).reason))

    def decide(self, identity: Identity, asked: Attributes) -> Decision:
        """As `allows`, with the reason."""
        if MASTERS_GROUP in identity.groups:
            return Decision(allowed=True, reason=f"the group {MASTERS_GROUP} may do everything")
        state = self._state()
        node = identity.node
        if node and node_allows(node, asked, state):
            return Decision(allowed=True, reason=f'the node "{node}" needs it')
        grants = self._grants(identity, asked.namespace, state)
        if (found := grants.find(asked)) is not None:
            return Decision(allowed=True, reason=f"RBAC: allowed by {found.binding.described(found.subject)}")
        return Decision(allowed=False, reason=f"RBAC: {', '.join(grants.broken)}" if grants.broken else "")

    def rules_of(self, identity: Identity, namespace: str) -> Sequence[Rule]:
        """The rules that roles give somebody in a namespace; in "" only those that hold everywhere."""
        if MASTERS_GROUP in identity.groups:
            return EVERY_RULE
        return [each.rule for each in self._grants(identity, namespace, self._state()).all]

    def rights(self, identity: Identity, namespace: str) -> Rights:
        """As `rules_of`, as people write rules; each once."""
        grants = self._grants(identity, namespace, self._state())
        rules = [each.policy for each in grants.all]
        if MASTERS_GROUP in identity.groups:
            rules = [*EVERY_POLICY, *rules]
        reasons = list(grants.broken)
        if identity.node:
            reasons.append("what a node may do besides depends on its pods")
        return Rights([rule for at, rule in enumerate(rules) if rule not in rules[:at]], ", ".join(reasons))

    def _grants(self, identity: Identity, namespace: str, state: State) -> Grants:
        if self._seen[0] is not state or self._seen[1] != state.revision:
            self._refresh(state)
        return self._index.grants(identity.user, groups_of(identity), namespace)

    def _refresh(self, state: State) -> None:
        """Bring the index up to `state`; costs next to nothing when no role or binding changed."""
        same_state = self._seen[0] is state
        for resource, kind in (*_ROLES, *_BINDINGS):
            changes = state.changes(resource)
            if not same_state or self._changes.get(resource) != changes:
                self._read(state, resource, kind)
                self._changes[resource] = changes
        self._seen = state, state.revision

    def _read(self, state: State, resource: str, kind: Any) -> None:
        """Take over what differs. Objects are never changed in place, so what is the same object has not changed."""
        roles = kind in {Role, ClusterRole}
        put: Callable[[Place, Any], None] = self._index.put_role if roles else self._index.put_binding
        remove = self._index.remove_role if roles else self._index.remove_binding
        known = self._known.get(resource, {})
        seen: dict[Place, Stored] = {}
        for stored in state.each(resource):
            key = stored.envelope.key
            place = key.namespace, key.name
            seen[place] = stored
            if known.get(place) is not stored:
                put(place, msgspec.json.decode(stored.body, type=kind))
        for place in known.keys() - seen.keys():
            remove(place)
        self._known[resource] = seen
