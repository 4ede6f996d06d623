"""The cluster level: nothing new before every member knows it."""

import pytest

from api import errors
from api.v1.apiserver_pb2 import ClusterStatusResponse, ReplicaStatus
from controlplane.commands import Set
from controlplane.level import check_operations
from controlplane.level_loop import LevelLoop, level_to_raise
from tests.api_server import running_core


def status(*levels, **more):
    replicas = [ReplicaStatus(id=f"r{number}", role="follower", level=level) for number, level in enumerate(levels)]
    return ClusterStatusResponse(replicas=[*replicas, *more.get("others", ())])


@pytest.mark.parametrize(
    ("said", "level"),
    [
        (status(2, 2, 2), 2),
        (status(2, 1, 2), 1),
        (status(2, 2, others=[ReplicaStatus(id="r9", role="unreachable")]), 0),
        (status(), 0),
    ],
)
def test_the_level_is_what_the_oldest_member_knows_and_all_must_answer(said, level):
    assert level_to_raise(said) == level


def test_an_operation_above_the_level_is_refused_before_it_is_proposed():
    needs = {Set: 2}
    check_operations((Set("a", b"1"),), 2, needs)
    with pytest.raises(errors.NotReady, match="Set needs cluster level 2, the cluster is at 1: upgrade every replica"):
        check_operations((Set("a", b"1"),), 1, needs)


async def test_the_leader_raises_the_level_once_the_last_member_is_upgraded(tmp_path):
    said = [status(2, 1, 2)]

    async def answer():
        return said[0]

    async with running_core(tmp_path) as cluster:
        loop = LevelLoop(cluster.replica, answer)
        await loop.raise_level()
        assert cluster.replica.state.level == 1
        said[0] = status(2, 2, 2)
        await loop.raise_level()
        assert cluster.replica.state.level == 2
        said[0] = status(1, 1, 1)
        await loop.raise_level()
        assert cluster.replica.state.level == 2, "it never falls"
