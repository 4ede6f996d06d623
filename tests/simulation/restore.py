"""A backup taken while the cluster runs, and every replica beginning anew from it: later writes are lost, by consent.

What must hold then: no revision is given twice, and no watch goes on across the restore as if nothing had happened.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from controlplane.commands import StartIncarnation, Transaction, encode_entry, encode_transaction
from controlplane.raft.protocol import Entry
from controlplane.raft.snapshots import publish
from controlplane.store import snapshot as snapshots
from controlplane.store.state import State

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

COMMAND_ID = b"restored cluster"


class Restore:
    """One backup and one restore of a run."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._backup: State | None = None

    def save(self) -> None:
        """Back up whatever replica is there."""
        for host in self._cluster.hosts.values():
            if host.api is not None and host.api.ready and host.api.replica.state.revision:
                self._backup = host.api.replica.state.clone()
                return

    def restore(self) -> None:
        """Lose everything, and start every replica from the backup, one incarnation later."""
        if self._backup is None:
            return
        hosts = list(self._cluster.hosts.values())
        for host in hosts:
            host.kill_api()
            host.kill_raft()
            shutil.rmtree(host.folder, ignore_errors=True)
            host.log = None
        state = self._backup.clone()
        self._cluster.recorder.restored(state.applied_index, state.revision, state.epoch)
        state.apply(Entry(state.applied_index + 1, state.applied_term + 1, self._command(state)))
        for host in hosts:
            written = snapshots.write(state, host.folder / "states")
            folder = host.folder / "snapshot"
            folder.mkdir()
            copy = folder / "restored.partial"
            shutil.copyfile(written.path, copy)
            publish(copy, folder, written.index, written.term, b"")
            host.start()
        self._cluster.counts["restores"] += 1
        self._cluster.simulator.trace("restored", state.applied_index, state.revision)

    def _command(self, state: State) -> bytes:
        if not self._cluster.variant.new_incarnation:
            return b""
        transaction = Transaction(COMMAND_ID, (StartIncarnation(),))
        return encode_entry([encode_transaction(transaction)], state.time_ms)
