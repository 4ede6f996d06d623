"""The API without a transport: every verb over plain values. Reads are `reads`; writes go in one fixed order.

Authorise, decode, default, admit, validate, admit again, propose with a check for whatever the decision depended on.
Decisions are pure (`writes`, `deletes`, `apply`, `binding`); `committing` makes them on the state and commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Unpack

from api.errors import ApiError, Conflict, NotFound
from api.object import Object, Tree
from api.scheme import BUILT_IN
from api.strict import Validation
from component.client import (
    ApplyOutcome,
    Binding,
    Collection,
    Operation,
    OperationResult,
    PatchType,
    Propagation,
    TransactionResult,
)
from component.env import Env
from controlplane.admission.chain import Chain
from controlplane.admission.escalation import RoleEscalation
from controlplane.admission.request import Identity, Remarks
from controlplane.admission.webhooks.asking import Answers
from controlplane.admission.webhooks.attributes import Attributes as AdmissionAttributes
from controlplane.admission.webhooks.attributes import posted
from controlplane.admission.webhooks.hooks import MUTATING, VALIDATING
from controlplane.admission.webhooks.plugin import Finish, fixed
from controlplane.apiserver import apply, binding, deletes, incoming, mass_deletion, patches
from controlplane.apiserver import ephemeral_containers as ephemeral
from controlplane.apiserver.arriving import Arriving
from controlplane.apiserver.authorizer import Authorizer
from controlplane.apiserver.committing import Committing, How
from controlplane.apiserver.consulting import Caller, Consulting, NoWay, consulted
from controlplane.apiserver.decision import Decision, Snapshot
from controlplane.apiserver.fairness.aside import Aside, RightsOnLoop
from controlplane.apiserver.fairness.gate import Gate
from controlplane.apiserver.fairness.limits import DEFAULTS, Limits
from controlplane.apiserver.fairness.lists import ListCosts
from controlplane.apiserver.kinds import kind_rules
from controlplane.apiserver.known_kinds import KnownKinds
from controlplane.apiserver.mass_deletion import PAGE_OBJECTS
from controlplane.apiserver.pages import Pages
from controlplane.apiserver.past import Past
from controlplane.apiserver.reads import Reads
from controlplane.apiserver.reviews import Reviews
from controlplane.apiserver.sending import ONCE, Sending
from controlplane.apiserver.transactions import Transactions
from controlplane.apiserver.writes import Writing
from controlplane.commands import Key, Op
from controlplane.rbac.attributes import Attributes, on
from controlplane.replica import Replica


class ApiCore:
    """All verbs, those that read as `reads`. Every replica has one; writes find the leader by themselves.

    Verbs raise `api.errors` as `component.client.ApiClient` says.
    """

    def __init__(
        self,
        replica: Replica,
        chain: Chain,
        env: Env,
        *,
        pod_range: str = "10.244.0.0/16",
        service_range: str = "10.96.0.0/16",
        limits: Limits = DEFAULTS,
        webhooks: Caller | None = None,
    ) -> None:
        self.gate = Gate(limits, env.monotonic)
        self.costs = ListCosts(lambda: replica.state)
        self._replica = replica
        self._env = env
        self.authorizer = Authorizer(lambda: replica.state)
        self._aside = Aside(self.gate)
        self._check = self._aside.on_loop(self.authorizer.check)
        chain = chain.with_validator(RoleEscalation(RightsOnLoop(self.authorizer, self._aside)))
        self.writing = Writing(chain, kind_rules(env, pod_range, service_range), env)
        self.kinds = KnownKinds(lambda: replica.state, replica.read_barrier)
        self._arriving = Arriving(replica, self.kinds, self._aside)
        self._consulting = Consulting(webhooks or NoWay(), env)
        self._transactions = Transactions(
            replica, self.writing, self._check, self._consulting, self.kinds, self._aside, env
        )
        settle = self._transactions.counting.settle
        self._committing = Committing(replica, self._check, settle, self._consulting, self._aside)
        self._reviews = Reviews(self.authorizer, replica.read_barrier)
        self.reads = Reads(
            replica, self.kinds, self.authorize, self.gate, self.costs, Past(replica, env, self._aside), Pages(env)
        )

    async def authorize(self, identity: Identity, asked: Attributes) -> None:
        """Raise Forbidden unless `identity` may make the request; waits only before a refusal.

        A refusal counts only on a state that is not older than the request: a role given a moment ago, at another
        replica, must be known.
        """
        if not self.authorizer.allows(identity, asked):
            await self._replica.read_barrier()
            self.authorizer.check(identity, asked)

    @property
    def asks_webhooks(self) -> bool:
        """Whether any are configured."""
        state = self._replica.state
        return bool(state.count(MUTATING) or state.count(VALIDATING))

    async def consult(
        self, asked: AdmissionAttributes, remarks: Remarks | None = None, finish: Finish = fixed
    ) -> Tree | None:
        """Ask webhooks about what is no object of its resource; returns what is posted as they want it.

        It is for what was authorized already: a subresource, a question, or a connection that is to be opened. Unless
        `finish` takes their changes, a webhook that makes some has Failed.
        """
        if not self.asks_webhooks:
            return asked.tree
        answers = Answers()
        chain, replica = self.writing.chain, self._replica

        async def decide() -> Tree | None:
            return chain.consult(asked, Snapshot(replica.state, remarks, answers, dry_run=asked.dry_run), finish)

        return await self._consulting.decided(answers, decide)

    async def create(
        self, identity: Identity, tree: Tree, *, asked: Attributes | None = None, **how: Unpack[How]
    ) -> Object:
        """Store a new object. metadata.uid may be chosen by the caller: repeating the create then gives the same object.

        Of a kind that is a question it returns the answer. `asked` as in `delete`.
        """
        given = await self._arriving.read(identity, tree, how, questions=True)
        if self._reviews.answers(given):
            asked = on(given.kind, "create", given.namespace)
            await self.authorize(identity, asked)
            await self.consult(posted(identity, "CREATE", asked, given.tree), how.get("remarks"))
            return await self._reviews.answer(identity, given)
        uid = given.uid or self._env.new_uid()
        return await self._committing.commit(
            identity,
            asked or on(given.kind, "create", given.namespace),
            lambda state: self.writing.create(identity, given, uid, state),
            **how,
        )

    async def create_spending(
        self, identity: Identity, tree: Tree, spend: Callable[[Snapshot], Sequence[Op]]
    ) -> Object:
        """As `create`, together with operations that `spend` decides on the same state: all of it or nothing."""
        given = await self._arriving.read(identity, tree, {})
        uid = self._env.new_uid()

        def decide(state: Snapshot) -> Decision:
            spent = spend(state)
            made = self.writing.create(identity, given, uid, state)
            return replace(made, ops=(*spent, *made.ops))

        return await self._committing.commit(identity, on(given.kind, "create", given.namespace), decide)

    async def update(
        self, identity: Identity, tree: Tree, *, asked: Attributes | None = None, **how: Unpack[How]
    ) -> Object:
        """Replace all but the status. metadata.uid and resourceVersion are preconditions when given. `asked` as in `delete`."""
        given = await self._arriving.read(identity, tree, how)
        return await self._committing.commit(
            identity,
            asked or on(given.kind, "update", given.namespace, given.name),
            lambda state: self.writing.update(identity, given, state),
            **how,
        )

    async def update_status(self, identity: Identity, tree: Tree, **how: Unpack[How]) -> Object:
        """Replace the status only. Preconditions as `update`."""
        given = await self._arriving.read(identity, tree, how, with_defaults=False)
        return await self._committing.commit(
            identity,
            on(given.kind, "update", given.namespace, given.name, "status"),
            lambda state: self.writing.update_status(identity, given, state),
            **how,
        )

    async def update_ephemeral(self, identity: Identity, tree: Tree, **how: Unpack[How]) -> Object:
        """Replace a pod's ephemeral containers only, which is: add some. Preconditions as `update`."""
        given = await self._arriving.read(identity, tree, how)
        asked = on(given.kind, "update", given.namespace, given.name, ephemeral.EPHEMERAL)
        return await self._committing.commit(
            identity, asked, lambda state: ephemeral.decide(self.writing, identity, given, state), **how
        )

    async def delete(
        self,
        identity: Identity,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        revision: int = 0,
        grace_seconds: int | None = None,
        propagation: Propagation = "",
        asked: Attributes | None = None,
        **how: Unpack[How],
    ) -> Object:
        """Mark for deletion or delete; returns the object as it is now, or was last.

        `asked` is what the caller needs to be allowed, where that is something else than deleting the object.
        """
        kind = await self.kinds.of_resource(resource)
        deletion = deletes.Deletion(
            kind, incoming.namespace_of(kind, namespace), name, uid, revision, grace_seconds, propagation
        )
        self._arriving.weigh(how, kind, deletion.namespace, name)
        return await self._committing.commit(
            identity,
            asked or on(kind, "delete", deletion.namespace, name),
            lambda state: deletes.decide(self.writing, identity, deletion, state),
            consulted=consulted(asked),
            **how,
        )

    async def delete_collection(
        self,
        identity: Identity,
        collection: Collection,
        *,
        limit: int = 0,
        continue_token: str = "",
        asked: Attributes | None = None,
        dry_run: bool = False,
        epoch: int = 0,
    ) -> tuple[Sequence[OperationResult], str]:
        """Delete a page of what is there, each object on its own; returns what became of it and the next page's token.

        A namesake that was made meanwhile stays. Unavailable ends it: the other objects would fail the same way.
        `asked` as in `delete`.
        """
        asked = asked or on(await self.kinds.of_resource(collection.resource), "deletecollection", collection.namespace)
        page = await self.reads.list(
            identity,
            collection.resource,
            collection.namespace,
            label_selector=collection.label_selector,
            field_selector=collection.field_selector,
            limit=min(limit or PAGE_OBJECTS, PAGE_OBJECTS),
            continue_token=continue_token,
            asked=asked,
        )

        async def delete(each: Object) -> Object:
            try:
                return await self.delete(
                    identity,
                    each.resource,
                    each.namespace,
                    each.name,
                    uid=each.uid,
                    grace_seconds=collection.grace_seconds,
                    propagation=collection.propagation,
                    asked=asked,
                    dry_run=dry_run,
                    epoch=epoch,
                )
            except Conflict:
                stored = self._replica.state.get(Key(each.resource, each.namespace, each.name))
                if stored is None or stored.envelope.uid != each.uid:
                    raise NotFound(f'{each.resource} "{each.name}" not found') from None
                raise

        return await mass_deletion.delete_each(page.items, delete), page.continue_token

    async def apply(self, identity: Identity, tree: Tree, **how: Unpack[How]) -> tuple[Object, ApplyOutcome]:
        """Create, or merge three ways with what was last applied."""
        given = await self._arriving.read(identity, tree, how, with_defaults=False)
        uid = self._env.new_uid()
        outcome: ApplyOutcome = "unchanged"

        def decide(state: Snapshot) -> Decision:
            nonlocal outcome
            self._check(identity, apply.asked(given, state))
            applied = apply.decide(self.writing, identity, given, uid, state)
            outcome = applied.outcome
            return applied.decision

        return await self._committing.commit(identity, given.kind.resource, decide, **how), outcome

    async def transaction(
        self,
        identity: Identity,
        operations: Sequence[Operation | ApiError],
        *,
        dry_run: bool = False,
        sending: Sending = ONCE,
        remarks: Remarks | None = None,
    ) -> TransactionResult:
        """Do all of it or nothing; see `controlplane.apiserver.transactions`. TooLarge, Conflict after all retries."""
        return await self._transactions.run(identity, operations, sending, remarks or Remarks(), dry_run=dry_run)

    async def patch(
        self,
        identity: Identity,
        resource: str,
        namespace: str,
        name: str,
        patch_type: PatchType,
        body: bytes,
        *,
        subresource: str = "",
        force: bool = False,
        unknown: Validation = "Strict",
        version: str = "",
        asked: Attributes | None = None,
        **how: Unpack[How],
    ) -> Object:
        """Change the stored object as the patch says; on newer state again, unless the patch names a resourceVersion.

        A patch of type "apply" makes an object that is not there. Where it would change what other managers than
        `identity.manager` own, it is a Conflict with these fields, unless `force`. `unknown` is what becomes of fields that
        a custom kind does not know; `version` the one that the patch is written for. `asked` as in `delete`.
        """
        kind = await self.kinds.of_resource(resource)
        if version and kind.custom is not None:
            kind = self.kinds.now().by_path(f"{kind.group}/{version}", kind.plural)
        read = partial(patches.read, kind, incoming.namespace_of(kind, namespace), name, patch_type, body, subresource)
        patch = await self._aside.run(
            identity, len(body), lambda: read(self._env.new_uid, force=force, unknown=unknown)
        )
        self._arriving.weigh(how, kind, patch.namespace, name, len(body))
        remarks = how.get("remarks")

        def decide(state: Snapshot) -> Decision:
            creating = patches.creating(patch, state)
            if remarks is not None:
                remarks.makes = creating is not None
            if creating is not None:
                self._check(identity, creating)
            return patches.decide(self.writing, identity, patch, state)

        return await self._committing.commit(
            identity,
            asked or on(kind, "patch", patch.namespace, name, subresource),
            decide,
            consulted=consulted(asked),
            **how,
        )

    async def bind(
        self, identity: Identity, bindings: Sequence[Binding], *, epoch: int = 0
    ) -> Sequence[ApiError | None]:
        """Assign pods to nodes, each on its own and all in one batch of the log; None for each that was bound."""
        kind = BUILT_IN.by_resource("pods")

        async def bind_one(each: Binding) -> ApiError | None:
            asked = on(kind, "create", each.namespace, each.name, "binding")
            try:
                if self.asks_webhooks:
                    await self.authorize(identity, asked)
                    await self.consult(posted(identity, "CREATE", asked, binding.posted_tree(each)))
                await self._committing.commit(
                    identity, asked, lambda state: binding.decide(self._env, each, state), epoch=epoch
                )
            except ApiError as error:
                return error
            return None

        return await asyncio.gather(*(bind_one(each) for each in bindings))
