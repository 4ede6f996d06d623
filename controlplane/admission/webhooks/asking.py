"""Questions to webhooks out of a pure decision: what is not answered yet ends the decision, which is made again with the answer.

A decision sees one state and waits for nothing. So it looks its answers up; when one is missing it raises `Unanswered`,
whoever runs it has the webhooks asked, outside of everything, and runs it again, maybe on newer state. An answer counts for
exactly the object that it was given for.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from api.errors import Conflict
from api.object import Tree, canonical
from controlplane.admission.webhooks.attributes import Attributes
from controlplane.admission.webhooks.hooks import Hook
from controlplane.admission.webhooks.review import Verdict, request_of

ASKED_AT_MOST: Final = 12
"""How often one webhook is asked within one request: the object may change meanwhile, and it may be asked again after others."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request for one webhook; `key` is the same for what is the same question."""

    hook: Hook
    request: Tree
    key: bytes


class Unanswered(Exception):
    """A decision needs the answers to these questions."""

    def __init__(self, questions: Sequence[Question]) -> None:
        super().__init__(f"{len(questions)} webhooks have to be asked")
        self.questions = questions


class Answers:
    """What webhooks said while one request was decided."""

    def __init__(self) -> None:
        self._given: dict[bytes, Verdict] = {}
        self._counts: Counter[tuple[str, ...]] = Counter()

    def to(self, questions: Sequence[Question]) -> Sequence[Verdict]:
        """Return the answer to each; Unanswered with those that there is none to yet, Conflict after too many."""
        missing = [each for each in questions if each.key not in self._given]
        if not missing:
            return [self._given[each.key] for each in questions]
        for each in missing:
            resource = each.request["requestResource"]
            where = (resource["group"], resource["resource"], each.request.get("namespace", ""))
            subject = (*each.hook.place, *where, each.request.get("name", ""))
            self._counts[subject] += 1
            if self._counts[subject] > ASKED_AT_MOST:
                raise Conflict(
                    f'webhook "{each.hook.name}" was asked {ASKED_AT_MOST} times, the object keeps changing: try again'
                )
        raise Unanswered(missing)

    def give(self, question: Question, verdict: Verdict) -> None:
        """Keep an answer for the next time the decision is made."""
        self._given[question.key] = verdict


def question_of(hook: Hook, asked: Attributes, version: str) -> Question:
    """What a webhook is asked about a request. When an object is created does not make it another question."""
    request = request_of(asked, version)
    about = request
    if asked.operation == "CREATE" and asked.tree is not None:
        metadata = {k: v for k, v in asked.tree.get("metadata", {}).items() if k != "creationTimestamp"}
        about = {**request, "object": {**asked.tree, "metadata": metadata}}
    digest = hashlib.blake2b(hook.generation, digest_size=16)
    for part in (*hook.place, canonical(about)):
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return Question(hook, request, digest.digest())
