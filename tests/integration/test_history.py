"""History with real files and threads: through snapshots and compaction, a restart, and a replica that fell behind."""

from __future__ import annotations

import random

import pytest

from api import errors
from controlplane.apiserver.past import At
from tests.api_server import ADMIN, config_map, running_core

pytestmark = pytest.mark.slow

PIECE_BYTES = 200_000  # which stand in an applied object twice
UPDATES = 60  # 24 MB of log: two snapshots at least
NAMES = [f"m{number}" for number in range(8)]


async def write_past_snapshots(cluster):
    """Update objects in turn, letting every snapshot that begins end; returns every list there was, by its revision."""
    noise, lists = random.Random(5), {}
    for number in range(UPDATES):
        data = {"k": noise.randbytes(PIECE_BYTES // 2).hex()}
        await cluster.local.apply(config_map(NAMES[number % len(NAMES)], data))
        if cluster.replica._snapshots._writing is not None:
            await cluster.replica._snapshots._writing
        listed = await cluster.local.list("configmaps", "default")
        lists[listed.revision] = listed
    assert cluster.log._snapshot is not None, "the log was compacted"
    return lists


async def check(cluster, lists):
    for revision, expected in [*lists.items()][::9]:
        found = await cluster.core.reads.list(ADMIN, "configmaps", "default", at=At(revision))
        assert found.items == expected.items


async def test_history_outlives_the_log_a_restart_and_not_a_replica_that_fell_behind(tmp_path):
    async with running_core(tmp_path / "r1") as cluster:
        lists = await write_past_snapshots(cluster)
        await cluster.replica.history.persist()
        assert len(list((tmp_path / "r1" / "history").glob("*.history"))) > 1
        await check(cluster, lists)
        log = cluster.log
    async with running_core(tmp_path / "r1", seed=8, log=log) as cluster:
        await cluster.replica.read_barrier()
        assert cluster.replica.history.beginning.revision == 0
        await check(cluster, lists)
        told = await cluster.core.reads.history(ADMIN, "configmaps", "default", "m0")
        assert len(told.changes) > 5
        assert {tuple(each.paths) for each in told.changes[1:]} == {("data.k",)}
    async with running_core(tmp_path / "r2", seed=9, log=log) as behind:
        await behind.replica.read_barrier()
        begin = behind.replica.history.beginning.revision
        assert begin > 0
        with pytest.raises(errors.Expired, match=f"history on replica r1 begins at revision {begin}"):
            await behind.core.reads.list(ADMIN, "configmaps", "default", at=At(min(lists)))
        await check(behind, {revision: each for revision, each in lists.items() if revision >= begin})
