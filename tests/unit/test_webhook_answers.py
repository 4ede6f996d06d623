"""Answers of webhooks: each counts for one question, and nobody is asked for ever."""

from __future__ import annotations

import pytest

from api.errors import Conflict
from api.scheme import by_resource
from controlplane.admission.request import Identity, Request
from controlplane.admission.webhooks.asking import ASKED_AT_MOST, Answers, Unanswered, question_of
from controlplane.admission.webhooks.attributes import attributes_of
from controlplane.admission.webhooks.review import Verdict
from tests.unit.test_webhook_configurations import CLIENT, compiled
from tests.webhook_server import hook

[HOOK] = compiled(hook("a", CLIENT))


def question(name="web", namespace="default", verb="create", **metadata):
    tree = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, **metadata}}
    request = Request(Identity("me"), verb, by_resource("pods"), namespace, name, tree)
    return question_of(HOOK, attributes_of(request, ("v1",), dry_run=False), "v1")


def test_an_answer_counts_for_the_same_question_only():
    answers, verdict = Answers(), Verdict(warnings=("careful",))
    with pytest.raises(Unanswered):
        answers.to([question()])
    answers.give(question(creationTimestamp="2026-01-01T00:00:00Z"), verdict)
    assert answers.to([question(creationTimestamp="2026-01-01T00:00:01Z")]) == [verdict], "when it is made is no matter"
    for other in (question("db"), question(labels={"a": "b"}), question(verb="delete")):
        with pytest.raises(Unanswered) as unanswered:
            answers.to([question(), other])
        assert unanswered.value.questions == [other]


def test_an_object_that_keeps_changing_is_given_up():
    answers = Answers()
    for number in range(ASKED_AT_MOST):
        with pytest.raises(Unanswered):
            answers.to([question(labels={"n": str(number)})])
    with pytest.raises(Conflict, match="keeps changing"):
        answers.to([question(labels={"n": "last"})])


def test_many_objects_of_one_transaction_are_not_one_that_changes():
    answers = Answers()
    for number in range(5 * ASKED_AT_MOST):
        with pytest.raises(Unanswered):
            answers.to([question(namespace=f"team-{number}")])
