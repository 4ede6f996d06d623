"""What a write comes to: operations computed from one state, with a check for everything that was looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from api.errors import ApiError, TooLarge
from api.object import Object
from controlplane.admission.request import Identity, Remarks
from controlplane.admission.resource_quota import QUOTA_LEDGERS
from controlplane.admission.webhooks.asking import Answers
from controlplane.apiserver.objects import object_of
from controlplane.commands import Add, Check, CommitRefused, Key, Op, Refused
from controlplane.store.state import State

log = structlog.get_logger()

RETRIES: Final = 5
"""How often a write is tried again that collided with another; a precondition of the caller makes the retry fail."""

RETRIED: Final = frozenset({"Exists", "NotFound", "Conflict", "Claimed", "Underflow"})


class Snapshot:
    """The state while one decision is made. Objects read with `get` must be the same when the decision commits.

    `answers` are what webhooks said to it so far; None where they are not asked.
    """

    def __init__(
        self,
        state: State,
        remarks: Remarks | None = None,
        answers: Answers | None = None,
        *,
        dry_run: bool = False,
    ) -> None:
        self.state = state
        self.answers = answers
        self.dry_run = dry_run
        self._remarks = remarks or Remarks()
        self._checks: dict[Key, Check] = {}

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """Return an object that the decision depends on in every detail, or None if it depends on there being none."""
        key = Key(resource, namespace, name)
        stored = self.state.get(key)
        if stored is None:
            self._checks[key] = Check(key, absent=True)
            return None
        self._checks[key] = Check(key, stored.envelope.uid, stored.revision)
        return object_of(stored)

    def get_identity(self, resource: str, namespace: str, name: str) -> Object | None:
        """As `get`, but the decision stands when the object changes as long as it is the same one."""
        found = self.get(resource, namespace, name)
        if found is not None:
            key = Key(resource, namespace, name)
            self._checks[key] = Check(key, found.uid)
        return found

    def look(self, resource: str, namespace: str, name: str) -> Object | None:
        """Return an object; the decision stands when it changes, or goes."""
        stored = self.state.get(Key(resource, namespace, name))
        return None if stored is None else object_of(stored)

    def list(self, resource: str, namespace: str) -> Sequence[Object]:
        """Return all objects of a kind in a namespace; the decision stands when they change."""
        return [object_of(stored) for stored in self.state.scan(resource, namespace)]

    def ledger(self, name: str) -> Mapping[str, int]:
        """Return the amounts of a ledger; the decision stands when they change."""
        return self.state.ledger(name)

    def warn(self, text: str) -> None:
        """Tell the caller something."""
        self._remarks.warn(text)

    def audit(self, text: str) -> None:
        """Tell the log something, if the decision comes to pass."""
        self._remarks.audit(text)

    @property
    def checks(self) -> tuple[Check, ...]:
        """One for each object read."""
        return tuple(self._checks.values())


@dataclass(frozen=True, slots=True)
class Decision:
    """`ops` to commit, none when nothing has to change; `subject` is the object the caller gets.

    Once committed, the subject has the revision of the transaction's last object change.
    """

    subject: Object
    ops: tuple[Op, ...] = ()


def answer(decision: Decision | None, refusal: ApiError | None) -> Object:
    """What the caller gets when nothing is to be committed."""
    if decision is not None:
        return decision.subject
    assert refusal is not None, "no decision and no reason"
    raise refusal


def log_audits(remarks: Remarks, identity: Identity) -> None:
    """Write what was noted for the log while a request was decided that is done now."""
    for text in remarks.audits:
        log.warning("pod_security_violated", user=identity.user, message=text)


def retried(refused: Refused, ops: Sequence[Op]) -> bool:
    """Whether to decide again on newer state: it changed, or it can say better why a quota is used up."""
    if refused.reason == "Limit":
        op = ops[refused.op_index] if refused.op_index < len(ops) else None
        return isinstance(op, Add) and op.ledger.startswith(QUOTA_LEDGERS)
    return refused.reason in RETRIED


def told(refused: CommitRefused) -> ApiError:
    """What a refusal that no retry can heal means to the caller."""
    if refused.refused.reason == "Limit":
        return TooLarge(f"not enough room: {refused.refused.message}")
    return refused.error
