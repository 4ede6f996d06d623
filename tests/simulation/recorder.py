"""Collects what the checkers need from every replica, and tells the first contradiction at once."""

from __future__ import annotations

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
from tests.simulation.checks.placement import PodRow
from tests.simulation.checks.raft_rules import RaftRules
from tests.simulation.checks.record import Asked, Row, Watched

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

TOKEN_LABEL = "token"


class Recorder:
    """`rows` are the changes in the order of revisions, of this incarnation only after a restore."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.agreement = Agreement()
        self.epochs = Epochs()
        self.rules = RaftRules()
        self.rows: list[Row] = []
        self.pods: list[PodRow] = []
        self.capacity: dict[str, dict[str, int]] = {}
        self.asked: list[Asked] = []
        self.watched: list[Watched] = []
        self.installs = 0
        self._ran: dict[str, str] = {}
        self._applied_index = 0
        self._applied: dict[str, int] = {}

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
