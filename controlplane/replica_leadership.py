"""Being the leader, as scheduler and controllers see it: an epoch that is replicated before anybody acts on it.

Two replicas may believe that they lead; only one holds the epoch that apply accepts. It must not know who listens.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from api import errors
from component.env import Env
from controlplane.commands import ID_BYTES, Committed, Op, Result, SetEpoch, Transaction, encode_transaction
from controlplane.raft.protocol import RaftStatus
from controlplane.replica_proposals import Proposals

OnLeadership = Callable[[int | None], None]
"""Called with the new epoch, from whose state scheduler and controllers start, and with None when it is over.

Runs on the event loop between two entries and must return at once, without raising.
"""

logger = structlog.get_logger()


class Leadership:
    """Follows the status of the local Raft process."""

    def __init__(self, replica_id: str, proposals: Proposals, env: Env, epoch: Callable[[], int]) -> None:
        self._replica_id = replica_id
        self._proposals = proposals
        self._env = env
        self._epoch = epoch
        self._listeners: list[OnLeadership] = []
        self._term = 0  # in which this replica leads, 0 if it does not
        self._announced: int | None = None

    def listen(self, callback: OnLeadership) -> None:
        """Tell `callback` from now on; at once when this replica leads already."""
        self._listeners.append(callback)
        if self._announced is not None:
            callback(self._announced)

    def status_changed(self, status: RaftStatus) -> None:
        """Take a new epoch when leadership begins, let go at once when it ends."""
        term = status.term if status.leading else 0
        if term == self._term:
            return
        self.lose()
        if term:
            self._term = term
            try:
                self._propose(term, SetEpoch(self._replica_id), lambda result: self._settled(term, result))
            except errors.Unavailable:
                self._term = 0  # the queue is full or closed: the next status tries again

    def lose(self) -> None:
        """Leadership is over."""
        self._term = 0
        if self._announced is not None:
            logger.info("leadership_lost", replica=self._replica_id, epoch=self._announced)
            self._announced = None
            for callback in self._listeners:
                callback(None)

    def attest(self, status: RaftStatus, op: Op) -> None:
        """Propose what only matters now: it is dropped when the term ends first, or when there is no room."""
        try:
            self._propose(status.term, op, None)
        except errors.Unavailable:
            logger.info("attestation_dropped", replica=self._replica_id)

    def _propose(self, term: int, op: Op, on_outcome: Callable[[Result | errors.ApiError], None] | None) -> None:
        data = encode_transaction(Transaction(self._env.rng.randbytes(ID_BYTES), (op,)))
        self._proposals.propose_in(term, data, on_outcome)

    def _settled(self, term: int, result: Result | errors.ApiError) -> None:
        if term != self._term or not isinstance(result, Committed):
            return
        self._announced = self._epoch()
        logger.info("leadership_gained", replica=self._replica_id, epoch=self._announced, term=term)
        for callback in self._listeners:
            callback(self._announced)
