"""What `tim status` tells of each replica."""

from __future__ import annotations

import pytest

from api.v1 import apiserver_pb2 as pb
from tests.cli_rig import CliApi, tim

REPLICAS = (
    pb.ReplicaStatus(
        id="r1",
        role="leader",
        voter=True,
        ready=True,
        term=7,
        last_index=120,
        commit_index=119,
        applied_index=118,
        sync_p50_seconds=0.0007,
        sync_p99_seconds=0.0123,
    ),
    pb.ReplicaStatus(id="r2", role="unreachable", voter=True, lag_entries=119),
    pb.ReplicaStatus(id="r3", role="follower", term=7, last_index=9, commit_index=8, applied_index=8, lag_entries=111),
)


class Api(CliApi):
    async def cluster_status(self) -> pb.ClusterStatusResponse:
        return pb.ClusterStatusResponse(cluster_uid="c", version="1", revision=42, replicas=REPLICAS)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("REPLICA", ["ROLE", "TERM", "LAST", "COMMIT", "APPLIED", "LAG", "READY", "FSYNC", "P50/P99"]),
        ("r1", ["leader", "7", "120", "119", "118", "0", "yes", "0.7/12.3", "ms"]),
        ("r2", ["unreachable", "no"]),
        ("r3", ["learner", "7", "9", "8", "8", "111", "no"]),
    ],
)
def test_status_tells_term_indexes_lag_and_fsync_time_of_every_replica(name, cells):
    lines = [line.split() for line in tim(Api(), "status").stdout.splitlines()[1:]]
    assert [name, *cells] in lines


def test_what_an_unreachable_replica_does_not_say_leaves_its_columns_empty():
    _, headings, _, away, _ = tim(Api(), "status").stdout.splitlines()
    assert away.index("no") == headings.index("READY")
