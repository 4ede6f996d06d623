"""A backup taken while the cluster runs, and every replica beginning anew from it: later writes are lost, by consent.

What must hold then: no revision is given twice, and no watch goes on across the restore as if nothing had happened.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from controlplane import backup

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

FACTS = backup.Facts(
    cluster_uid="simulated",
    version="0",
    raft_incarnation=0,
    pod_range="10.244.0.0/16",
    service_range="10.96.0.0/16",
    cluster_domain="cluster.local",
    ca_cert="",
    ca_key="",
    account_keys="",
)


class Restore:
    """One backup and one restore of a run."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._file: Path | None = None

    def save(self) -> None:
        """Back up whatever replica is there."""
        for host in self._cluster.hosts.values():
            if host.api is not None and host.api.ready and host.api.replica.state.revision:
                state = host.api.replica.state.clone()
                self._file = self._cluster.folder / "backup"
                self._file.write_bytes(b"".join(backup.pieces(state, FACTS, self._cluster.folder, host.env)))
                return

    def restore(self) -> None:
        """Lose everything, and start every replica from the backup, one incarnation later.

        `tim backup restore` makes one replica, which others join; here all begin with what it lays down for one.
        """
        if self._file is None:
            return
        hosts = list(self._cluster.hosts.values())
        for host in hosts:
            host.kill_api()
            host.kill_raft()
            shutil.rmtree(host.folder, ignore_errors=True)
            host.log = None
        manifest, state = backup.verify(self._file)
        self._cluster.variant.install(state, hosts[0].folder, hosts[0].env)
        self._cluster.recorder.restored(manifest.index, manifest.revision, state.revision, state.epoch)
        for host in hosts[1:]:
            shutil.copytree(hosts[0].folder, host.folder)
        for host in hosts:
            host.start()
        self._cluster.counts["restores"] += 1
        self._cluster.simulator.trace("restored", manifest.index, manifest.revision, state.revision)
