"""Who has which rules, kept ready for questions while roles and bindings come and go.

A change costs what it changes; what was put together for somebody is put together anew after any change. It must not
know where the objects are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from api.rbac import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject
from controlplane.rbac.attributes import Attributes, quoted
from controlplane.rbac.rules import Rule, allows, compiled, matches_resource

KEPT_GRANTS: Final = 100_000
"""Kept together for people and namespaces, about 10 MB; beyond, all are forgotten."""

KEPT_ANSWERS: Final = 1_000
"""Of one of them, by verb and resource."""

Place = tuple[str, str]
"""Namespace ("" for what has none) and name."""

Principal = str
"""`User:` or `Group:` and the name; a service account is the user that it authenticates as."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding of either kind; `namespace` "" binds everywhere."""

    namespace: str
    name: str
    role: RoleRef
    subjects: tuple[Subject, ...]

    @property
    def role_place(self) -> Place:
        """Where its role is."""
        return (self.namespace if self.role.kind == "Role" else "", self.role.name)

    def principals(self) -> Iterator[tuple[Principal, Subject]]:
        """Whom it is for."""
        for subject in self.subjects:
            if subject.kind == "ServiceAccount":
                namespace = subject.namespace or self.namespace
                if namespace:
                    yield f"User:{service_account_user(namespace, subject.name)}", subject
            else:
                yield f"{subject.kind}:{subject.name}", subject

    def described(self, subject: Subject) -> str:
        """How a reason names it, as Kubernetes does."""
        whom = subject.name
        if subject.kind == "ServiceAccount":
            whom += f"/{subject.namespace or self.namespace}"
        kind, name = (
            ("RoleBinding", f"{self.name}/{self.namespace}") if self.namespace else ("ClusterRoleBinding", self.name)
        )
        role = f"{self.role.kind} {quoted(self.role.name)}"
        return f"{kind} {quoted(name)} of {role} to {subject.kind} {quoted(whom)}"


@dataclass(frozen=True, slots=True)
class Grant:
    """One rule that somebody has, and through what."""

    rule: Rule
    policy: PolicyRule
    binding: Binding
    subject: Subject


@dataclass(slots=True)
class Grants:
    """All that somebody may do in one namespace, or, in "", on what has none. `broken` names roles that are not there."""

    all: Sequence[Grant]
    broken: Sequence[str]
    _answers: dict[tuple[str, str, str, str], Sequence[Grant]] = field(default_factory=dict)

    def allow(self, asked: Attributes) -> bool:
        """Whether one of them allows the request."""
        return self.find(asked) is not None

    def find(self, asked: Attributes) -> Grant | None:
        """The first that allows the request."""
        if asked.path:
            return next((each for each in self.all if allows(each.rule, asked)), None)
        question = asked.verb, asked.group, asked.resource, asked.subresource
        near = self._answers.get(question)
        if near is None:
            near = self._remember(question, asked)
        for each in near:
            names = each.rule.names
            if not names or asked.name in names:
                return each
        return None

    def _remember(self, question: tuple[str, str, str, str], asked: Attributes) -> Sequence[Grant]:
        """The grants for that verb and resource; one for all names stands for all of them."""
        verbs = {asked.verb, "*"}
        near = [
            each for each in self.all if not verbs.isdisjoint(each.rule.verbs) and matches_resource(each.rule, asked)
        ]
        broad = next((each for each in near if not each.rule.names), None)
        if len(self._answers) >= KEPT_ANSWERS:
            self._answers.clear()
        answer = self._answers[question] = [broad] if broad is not None else near
        return answer


class Index:
    """Roles and bindings by what is asked for: the grants of a user in groups, in a namespace."""

    def __init__(self) -> None:
        self._roles: dict[Place, Sequence[tuple[Rule, PolicyRule]]] = {}
        self._bindings: dict[Place, Binding] = {}
        self._bound: dict[tuple[Principal, str], dict[Place, tuple[Binding, Subject]]] = {}
        self._kept: dict[tuple[str, tuple[str, ...], str], Grants] = {}
        self._kept_count = 0

    def put_role(self, place: Place, role: Role | ClusterRole) -> None:
        """Add or replace a role; a ClusterRole has no namespace."""
        self._forget()
        self._roles[place] = [(compiled(rule), rule) for rule in role.rules]

    def remove_role(self, place: Place) -> None:
        """Forget a role."""
        self._forget()
        self._roles.pop(place, None)

    def put_binding(self, place: Place, binding: RoleBinding | ClusterRoleBinding) -> None:
        """Add or replace a binding; a ClusterRoleBinding has no namespace."""
        self.remove_binding(place)
        new = self._bindings[place] = Binding(*place, binding.role_ref, binding.subjects)
        for principal, subject in new.principals():
            self._bound.setdefault((principal, new.namespace), {}).setdefault(place, (new, subject))

    def remove_binding(self, place: Place) -> None:
        """Forget a binding."""
        self._forget()
        old = self._bindings.pop(place, None)
        if old is None:
            return
        for principal in {principal for principal, _ in old.principals()}:
            bound = self._bound[principal, old.namespace]
            del bound[place]
            if not bound:
                del self._bound[principal, old.namespace]

    def grants(self, user: str, groups: tuple[str, ...], namespace: str) -> Grants:
        """What a user in groups may do in a namespace; in "" only what is granted everywhere."""
        who = user, groups, namespace
        grants = self._kept.get(who)
        if grants is None:
            grants = self._gathered(user, groups, namespace)
            self._kept_count += 1 + len(grants.all)
            if self._kept_count > KEPT_GRANTS:
                self._forget()
            self._kept[who] = grants
        return grants

    def _forget(self) -> None:
        self._kept.clear()
        self._kept_count = 0

    def _gathered(self, user: str, groups: Iterable[str], namespace: str) -> Grants:
        found: list[Grant] = []
        broken: list[str] = []
        principals = [f"User:{user}", *(f"Group:{group}" for group in dict.fromkeys(groups))]
        for scope in ("", namespace) if namespace else ("",):
            for principal in principals:
                for binding, subject in self._bound.get((principal, scope), {}).values():
                    rules = self._roles.get(binding.role_place)
                    if rules is None:
                        broken.append(missing_role(binding.role))
                    for rule, policy in rules or ():
                        found.append(Grant(rule, policy, binding, subject))
        return Grants(found, list(dict.fromkeys(broken)))


def service_account_user(namespace: str, name: str) -> str:
    """The user that a service account authenticates as."""
    return f"system:serviceaccount:{namespace}:{name}"


def missing_role(role: RoleRef) -> str:
    """What Kubernetes says of a binding whose role is not there."""
    return f"{role.kind.lower()}.rbac.authorization.k8s.io {quoted(role.name)} not found"
