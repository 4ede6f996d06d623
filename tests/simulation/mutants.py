"""The product with one mistake each: what the simulation must find. Mistakes live here, never in the product."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from api.v1 import raft_pb2
from component.env import Env
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.sending import ONCE
from controlplane.commands import Add, Transaction
from controlplane.raft.link import SocketLog
from controlplane.raft.node import RaftNode
from controlplane.raft.protocol import Entry, Snapshot
from controlplane.raft.snapshots import publish
from controlplane.store import snapshot as snapshots
from controlplane.store.state import State
from tests.simulation.api_half import ObservedReplica
from tests.simulation.disk import SimDisk, SimLog
from tests.simulation.variant import Variant


class UnsyncedLog(SimLog):
    """Writes, and never waits for the disk."""

    def __init__(self, folder, disk: SimDisk, **limits: int) -> None:
        super().__init__(folder, disk, **limits)
        self._datasync = lambda _descriptor: None


class ForgetfulLog(SimLog):
    """Reads everything back at the start but whom it voted for."""

    def _recover(self) -> None:
        super()._recover()
        self.vote = None


class EarlyNode(RaftNode):
    """A leader delivers what it has itself, before anybody else has it."""

    def deliverable_index(self) -> int:
        return self._log.durable_index if self.leads() else super().deliverable_index()


class UndurableNode(RaftNode):
    """Delivers what is committed, here on disk or not."""

    def deliverable_index(self) -> int:
        return self.status().commit_index


class UndurableDelivery(Variant):
    """The API process is told before the sync instead of after it."""

    def before_sync(self, raft: Any) -> None:
        raft.link.pump()


class TermlessNode(RaftNode):
    """Takes replies of any earlier term for replies of this one."""

    def _receive(self, peer: str, message: raft_pb2.RaftMessage) -> None:
        term = self.status().term
        if message.WhichOneof("message") in {"append_reply", "vote_reply"} and message.term < term:
            message.term = term
        super()._receive(peer, message)


class TruncatingNode(RaftNode):
    """Replaces everything after an append's start, also what is the same."""

    def _receive(self, peer: str, message: raft_pb2.RaftMessage) -> None:
        append = message.append_entries
        if message.HasField("append_entries") and append.entries and message.term >= self.status().term:
            position = append.prev_index + 1 - self._log.first_index
            if 0 < position <= len(self._log) and self._log[position - 1][2] == append.prev_term:
                self._log.delete_from(position)
        super()._receive(peer, message)


class BackwardNode(RaftNode):
    """Installs whatever snapshot comes, also one from before what it has committed."""

    def _receive(self, peer: str, message: raft_pb2.RaftMessage) -> None:
        if message.HasField("snapshot_chunk") and message.snapshot_chunk.index <= self._core.commit_index:
            before = message.snapshot_chunk.index - 1
            self._core._SyncObj__raftCommitIndex = self._core._SyncObj__raftLastApplied = before
        super()._receive(peer, message)


class OldTermNode(RaftNode):
    """Commits an entry of an earlier term as soon as a majority has it."""

    def step(self, limit_seconds: float) -> None:
        if self._core.leads:
            matched = sorted([self._log.last_index, *map(self._core.match_index, self._core.voters)])
            majority = matched[(len(matched) - 1) // 2]
            if majority > self._core.commit_index:
                self._core._SyncObj__raftCommitIndex = majority
                self._log.commit_index = max(self._log.commit_index, majority)
        super().step(limit_seconds)


class RoundlessNode(RaftNode):
    """A leader answers a read index from memory."""

    def read_index(self, done: Any) -> None:
        done(self.status().commit_index if self.leads() else None)


class RepeatingLog(SocketLog):
    """After a restart it asks for the last entry once more."""

    async def connect(self, applied, on_entries, on_status, on_install) -> None:
        index, term = applied
        await super().connect((max(0, index - 1), term if index > 1 else 0), on_entries, on_status, on_install)


class RepeatingReplica(ObservedReplica):
    """Applies whatever it is given."""

    def _apply(self, entry: Entry) -> None:
        if entry.index <= self.state.applied_index:
            self.state.applied_index = entry.index - 1
        super()._apply(entry)


class ForgettingCore(ApiCore):
    """A watch starts at what there is now, wherever its list was."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        watch = self.reads.watch

        def watch_from_now(identity, resource, namespace="", *, revision=None, **selectors):
            if revision is not None:
                revision = max(revision, self._replica.state.revision)
            return watch(identity, resource, namespace, revision=revision, **selectors)

        self.reads.watch = watch_from_now


class EpochlessState(State):
    """Applies commands of every epoch."""

    def _evaluate(self, transaction: Transaction, size_bytes: int, changes):
        return super()._evaluate(msgspec.structs.replace(transaction, epoch=0), size_bytes, changes)


class EpochlessReplica(ObservedReplica):
    """Its state does not look at epochs."""

    async def start(self) -> None:
        self.state.__class__ = EpochlessState
        await super().start()
        self.state.__class__ = EpochlessState

    async def _on_install(self, installed: Snapshot) -> None:
        await super()._on_install(installed)
        self.state.__class__ = EpochlessState


class LedgerlessCore(ApiCore):
    """Binds without taking the pod's share of its node."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        commit = self._committing.commit

        async def commit_without(identity, asked, decide, **more):
            def without(state):
                decision = decide(state)
                return replace(decision, ops=tuple(op for op in decision.ops if not isinstance(op, Add)))

            return await commit(identity, asked, without, **more)

        self._committing.commit = commit_without


class AmnesicCore(ApiCore):
    """Takes every sending of a request for a request of its own."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        commit = self._committing.commit

        async def commit_anew(identity, asked, decide, **more):
            return await commit(identity, asked, decide, **{**more, "sending": ONCE})

        self._committing.commit = commit_anew


def install_without_incarnation(state: State, data_dir: Path, env: Env) -> None:
    """As `backup.install`, but revisions go on where the backup was."""
    state.apply(Entry(state.applied_index + 1, state.applied_term + 1, b""))
    written = snapshots.write(state, data_dir / "snapshots")
    folder = data_dir / "raft" / "snapshot"
    folder.mkdir(parents=True)
    copy = folder / "restored.partial"
    copy.write_bytes(written.path.read_bytes())
    publish(copy, folder, written.index, written.term, b"")


MUTANTS = (
    Variant("skip the fsync", log_type=UnsyncedLog),
    Variant("acknowledge before commit", node_type=EarlyNode),
    UndurableDelivery("deliver to the API before it is durable", node_type=UndurableNode),
    Variant("drop the term check on acknowledgements", node_type=TermlessNode),
    Variant("forget the vote on restart", log_type=ForgetfulLog),
    Variant("truncate a matching suffix", node_type=TruncatingNode),
    Variant("install an older snapshot", node_type=BackwardNode),
    Variant("apply an entry twice after API restart", socket_log_type=RepeatingLog, replica_type=RepeatingReplica),
    Variant("commit an older term's entry directly", node_type=OldTermNode),
    Variant("answer reads without a round", node_type=RoundlessNode),
    Variant("lose the watch events between list and watch", core_type=ForgettingCore),
    Variant("reuse revisions after restore", install=install_without_incarnation),
    Variant("accept an old epoch's bind", replica_type=EpochlessReplica),
    Variant("skip the ledger on bind", core_type=LedgerlessCore),
    Variant("take a repeated request for a new one", core_type=AmnesicCore),
)
"""In the order of the list in docs/testing.md."""
