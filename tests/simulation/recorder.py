"""Collects what the checkers need from every replica, and tells the first contradiction at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from api.core import Node, Pod
from api.resources import allocatable, pod_requests
from controlplane.commands import (
    Change,
    Committed,
    Malformed,
    SetEpoch,
    decode_entry,
    decode_transaction,
)
from controlplane.raft.protocol import Entry
from controlplane.store.state import State
from tests.simulation.checks.agreement import Agreement, Epochs
from tests.simulation.checks.history import UNTOLD, WRITES
from tests.simulation.checks.placement import PodRow
from tests.simulation.checks.raft_rules import RaftRules
from tests.simulation.checks.record import Asked, Row, Watched

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

TOKEN_LABEL = "token"


@dataclass
class Chapter:
    """What was asked, changed and seen up to a restore, as it stood then."""

    asked: list[Asked]
    rows: list[Row]
    watched: list[Watched]
    jump: tuple[int, int]  # the revision this chapter begins from and the one after which it goes on, 0 for the first


class Recorder:
    """`rows` are the changes in the order of revisions; a restore ends a chapter, whose later part is lost."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.agreement = Agreement()
        self.epochs = Epochs()
        self.rules = RaftRules()
        self.rows: list[Row] = []
        self.pods: list[PodRow] = []
        self.capacity: dict[str, dict[str, int]] = {}
        self.asked: list[Asked] = []
        self.ever_asked: list[Asked] = []
        self.together: list[tuple[str, str]] = []  # tokens of what was written in one transaction
        self.watched: list[Watched] = []
        self.chapters: list[Chapter] = []
        self.jump = 0, 0  # of the latest restore: the backup's revision, and the one after which this life goes on
        self._lost_revision = 0  # the newest of the life before
        self._under_way: list[Asked] = []
        self.installs = 0
        self._ran: dict[str, str] = {}
        self._applied_index = 0
        self._applied: dict[str, int] = {}

    def ask(self, asked: Asked) -> None:
        """A client is about to ask."""
        self.asked.append(asked)
        self.ever_asked.append(asked)

    def started(self, replica: str, state: State) -> None:
        if state.applied_index:
            self.agreement.state(replica, state.applied_index, state.digest, state.revision)

    def delivered(self, replica: str, entry: Entry) -> None:
        self.agreement.delivered(replica, entry.index, entry.term, entry.data)

    def applied(self, replica: str, entry: Entry, state: State) -> None:
        self.agreement.state(replica, entry.index, state.digest, state.revision)
        self._cluster.simulator.trace("applied", replica, entry.index, entry.term, state.revision)
        if entry.index <= self._applied_index:
            return
        self._applied_index = entry.index
        try:
            transactions, _ = decode_entry(entry.data) if entry.data else ((), 0)
        except Malformed:
            return
        for each in transactions:
            transaction = decode_transaction(each)
            self.epochs.applied(
                entry.index,
                transaction.epoch,
                sets_epoch=any(isinstance(op, SetEpoch) for op in transaction.ops),
                committed=isinstance(state.result_of(transaction.id), Committed),
            )

    def installed(self, replica: str, state: State) -> None:
        self.installs += 1
        self._cluster.simulator.trace("installed", replica, state.applied_index)
        self.agreement.state(replica, state.applied_index, state.digest, state.revision)

    def changed(self, replica: str, change: Change) -> None:
        if not self.agreement.changed(replica, change.revision, change):
            return
        envelope = change.envelope
        key = envelope.key
        name = f"{key.namespace}/{key.name}"
        token = envelope.labels.get(TOKEN_LABEL, "")
        now = self._cluster.simulator.now
        self.rows.append(Row(change.revision, change.type, key.resource, name, envelope.uid, token, now))
        if key.resource == "pods":
            pod = msgspec.json.decode(change.body, type=Pod)
            ended = pod.status.phase in {"Succeeded", "Failed"}
            requests = pod_requests(pod.spec)
            self.pods.append(PodRow(change.revision, change.type, name, envelope.uid, envelope.node, requests, ended))
        elif key.resource == "nodes":
            node = msgspec.json.decode(change.body, type=Node)
            self.capacity[key.name] = dict(allocatable(node.status))

    def restored(self, index: int, revision: int, began_revision: int, epoch: int) -> None:
        """The cluster begins anew as it was at a log index and revision; revisions go on after `began_revision`."""
        asked = [replace(each) for each in self.asked]
        self.chapters.append(Chapter(asked, self.rows, self.watched, self.jump))
        self.jump = revision, began_revision
        self._lost_revision = max((row.revision for row in self.rows), default=0)
        self._under_way = [each for each in self.asked if each.outcome == "open"]
        self.rows = [row for row in self.rows if row.revision <= revision]
        self.asked = [
            each
            for each in self.asked
            if each.outcome in UNTOLD or (each.verb in WRITES and 0 < each.revision <= revision)
        ]
        self.watched = []
        self.agreement.restored(index, revision)
        self.rules = RaftRules(problems=self.rules.problems)
        self.epochs.epoch = epoch
        self._applied_index = index + 1

    def asked_since_restore(self) -> list[Asked]:
        """What was asked in this life of the cluster.

        An answer that was under way when the life before ended may still arrive. What it tells is lost: a write counts
        as unknown, anything else is left out.
        """
        late = {
            id(each)
            for each in self._under_way
            if each.outcome not in UNTOLD and each.revision <= max(self._lost_revision, self.jump[0])
        }
        return [
            replace(each, outcome="unknown", revision=0) if id(each) in late else each
            for each in self.asked
            if id(each) not in late or (each.verb in WRITES and each.outcome == "ok")
        ]

    def ran(self, uid: str, node: str) -> None:
        """An agent started a pod."""
        if self._ran.setdefault(uid, node) != node:
            self._cluster.violation(f"pod {uid} runs on {node} and on {self._ran[uid]}")

    @property
    def problems(self) -> list[str]:
        return [*self.agreement.problems, *self.epochs.problems, *self.rules.problems]


def elected(recorder: Recorder, replica: str, term: int, log: Any) -> None:
    """What a new leader's log holds, compared with everything delivered so far."""
    held = {index: (entry_term, data) for data, index, entry_term in log[:]}
    recorder.agreement.elected(replica, term, held, log.first_held_index)
