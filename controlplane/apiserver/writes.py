"""Create, update and status update as pure decisions: a request and one state in, operations out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from api import defaults, managed_fields, strict, validation
from api.errors import AlreadyExists, Conflict, FieldError, Invalid, NotFound
from api.managed_fields import Managed
from api.names import safe_text
from api.object import Tree
from api.scheme import Kind
from component.env import Env
from controlplane.admission.chain import Chain
from controlplane.admission.request import Identity, Request, Verb
from controlplane.apiserver import ownership, webhook_changes
from controlplane.apiserver.decision import Decision, Snapshot
from controlplane.apiserver.incoming import Incoming, refuse
from controlplane.apiserver.kinds.base import KindRules
from controlplane.apiserver.kinds.custom import CustomRules
from controlplane.apiserver.objects import SERVER_OWNED, key_of, object_at, object_of, put_of, tree_of
from controlplane.apiserver.quota_ledgers import accounting
from controlplane.commands import Check, Delete, Op, Stored

_COMMON_RULES = KindRules()


@dataclass(frozen=True)
class Writing:
    """What every write decision needs besides the request: the plugins, the kinds' rules, clock and uids."""

    chain: Chain
    rules: Mapping[str, KindRules]
    env: Env

    def rules_of(self, kind: Kind) -> KindRules:
        """The rules of one kind."""
        return self.rules.get(kind.resource, _COMMON_RULES) if kind.custom is None else CustomRules(kind)

    def create(
        self, identity: Identity, incoming: Incoming, uid: str, snapshot: Snapshot, managed: Managed | None = None
    ) -> Decision:
        """Store a new object as `uid`. One that is there with the same name and uid is the answer to a repetition.

        `managed`: who owns its fields, when that is to be kept.
        """
        kind, namespace = incoming.kind, incoming.namespace
        if incoming.revision:
            message = "Forbidden: a new object has none; to replace a stored one, update it"
            refuse(incoming, [FieldError("metadata.resourceVersion", message)])
        refuse(incoming, list(incoming.faults))
        name = incoming.name or _generated_name(incoming, uid)
        key = key_of(kind, namespace, name)
        stored = snapshot.state.get(key)
        if stored is not None:
            if stored.envelope.uid == incoming.uid:
                return Decision(object_of(stored))
            raise AlreadyExists(f'{kind.resource} "{name}" already exists')
        metadata = {each: value for each, value in incoming.tree["metadata"].items() if each not in SERVER_OWNED}
        metadata.pop(ownership.FIELD, None)
        metadata |= {"name": name, "uid": uid, "creationTimestamp": self.env.timestamp()}
        if kind.custom is not None or "spec" in incoming.tree:
            metadata["generation"] = 1
        rules = self.rules_of(kind)
        tree = rules.arriving({**incoming.tree, "metadata": metadata}, None)
        tree = self._admit(Request(identity, "create", kind, namespace, name, tree), incoming, snapshot)
        if managed:
            tree = ownership.with_entries(tree, managed_fields.written(managed))
        put = put_of(kind, tree)
        ops = (*snapshot.checks, Check(key, absent=True), *self.consequences(kind, None, tree, snapshot), put)
        return Decision(object_at(put.envelope, put.body, 0), ops)

    def update(
        self, identity: Identity, incoming: Incoming, snapshot: Snapshot, managed: Managed | None = None
    ) -> Decision:
        """Replace everything but the status. Sending back what was read changes nothing.

        `managed`: who owns its fields, when that was decided already; else the writer owns what it changes.
        """
        stored = self.current(incoming, snapshot)
        old = tree_of(stored.body)
        known = set(strict.check(incoming.kind, old)) if incoming.faults else set()
        refuse(incoming, [fault for fault in incoming.faults if fault not in known])
        metadata = _carried(incoming, old["metadata"])
        rules = self.rules_of(incoming.kind)
        tree = rules.arriving({**incoming.tree, "metadata": metadata}, old)
        tree = self._admit(self._request("update", identity, incoming, tree, old, stored), incoming, snapshot)
        if _desired(incoming.kind, tree) != _desired(incoming.kind, old):
            metadata = {**tree["metadata"], "generation": old["metadata"].get("generation", 0) + 1}
            tree = {**tree, "metadata": metadata}
        tree = self._owned(identity, incoming, old, tree, managed)
        return self.replaced(incoming, stored, old, tree, snapshot)

    def update_status(
        self, identity: Identity, incoming: Incoming, snapshot: Snapshot, managed: Managed | None = None
    ) -> Decision:
        """Replace the status only; nothing else of the request counts. `managed` as in `update`."""
        kind = incoming.kind
        if not kind.has_status:
            raise Invalid(f"{kind.resource} have no status")
        stored = self.current(incoming, snapshot)
        old = tree_of(stored.body)
        sent = [fault for fault in incoming.faults if fault.path.startswith("status")]
        known = set(strict.check(kind, old)) if sent else set()
        refuse(incoming, [fault for fault in sent if fault not in known])
        tree = {**old, "status": defaults.default_status(kind, incoming.tree.get("status", {}))}
        if kind.custom is not None:
            tree = defaults.default(kind, tree)
        request = self._request("update_status", identity, incoming, tree, old, stored)
        tree = self.chain.ask(request, snapshot, lambda changed: webhook_changes.status_only(request, changed))
        if kind.custom is not None:
            refuse(incoming, validation.validate(kind, tree, old))
        self.chain.check(structs.replace(request, tree=tree), snapshot)
        self.rules_of(kind).check_status(tree)
        tree = self._owned(identity, incoming, old, tree, managed, "status")
        return self.replaced(incoming, stored, old, tree, snapshot)

    def current(self, incoming: Incoming, snapshot: Snapshot) -> Stored:
        """The stored object that a write names. NotFound; Conflict when a precondition does not hold."""
        kind, name = incoming.kind, incoming.name
        if not name:
            refuse(incoming, [FieldError("metadata.name", "Required value")])
        stored = snapshot.state.get(key_of(kind, incoming.namespace, name))
        if stored is None:
            raise NotFound(f'{kind.resource} "{name}" not found')
        check_preconditions(incoming.title, stored, incoming.uid, incoming.revision)
        return stored

    def replaced(self, incoming: Incoming, stored: Stored, old: Tree, new: Tree, snapshot: Snapshot) -> Decision:
        """Put `new` in place of `stored`, or delete it when nothing holds a terminating object any more."""
        kind, key = incoming.kind, stored.envelope.key
        put = put_of(kind, new)
        if put.body == stored.body:
            return Decision(object_of(stored))
        rules = self.rules_of(kind)
        unchanged = Check(key, stored.envelope.uid, stored.revision)
        subject = object_at(put.envelope, put.body, stored.revision)  # what a dry run shows: nothing newer is stored
        if _finished(new) and not rules.held(new):
            rules.leaving(new, snapshot)
            gone = self.consequences(kind, old, None, snapshot)
            return Decision(subject, (*snapshot.checks, unchanged, *gone, Delete(key)))
        return Decision(subject, (*snapshot.checks, unchanged, *self.consequences(kind, old, new, snapshot), put))

    def consequences(self, kind: Kind, old: Tree | None, new: Tree | None, snapshot: Snapshot) -> Sequence[Op]:
        """What goes with replacing `old` by `new`, None for no object: by the rules of the kind, and in quotas."""
        counted = accounting(kind, old, new, snapshot.state, limited=self.chain.limits_quotas)
        return (*self.rules_of(kind).consequences(old, new), *counted)

    def _admit(self, request: Request, incoming: Incoming, snapshot: Snapshot) -> Tree:
        """Mutating plugins, validation, validating plugins, allocation."""
        rules = self.rules_of(request.kind)
        tree = self.chain.admit(request, snapshot, lambda changed: webhook_changes.finished(request, changed, rules))
        refuse(incoming, validation.validate(request.kind, tree, request.old))
        self.chain.check(structs.replace(request, tree=tree), snapshot)
        return rules.completed(tree, request.old, snapshot)

    def _owned(
        self,
        identity: Identity,
        incoming: Incoming,
        old: Tree,
        tree: Tree,
        managed: Managed | None,
        subresource: str = "",
    ) -> Tree:
        """The object with who owns its fields after this write."""
        if managed is not None:
            return ownership.settled(old, tree, managed)
        return ownership.tracked(incoming.kind, identity, old, tree, self.env.timestamp(), subresource)

    @staticmethod
    def _request(verb: Verb, identity: Identity, incoming: Incoming, tree: Tree, old: Tree, stored: Stored) -> Request:
        kind = incoming.kind
        return Request(identity, verb, kind, incoming.namespace, incoming.name, tree, old, stored.revision)


def check_preconditions(title: str, stored: Stored, uid: str, revision: int) -> None:
    """Raise Conflict unless `uid` ("": any) and `revision` (0: any) are the stored ones."""
    if uid and uid != stored.envelope.uid:
        raise Conflict(f"{title} has uid {stored.envelope.uid}, not {uid}: it was deleted and made anew")
    if revision and revision != stored.revision:
        raise Conflict(f"{title} has changed: its resourceVersion is {stored.revision}, not {revision}; read it again")


def _desired(kind: Kind, tree: Tree) -> Any:
    """What a generation is of: the spec; of a custom kind everything but metadata, and the status where that is apart."""
    if kind.custom is None:
        return tree.get("spec")
    apart = {"apiVersion", "metadata", "status"} if kind.has_status else {"apiVersion", "metadata"}
    return {name: value for name, value in tree.items() if name not in apart}


def _carried(incoming: Incoming, old: Tree) -> Tree:
    """The metadata of an update: identity and history stay; a terminating object takes no new finalizers."""
    metadata = {each: value for each, value in incoming.tree["metadata"].items() if each not in SERVER_OWNED}
    metadata |= {each: old[each] for each in (*SERVER_OWNED, "uid") if each in old}
    metadata = ownership.carried(incoming, metadata, old)
    if "deletionTimestamp" in old:
        added = [each for each in metadata.get("finalizers", ()) if each not in old.get("finalizers", ())]
        if added:
            message = f"Forbidden: the object is being deleted, {_list(added)} cannot be added"
            refuse(incoming, [FieldError("metadata.finalizers", message)])
    return metadata


def _finished(tree: Tree) -> bool:
    """Whether a deletion that was under way is complete as far as metadata tells."""
    metadata = tree["metadata"]
    waiting = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds", 0)
    return "deletionTimestamp" in metadata and not waiting


def _generated_name(incoming: Incoming, uid: str) -> str:
    """The generateName plus five characters made from the uid, so that a repeated create makes the same name."""
    prefix: str = incoming.tree["metadata"].get("generateName", "")
    if not prefix:
        refuse(incoming, [FieldError("metadata.name", "Required value: name or generateName is required")])
    return prefix[:58] + safe_text(uid.encode(), 5)


def _list(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
