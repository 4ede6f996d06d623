"""Questions that are asked by creating them: may somebody do something, what may I do, who am I. Nothing is stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec

from api.authorization import (
    LocalSubjectAccessReview,
    SelfSubjectAccessReview,
    SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from api.honoured import refusals
from api.object import Object, Tree, canonical
from api.rbac import PolicyRule
from api.scheme import REVIEWS, decode
from api.validate_review import review_faults, rules_review_faults
from controlplane.admission.request import Identity, groups_of
from controlplane.apiserver.authorizer import Authorizer
from controlplane.apiserver.incoming import Incoming, refuse
from controlplane.rbac.attributes import Attributes

Barrier = Callable[[], Awaitable[None]]
"""Returns once the state is as new as everything acknowledged before the call."""

_KINDS = frozenset(kind.resource for kind in REVIEWS)


class Reviews:
    """Answers every kind of `api.scheme.REVIEWS`."""

    def __init__(self, authorizer: Authorizer, barrier: Barrier) -> None:
        self._authorizer = authorizer
        self._barrier = barrier
        self._answers: Mapping[str, Callable[[Identity, Incoming], Awaitable[Tree]]] = {
            "SubjectAccessReview": self._about_somebody,
            "LocalSubjectAccessReview": self._about_somebody,
            "SelfSubjectAccessReview": self._about_me,
            "SelfSubjectRulesReview": self._my_rules,
            "SelfSubjectReview": self._me,
        }

    def answers(self, given: Incoming) -> bool:
        """Whether an object that is to be created is a question."""
        return given.kind.resource in _KINDS

    async def answer(self, identity: Identity, given: Incoming) -> Object:
        """Return the question with its answer as status; the caller may ask. Invalid.

        What may not be done counts only on a state that is not older than the question.
        """
        refuse(given, [*given.faults, *refusals(given.kind, given.tree)])
        status = await self._answers[given.kind.kind](identity, given)
        metadata = {"namespace": given.namespace} if given.namespace else {}
        tree = {**given.tree, "metadata": metadata, "status": status}
        return Object(given.kind.resource, given.namespace, "", "", 0, canonical(tree))

    async def _about_somebody(self, identity: Identity, given: Incoming) -> Tree:
        del identity
        review: SubjectAccessReview | LocalSubjectAccessReview = decode(given.kind, given.tree)
        refuse(given, list(review_faults(review)))
        spec = review.spec
        return await self._decided(Identity(spec.user or "", spec.groups), _asked(spec))

    async def _about_me(self, identity: Identity, given: Incoming) -> Tree:
        review: SelfSubjectAccessReview = decode(given.kind, given.tree)
        refuse(given, list(review_faults(review)))
        return await self._decided(identity, _asked(review.spec))

    async def _my_rules(self, identity: Identity, given: Incoming) -> Tree:
        review: SelfSubjectRulesReview = decode(given.kind, given.tree)
        refuse(given, list(rules_review_faults(review)))
        await self._barrier()
        rights = self._authorizer.rights(identity, review.spec.namespace or "")
        status: Tree = {
            "resourceRules": _rules(rule for rule in rights.rules if not rule.non_resource_urls),
            "nonResourceRules": _rules(rule for rule in rights.rules if rule.non_resource_urls),
            "incomplete": bool(rights.reason),
        }
        return {**status, "evaluationError": rights.reason} if rights.reason else status

    async def _me(self, identity: Identity, given: Incoming) -> Tree:
        del given
        return {"userInfo": {"username": identity.user, "groups": list(groups_of(identity))}}

    async def _decided(self, identity: Identity, asked: Attributes) -> Tree:
        decision = self._authorizer.decide(identity, asked)
        if not decision.allowed:
            await self._barrier()
            decision = self._authorizer.decide(identity, asked)
        status: Tree = {"allowed": decision.allowed}
        return {**status, "reason": decision.reason} if decision.reason else status


def _asked(spec: SelfSubjectAccessReviewSpec | SubjectAccessReviewSpec) -> Attributes:
    """The request in question, as it stands there: `*` is a word like any other."""
    path, resource = spec.non_resource_attributes, spec.resource_attributes
    if path is not None:
        return Attributes(path.verb or "", path=path.path or "/")
    assert resource is not None, "one of the two, as validated"
    return Attributes(
        resource.verb or "",
        resource.group or "",
        resource.resource or "",
        resource.subresource or "",
        resource.namespace or "",
        resource.name or "",
    )


def _rules(rules: Iterable[PolicyRule]) -> list[Tree]:
    return [msgspec.to_builtins(rule) for rule in rules]
