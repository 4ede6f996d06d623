"""Finding a replica whose state is not what the others' is, although it applied the same entries.

Every replica says in the log what digest it has after each thousandth entry; one that sees a majority say otherwise
must stop. It must not know how to stop.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from controlplane.commands import Attest
from controlplane.store.state import State

PERIOD_ENTRIES: Final = 1_000
_KEPT: Final = 64


class Diverged(Exception):
    """This replica's state differs from the majority's; the message names the first index known to differ."""


class DivergenceCheck:
    """The digests of one replica, compared with what the log says of the others'."""

    def __init__(self, replica_id: str) -> None:
        self._replica_id = replica_id
        self._own: dict[int, bytes] = {}
        self._seen: dict[str, tuple[int, bytes]] = {}

    def applied(self, state: State) -> Attest | None:
        """Look at the state after an entry; return what to say if it is a thousandth. Raises Diverged."""
        if state.attestations is not self._seen:
            self._seen = state.attestations
            self._compare()
        if state.applied_index % PERIOD_ENTRIES:
            return None
        self._own[state.applied_index] = state.digest
        if len(self._own) > _KEPT:
            del self._own[min(self._own)]
        return Attest(self._replica_id, state.applied_index, state.digest)

    def forget(self) -> None:
        """The state was replaced by the leader's: earlier digests say nothing about it."""
        self._own.clear()

    def _compare(self) -> None:
        votes = Counter(self._seen.values())
        replicas = len(self._seen.keys() | {self._replica_id})
        for (index, digest), count in votes.items():
            own = self._own.get(index, digest)
            if own != digest and count >= 2 and count * 2 > replicas:
                raise Diverged(
                    f"the state after log entry {index} has digest {own.hex()} here and {digest.hex()} on {count} "
                    "replicas, so this one diverged: keep its data folder for examination and let it join again empty"
                )
