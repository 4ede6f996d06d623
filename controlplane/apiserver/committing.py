"""From a decision to a commit: decide on the state here, commit, and again on newer state if it changed meanwhile.

It must not know verbs or what is decided.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypedDict

from msgspec import structs

from api.errors import ApiError, Conflict, Expired, Unknown
from api.object import Object
from controlplane.admission.request import Identity, Remarks
from controlplane.admission.webhooks.asking import Answers
from controlplane.apiserver.consulting import Consulting
from controlplane.apiserver.decision import RETRIES, Decision, Snapshot, answer, log_audits, retried, told
from controlplane.apiserver.fairness.aside import LARGE_BYTES, Aside
from controlplane.apiserver.objects import object_at
from controlplane.apiserver.sending import ONCE, Sending, used_up
from controlplane.commands import CommitRefused, Op
from controlplane.rbac.attributes import Attributes
from controlplane.replica import Replica


class How(TypedDict, total=False):
    """What every write may be told besides what it writes.

    An `epoch` other than 0 marks a write of the leader's scheduler and controllers: it is refused with Conflict once
    another leader has begun. A request that a client may send again says which one it is by its `sending`, and is done
    once. What the caller is to be told besides is added to `remarks`. `size` is how many bytes the request has, or the
    object that it changes: what is large is decided beside the loop.
    """

    dry_run: bool
    epoch: int
    sending: Sending
    remarks: Remarks
    size: int


class Committing:
    """The shell around decisions. `check` raises Forbidden, wherever it is called from; `settle` is told of the operations of each commit before its caller is."""

    def __init__(
        self,
        replica: Replica,
        check: Callable[[Identity, Attributes], None],
        settle: Callable[[Sequence[Op]], Awaitable[None]],
        consulting: Consulting,
        aside: Aside,
    ) -> None:
        self._replica = replica
        self._check = check
        self._settle = settle
        self._consulting = consulting
        self._aside = aside

    async def commit(
        self,
        identity: Identity,
        asked: Attributes | str,
        decide: Callable[[Snapshot], Decision],
        *,
        dry_run: bool = False,
        epoch: int = 0,
        sending: Sending = ONCE,
        remarks: Remarks | None = None,
        size: int = 0,
        consulted: bool = False,
    ) -> Object:
        """Decide on the state here and commit; again on newer state while the commit finds it changed.

        `asked` is what the caller needs to be allowed; only a resource, where that is part of the decision. Webhooks that
        the decision needs are asked before anything is proposed, unless they were `consulted` about it already.

        A refusal, or finding that nothing has to change, counts only on a state that is not older than the request; of
        a repeated sending, only once the request's id is used up.
        """
        fresh = False
        remarks = Remarks() if remarks is None else remarks
        conflict: CommitRefused | None = None
        resource, check = (asked, None) if isinstance(asked, str) else (asked.qualified, asked)
        answers = Answers()

        def attempted() -> Awaitable[tuple[Decision | None, ApiError | None]]:
            state = self._replica.state if size < LARGE_BYTES else self._replica.state.clone()
            snapshot = Snapshot(state, remarks, None if consulted else answers, dry_run=dry_run)
            return self._aside.run(identity, size, lambda: self._try(identity, check, decide, snapshot))

        for attempt in range(1 + RETRIES):
            decision, refusal = await self._consulting.decided(answers, attempted)
            if not fresh and (dry_run or decision is None or not decision.ops):
                await self._replica.read_barrier()
                fresh = True
                decision, refusal = await self._consulting.decided(answers, attempted)
            if dry_run or not (sending.repeated or (decision and decision.ops)):
                return answer(decision, refusal)
            try:
                committed = await self._replica.commit(
                    decision.ops if decision else (),
                    epoch=epoch,
                    transaction_id=sending.transaction_id(attempt),
                    since=sending.since,
                    actor=identity.actor,
                )
            except CommitRefused as error:
                conflict, fresh = error, True  # whatever refused it is applied here by now
                # With nothing to write this one uses up ids. What was refused is an earlier sending, which may have gone on.
                if decision and decision.ops and not retried(error.refused, decision.ops):
                    raise told(error) from None
            else:
                if not committed.changed:
                    if sending.repeated and decision and decision.ops:
                        raise used_up()
                    return answer(decision, refusal)
                await self._settle(decision.ops if decision else ())
                log_audits(remarks, identity)
                return self._made(resource, committed.last_revision, decision, sending)
        raise Conflict(f"given up after {RETRIES} retries, the state keeps changing: {conflict}")

    def _try(
        self, identity: Identity, asked: Attributes | None, decide: Callable[[Snapshot], Decision], snapshot: Snapshot
    ) -> tuple[Decision | None, ApiError | None]:
        try:
            if asked is not None:
                self._check(identity, asked)
            decision = decide(snapshot)
            self._replica.levels.check(decision.ops)
        except ApiError as error:
            return None, error
        return decision, None

    def _made(self, resource: str, revision: int, decision: Decision | None, sending: Sending) -> Object:
        """The object that a commit left; any sending of the request may have been the one that was committed."""
        if sending.id:
            with suppress(Expired):
                for event in self._replica.hub.cursor(resource, revision - 1).pull(limit=1):
                    if event.revision == revision:
                        return object_at(event.envelope, event.body, revision)
        if decision is not None and not sending.repeated:
            return structs.replace(decision.subject, revision=revision)
        raise Unknown(f"the write was done, at revision {revision}, too long ago to be shown: read what became of it")
