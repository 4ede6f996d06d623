"""The plugins that ask webhooks: those that may change an object are asked one by one, those that judge it all at once.

Follows Kubernetes' documentation, "Dynamic Admission Control": order, reinvocation, dry run. What is asked and answered goes
through `Snapshot.answers`: a decision that needs an answer that is not there yet ends with `Unanswered`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from msgspec import structs

from api import json_patch
from api.errors import Failed, Invalid, NotFound
from api.object import Tree
from api.scheme import DEFINITIONS, Kind
from controlplane.admission.request import Request, Snapshot
from controlplane.admission.webhooks.asking import Question, question_of
from controlplane.admission.webhooks.attributes import Attributes, attributes_of
from controlplane.admission.webhooks.hooks import MUTATING, VALIDATING, Hook, Hooks, Labels, labels_of
from controlplane.admission.webhooks.review import Verdict, in_version

Finish = Callable[[Tree], Tree]
"""Completes an object that a webhook changed: what it left is checked, defaulted, and cleared of what it must not set. Invalid."""

_IDENTITY: Final = ("name", "namespace")


def as_it_is(tree: Tree) -> Tree:
    """Nothing to complete."""
    return tree


def fixed(_tree: Tree) -> Tree:
    """What cannot be changed. Invalid."""
    raise Invalid("what this is asked with cannot be changed")


def served_versions(kind: Kind, snapshot: Snapshot) -> Sequence[str]:
    """The versions in which objects of a kind can be shown: its own, and of a custom one the others of its definition."""
    own = kind.api_version.rpartition("/")[2]
    definition = snapshot.look(DEFINITIONS, "", kind.resource) if kind.custom is not None else None
    if definition is None:
        return (own,)
    versions = [each["name"] for each in definition.tree()["spec"]["versions"] if each.get("served")]
    return (own, *(each for each in versions if each != own))


class MutatingWebhooks:
    """Asks every webhook that may change objects."""

    def __init__(self) -> None:
        self._hooks = Hooks()

    def admit(self, request: Request, snapshot: Snapshot, finish: Finish, plugins: Finish) -> Tree:
        """Return the object after every webhook; `plugins` are those that changed it before.

        They run again once when any webhook changed something, and so do webhooks that want to when others changed
        something after them. Raises the ApiError of the first that denies, or that cannot be asked.
        """
        configurations = snapshot.list(MUTATING, "")
        if not configurations or snapshot.answers is None:
            return request.tree
        hooks = self._hooks.of(configurations)

        versions = served_versions(request.kind, snapshot)

        def asked_about(tree: Tree) -> Attributes:
            return attributes_of(structs.replace(request, tree=tree), versions, dry_run=snapshot.dry_run)

        tree, again = _round(hooks, request.tree, asked_about, snapshot, finish)
        if tree is request.tree:
            return tree
        admitted = plugins(tree)
        if admitted != tree:
            again = [each for each in hooks if each.reinvoked]
        return _round(again, admitted, asked_about, snapshot, finish)[0]

    def change(self, asked: Attributes, snapshot: Snapshot, finish: Finish) -> Tree | None:
        """As `admit`, for what is not an object of its resource: a subresource's, or what opens a connection."""
        configurations = snapshot.list(MUTATING, "")
        if not configurations or asked.tree is None:
            return asked.tree
        hooks = self._hooks.of(configurations)

        def asked_about(tree: Tree) -> Attributes:
            return replace(asked, tree=tree)

        tree, again = _round(hooks, asked.tree, asked_about, snapshot, finish)
        return _round(again, tree, asked_about, snapshot, finish)[0]


class ValidatingWebhooks:
    """Asks every webhook that judges objects; a validator of the chain."""

    def __init__(self) -> None:
        self._hooks = Hooks()

    def check(self, request: Request, snapshot: Snapshot) -> None:
        """Raise what a webhook has against the request."""
        configurations = snapshot.list(VALIDATING, "")
        if configurations and snapshot.answers is not None:
            versions = served_versions(request.kind, snapshot)
            self.judge(attributes_of(request, versions, dry_run=snapshot.dry_run), snapshot)

    def judge(self, asked: Attributes, snapshot: Snapshot) -> None:
        """As `check`, for what is not an object of its resource."""
        configurations = snapshot.list(VALIDATING, "")
        if not configurations or asked.exempt:
            return
        matching = [
            question_of(hook, asked, version)
            for hook in self._hooks.of(configurations)
            if (version := _version(hook, asked, snapshot))
        ]
        _ask(matching, snapshot)


def _round(
    hooks: Sequence[Hook],
    tree: Tree,
    asked_about: Callable[[Tree], Attributes],
    snapshot: Snapshot,
    finish: Finish,
) -> tuple[Tree, Sequence[Hook]]:
    """The object after each webhook, and those that want to be asked again: others changed it after them."""
    eligible: list[Hook] = []
    again: list[Hook] = []
    asked = asked_about(tree)
    for hook in () if asked.exempt else hooks:
        version = _version(hook, asked, snapshot)
        if not version:
            continue
        question = question_of(hook, asked, version)
        [verdict] = _ask([question], snapshot)
        changed = _changed(question, tree, verdict, finish)
        if changed != tree:
            tree, asked = changed, asked_about(changed)
            again = list(eligible)
        if hook.reinvoked:
            eligible.append(hook)
    return tree, again


def _version(hook: Hook, asked: Attributes, snapshot: Snapshot) -> str:
    return hook.version_for(asked, lambda: _namespace_labels(asked, snapshot))


def _ask(questions: Sequence[Question], snapshot: Snapshot) -> Sequence[Verdict]:
    if not questions:
        return ()
    for question in questions:
        if question.request["dryRun"] and not question.hook.dry_runs:
            raise Invalid(f'admission webhook "{question.hook.name}" does not support dry run')
    assert snapshot.answers is not None, "whoever needs no answers asks nothing"
    verdicts = snapshot.answers.to(questions)
    for verdict in verdicts:
        for warning in verdict.warnings:
            snapshot.warn(warning)
    for verdict in verdicts:
        if verdict.denial is not None:
            raise verdict.denial
    return verdicts


def _changed(question: Question, tree: Tree, verdict: Verdict, finish: Finish) -> Tree:
    """The object as the webhook wants it. Failed when its patch does not fit, or makes another object of it."""
    if verdict.patch is None:
        return tree
    shown, name = question.request["object"], question.hook.name
    if shown is None:
        raise Failed(
            f'admission webhook "{name}" attempted to modify the object, which is not supported for this operation'
        )
    try:
        patched = json_patch.json_patch(shown, verdict.patch)
        if patched == shown:
            return tree
        _check_identity(shown, patched)
        own = in_version(patched, tree["apiVersion"])
        assert own is not None, "an object is shown as an object"
        return finish(own)
    except Invalid as error:
        raise Failed(f'admission webhook "{name}": its patch cannot be applied: {error}') from None


def _check_identity(shown: Tree, patched: Tree) -> None:
    """A webhook changes an object, it does not make another one of it. Invalid."""
    if type(patched) is not dict or type(patched.get("metadata", {})) is not dict:
        raise Invalid("what it leaves is no object")
    before, after = shown.get("metadata", {}), patched.get("metadata", {})
    for path, was, became in (
        *((each, shown.get(each), patched.get(each)) for each in ("apiVersion", "kind")),
        *((f"metadata.{each}", before.get(each), after.get(each)) for each in _IDENTITY),
    ):
        if was != became:
            raise Invalid(f"{path}: Forbidden: it cannot be changed")


def _namespace_labels(asked: Attributes, snapshot: Snapshot) -> Labels:
    """The labels of the request's namespace; of a Namespace that is written, those that it is to have. NotFound."""
    if asked.of_namespace and asked.tree is not None and not asked.subresource:
        return labels_of(asked.tree)
    namespace = snapshot.look("namespaces", "", asked.namespace)
    if namespace is None:
        raise NotFound(f'namespace "{asked.namespace}" not found')
    return labels_of(namespace.tree())
