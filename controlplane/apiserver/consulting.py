"""Has webhooks asked what a decision needs to know, outside of it: nothing is held meanwhile, and nothing proposed yet.

What it means when one cannot be asked is its failure policy. It must not know how webhooks are reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import structlog

from api.errors import Failed
from component.env import Env
from controlplane.admission.webhooks.asking import Answers, Question, Unanswered
from controlplane.admission.webhooks.hooks import Hook
from controlplane.admission.webhooks.review import BadAnswer, Verdict, review_of, verdict_of
from controlplane.audit import notes
from controlplane.rbac.attributes import Attributes

log = structlog.get_logger()

T = TypeVar("T")

_OPEN: Final = "failed-open.{}.webhook.admission.k8s.io/{}"


def consulted(asked: Attributes | None) -> bool:
    """Whether webhooks were asked as about a subresource that is an object of its own: an eviction, a scale."""
    return asked is not None and asked.subresource in {"eviction", "scale"}


class Unreachable(Exception):
    """Why a webhook could not be asked."""


class Caller(Protocol):
    """The way to webhooks."""

    async def call(self, hook: Hook, body: bytes) -> bytes:
        """Send a review and return what comes back within the webhook's time. Unreachable."""


class NoWay:
    """Reaches nobody."""

    async def call(self, hook: Hook, body: bytes) -> bytes:  # noqa: ARG002 - the port's signature
        """Unreachable."""
        raise Unreachable("this server has no way to webhooks")


class Consulting:
    """Asks, and decides again."""

    def __init__(self, caller: Caller, env: Env) -> None:
        self._caller = caller
        self._env = env

    async def decided(self, answers: Answers, decide: Callable[[], Awaitable[T]]) -> T:
        """Return what `decide` comes to once it has all its answers; whatever else it raises."""
        while True:
            try:
                return await decide()
            except Unanswered as unanswered:
                questions = unanswered.questions
            verdicts = await asyncio.gather(*map(self._ask, questions))
            for question, verdict in zip(questions, verdicts, strict=True):
                notes.add(verdict.notes)
                answers.give(question, verdict)

    async def _ask(self, question: Question) -> Verdict:
        hook, uid = question.hook, self._env.new_uid()
        began = self._env.monotonic()
        try:
            body = await self._caller.call(hook, review_of(question.request, uid))
            return verdict_of(hook.name, body, uid, mutating=hook.mutating)
        except Unreachable as error:
            why = f"failed to call webhook: {error}"
        except BadAnswer as error:
            why = f"received invalid webhook response: {error}"
        failure = f'failed calling webhook "{hook.name}": {why}'
        log.warning(
            "webhook_failed",
            webhook=hook.name,
            configuration=hook.configuration,
            reason=why,
            ignored=hook.ignored,
            took_seconds=round(self._env.monotonic() - began, 3),
        )
        if not hook.ignored:
            return Verdict(denial=Failed(f"Internal error occurred: {failure}"))
        kind = "mutating" if hook.mutating else "validating"
        return Verdict(notes=((_OPEN.format(kind, hook.name), failure),))
