"""Many writes as one: each decided on the state that those before it would leave, all of them proposed together.

A refusal of one does not stop the others from being looked at, so that every reason is told at once. Whether the
same transaction was committed before is known by its id, which the state remembers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from msgspec import structs

from api.errors import ApiError, Conflict, Invalid, NotFound, TooLarge
from api.object import Object
from api.scheme import Scheme
from component.client import Operation, OperationOutcome, OperationResult, Removal, TransactionResult, Write
from component.env import Env
from component.slices import let_others_run
from controlplane.admission.request import Identity, Remarks
from controlplane.admission.webhooks.asking import Answers
from controlplane.apiserver import apply, deletes, incoming
from controlplane.apiserver.consulting import Consulting
from controlplane.apiserver.decision import RETRIES, Decision, Snapshot, log_audits, retried, told
from controlplane.apiserver.fairness.aside import Aside
from controlplane.apiserver.incoming import Incoming
from controlplane.apiserver.known_kinds import KnownKinds
from controlplane.apiserver.objects import key_of, object_of
from controlplane.apiserver.quota_counting import QuotaCounting
from controlplane.apiserver.sending import Sending, used_up
from controlplane.apiserver.writes import Writing
from controlplane.commands import (
    ID_BYTES,
    TRANSACTION_LIMIT_OPS,
    Check,
    CommitRefused,
    Committed,
    Delete,
    Key,
    Op,
    Put,
    Transaction,
    encode_transaction,
)
from controlplane.level import LevelGate
from controlplane.rbac.attributes import Attributes, on
from controlplane.replica import Replica
from controlplane.store.state import State

DECIDED_AT_ONCE: Final = 4
"""Operations decided before others may run: an object takes 0.2 to 1 ms, the loop must never be held over 5."""

Decide = Callable[[Snapshot], tuple[Decision, OperationOutcome]]
Run = Callable[[int, Callable[[], tuple[Decision, OperationOutcome]]], Awaitable[tuple[Decision, OperationOutcome]]]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation ready to be decided, or the reason why it never can be. `key` is None where no name is given.

    `size` is that of the object, in bytes.
    """

    decide: Decide | ApiError
    key: Key | None = None
    size: int = 0


@dataclass(slots=True)
class Plan:
    """What all steps come to on one state: operations to commit, and each step's result as if they were."""

    revision: int  # of the state before
    results: list[OperationResult] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    step_of_op: list[int] = field(default_factory=list)
    _checks: set[Check] = field(default_factory=set)
    _touched: set[Key] = field(default_factory=set)

    @property
    def refused(self) -> bool:
        """Whether any step was."""
        return any(result.error is not None for result in self.results)

    @property
    def proposed(self) -> Sequence[Op]:
        """What is to be committed: nothing if a step was refused, or if none changes anything."""
        if self.refused or all(isinstance(op, Check) for op in self.ops):
            return ()
        return self.ops

    def add(self, ops: Sequence[Op]) -> None:
        """Take over one step's operations. What the transaction itself made sure of needs no check any more."""
        for op in ops:
            if isinstance(op, Check):
                if op.key in self._touched or op in self._checks:
                    continue
                self._checks.add(op)
            elif isinstance(op, Put):
                self._touched.add(op.envelope.key)
            elif isinstance(op, Delete):
                self._touched.add(op.key)
            self.ops.append(op)
            self.step_of_op.append(len(self.results))

    def refuse(self, op_index: int, error: ApiError) -> None:
        """The operation that the committed state refused takes its step along."""
        step = self.step_of_op[op_index] if op_index >= 0 else 0
        self.results[step] = OperationResult("refused", None, error)

    def as_refused(self) -> TransactionResult:
        """Nothing is done: the reasons of those refused, no outcome for the others."""
        return TransactionResult(
            committed=False,
            results=tuple(each if each.error else OperationResult("") for each in self.results),
        )

    def as_done(self, committed: Committed | None) -> TransactionResult:
        """All is done, or would be: `committed` None. Objects get the revisions they really have."""
        shift = 0 if committed is None else committed.first_revision - 1 - self.revision
        results = [
            each
            if each.object is None
            else replace(each, object=self._shifted(each.object, shift, trial=not committed))
            for each in self.results
        ]
        return TransactionResult(True, tuple(results), committed.last_revision if committed else 0)

    def _shifted(self, each: Object, shift: int, *, trial: bool) -> Object:
        if each.revision <= self.revision:
            return each
        return structs.replace(each, revision=0 if trial else each.revision + shift)


class Transactions:
    """Decides, proposes and tries again; one for each replica. `counting` is for quotas that are made on the way."""

    def __init__(
        self,
        replica: Replica,
        writing: Writing,
        check: Callable[[Identity, Attributes], None],
        consulting: Consulting,
        kinds: KnownKinds,
        aside: Aside,
        env: Env,
    ) -> None:
        self._replica = replica
        self._aside = aside
        self._consulting = consulting
        self._kinds = kinds
        self._writing = writing
        self._check = check
        self._kinds_at = aside.on_loop(kinds.at)
        self._kinds_now = aside.on_loop(kinds.now)
        self.counting = QuotaCounting(replica)
        self._env = env

    async def run(
        self,
        identity: Identity,
        operations: Sequence[Operation | ApiError],
        sending: Sending,
        remarks: Remarks,
        *,
        dry_run: bool,
    ) -> TransactionResult:
        """Do all operations in order, or none.

        An error among the operations stands for one that could not even be read: it is among the reasons. What the
        caller is to be told besides is added to `remarks`.

        Raises Invalid, TooLarge (a limit, before anything is proposed), Conflict when the state kept changing,
        Unavailable and Unknown as any write.
        """
        _check_count(operations)
        steps = await self._steps(identity, operations)
        fresh = dry_run
        if dry_run:
            await self._replica.read_barrier()
        conflicts = 0
        decided = partial(self._aside.run, identity)
        rehearsal = Rehearsal(self._replica.levels, self._consulting, decided, remarks, dry_run=dry_run)
        while True:
            if (before := self._committed_before(sending)) is not None:
                return _recalled(steps, before, self._replica.state)
            plan = await rehearsal.run(self._replica.state.clone(), steps)
            final = not plan.proposed
            if final and not fresh:  # a refusal counts only on a state that is not older than the request
                await self._replica.read_barrier()
                fresh = True
                continue
            if dry_run or (final and not sending.repeated):
                return _trial(plan)
            try:
                committed = await self._replica.commit(
                    plan.proposed,
                    transaction_id=sending.transaction_id(conflicts),
                    since=sending.since,
                    actor=identity.actor,
                )
                log_audits(remarks, identity)
                await self._settle(plan)
                if not sending.repeated:
                    return plan.as_done(committed)
                return _settled(steps, plan, committed, self._replica.state)
            except CommitRefused as error:
                if not retried(error.refused, plan.ops):
                    plan.refuse(error.refused.op_index, told(error))
                    return plan.as_refused()
                if conflicts == RETRIES:
                    raise Conflict(f"given up after {RETRIES} retries, the state keeps changing: {error}") from None
                conflicts, fresh = conflicts + 1, True

    async def _settle(self, plan: Plan) -> None:
        """Quotas first. All that one entry of the log committed is to be answered now: not all in one pass of the loop."""
        await self.counting.settle(plan.ops)
        if len(plan.results) > DECIDED_AT_ONCE:
            await let_others_run()

    async def _steps(self, identity: Identity, operations: Sequence[Operation | ApiError]) -> list[Step]:
        steps = []
        for index, operation in enumerate(operations):
            if index % DECIDED_AT_ONCE == 0:
                await let_others_run()
            try:
                size = operation.size if isinstance(operation, Write) else 0
                steps.append(await self._aside.run(identity, size, partial(self._step, identity, operation)))
            except ApiError as error:
                steps.append(Step(error))
        return steps

    def _step(self, identity: Identity, operation: Operation | ApiError) -> Step:
        if isinstance(operation, ApiError):
            return Step(operation)
        if isinstance(operation, Removal):
            kind = self._kinds.now().by_resource(operation.resource)
            namespace = incoming.namespace_of(kind, operation.namespace)
            deletion = deletes.Deletion(
                kind,
                namespace,
                operation.name,
                operation.uid,
                operation.revision,
                operation.grace_seconds,
                operation.propagation,
            )
            key = key_of(kind, namespace, operation.name)

            def remove(state: Snapshot) -> tuple[Decision, OperationOutcome]:
                self._check(identity, on(kind, "delete", namespace, operation.name))
                return deletes.decide(self._writing, identity, deletion, state), "deleted"

            return Step(remove, key)
        read = self._reader(operation)
        uid = self._env.new_uid()
        named: Key | None = None
        with suppress(NotFound):
            given = read(self._kinds_now)
            named = key_of(given.kind, given.namespace, given.name) if given.name else None

        def decide(state: Snapshot) -> tuple[Decision, OperationOutcome]:
            given = read(lambda: self._kinds_at(state.state))
            if operation.verb == "apply":
                self._check(identity, apply.asked(given, state))
                applied = apply.decide(self._writing, identity, given, uid, state)
                return applied.decision, applied.outcome
            if operation.verb == "create":
                self._check(identity, on(given.kind, "create", given.namespace))
                decision = self._writing.create(identity, given, given.uid or uid, state)
                return decision, "created" if decision.ops else "unchanged"
            self._check(identity, on(given.kind, "update", given.namespace, given.name))
            decision = self._writing.update(identity, given, state)
            return decision, "configured" if decision.ops else "unchanged"

        return Step(decide, named, operation.size)

    def _reader(self, operation: Write) -> Callable[[Callable[[], Scheme]], Incoming]:
        """Reads an operation's object by the kinds of a state, to which earlier operations may have added; once for each."""
        given: Incoming | None = None
        seen: Scheme | None = None

        def reader(known: Callable[[], Scheme]) -> Incoming:
            nonlocal given, seen
            if given is None or given.kind.custom is not None:
                kinds = known()
                if given is None or kinds is not seen:
                    given = incoming.read(operation.tree, kinds, with_defaults=operation.verb != "apply")
                    seen = kinds
            return given

        return reader

    def _committed_before(self, sending: Sending) -> Committed | None:
        for attempt in range(1 + RETRIES if sending.id else 0):
            result = self._replica.state.result_of(sending.transaction_id(attempt))
            if isinstance(result, Committed) and result.changed:
                return result
        return None


class Rehearsal:
    """Decides all steps, as often as it takes; webhooks are asked once about the same object.

    `run` is given how large an object is, and what to decide about it.
    """

    def __init__(self, levels: LevelGate, consulting: Consulting, run: Run, remarks: Remarks, *, dry_run: bool) -> None:
        self._levels = levels
        self._run = run
        self._consulting = consulting
        self._remarks = remarks
        self._dry_run = dry_run
        self._answers = Answers()

    async def run(self, state: State, steps: Sequence[Step]) -> Plan:
        """Decide every step on `state`, a copy that is used up by it. Lets others run in between."""
        plan = Plan(state.revision)
        refused_namespaces: set[str] = set()
        for index, step in enumerate(steps):
            if index % DECIDED_AT_ONCE == 0:
                await let_others_run()
            try:
                decision, outcome = await self._decided(step, state)
                _rehearse(plan, state, step.key, decision, outcome, self._levels)
            except ApiError as error:
                plan.results.append(OperationResult("refused", None, _explained(error, step, refused_namespaces)))
                if step.key is not None and step.key.resource == "namespaces":
                    refused_namespaces.add(step.key.name)
        return plan

    async def _decided(self, step: Step, state: State) -> tuple[Decision, OperationOutcome]:
        if isinstance(step.decide, ApiError):
            raise step.decide
        decide = step.decide
        stored = None if step.key is None else state.held(step.key)
        size = max(step.size, 0 if stored is None else len(stored.body))

        def attempt() -> Awaitable[tuple[Decision, OperationOutcome]]:
            snapshot = Snapshot(state, self._remarks, self._answers, dry_run=self._dry_run)
            return self._run(size, lambda: decide(snapshot))

        return await self._consulting.decided(self._answers, attempt)


def _rehearse(
    plan: Plan, state: State, key: Key | None, decision: Decision, outcome: OperationOutcome, levels: LevelGate
) -> None:
    subject = decision.subject
    if decision.ops:
        levels.check(decision.ops)
        refused = state.rehearse(decision.ops)
        if refused is not None:
            raise told(CommitRefused(refused))
        plan.add(decision.ops)
        subject = structs.replace(subject, revision=state.revision)
    elif key is not None and (stored := state.held(key)) is not None:
        plan.add([Check(key, stored.envelope.uid, stored.revision)])  # so it must be when the others are done
    plan.results.append(OperationResult(outcome, subject))


def _explained(error: ApiError, step: Step, refused_namespaces: set[str]) -> ApiError:
    """Say of what has no namespace only because this transaction's own was refused that this is so."""
    if step.key is None or not isinstance(error, NotFound) or step.key.namespace not in refused_namespaces:
        return error
    return NotFound(f'namespace "{step.key.namespace}" is refused itself')


def _settled(steps: Sequence[Step], plan: Plan, committed: Committed, state: State) -> TransactionResult:
    """The answer to a repeated sending, once it is known what became of its ids; Conflict."""
    if committed.changed:
        return _recalled(steps, committed, state)
    if plan.proposed:
        raise used_up()
    return _trial(plan)


def _recalled(steps: Sequence[Step], before: Committed, state: State) -> TransactionResult:
    """The answer to a repetition, from what is known of its objects now."""
    results = []
    for step in steps:
        stored = None if step.key is None else state.get(step.key)
        if stored is None:
            results.append(OperationResult("deleted"))
            continue
        outcome: OperationOutcome = "configured"
        if stored.created_revision >= before.first_revision:
            outcome = "created"
        elif stored.revision < before.first_revision:
            outcome = "unchanged"
        results.append(OperationResult(outcome, object_of(stored)))
    return TransactionResult(True, tuple(results), before.last_revision)


def _trial(plan: Plan) -> TransactionResult:
    """What the plan comes to when nothing is committed. TooLarge, as it would be."""
    if plan.refused:
        return plan.as_refused()
    encode_transaction(Transaction(bytes(ID_BYTES), tuple(plan.ops)))
    return plan.as_done(None)


def _check_count(operations: Sequence[Operation | ApiError]) -> None:
    if not operations:
        raise Invalid("a transaction needs at least one operation")
    if len(operations) > TRANSACTION_LIMIT_OPS:
        raise TooLarge(f"{len(operations)} operations in one transaction; at most {TRANSACTION_LIMIT_OPS}")
