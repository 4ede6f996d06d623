"""The state quota through the API: when the cluster is full, the way out stays open."""

from __future__ import annotations

import pytest

from api import errors
from controlplane.commands import QUOTA_SETTING, Set
from controlplane.quota import settle_quota
from tests.api_server import config_map, running_cluster

pytestmark = pytest.mark.slow

BODY = "x" * 300_000


@pytest.fixture
async def cluster(tmp_path):
    async with running_cluster(tmp_path) as cluster:
        yield cluster


async def fill(client):
    """Create until the cluster is full; returns how many fitted and the refusal."""
    for number in range(20):
        try:
            await client.create(config_map(f"c{number}", {"k": BODY}))
        except errors.TooLarge as refusal:
            return number, str(refusal)
    raise AssertionError("nothing was refused")


async def test_past_the_quota_changes_and_deletes_pass_until_there_is_room_again(cluster):
    await settle_quota(cluster.replica, 1, cluster.replica.state.epoch)
    client = cluster.client()
    count, refusal = await fill(client)
    assert count == 3
    assert "at most 1048576 are allowed: delete what is not needed, or raise state_quota_mebibytes" in refusal
    tree = (await client.get("configmaps", "default", "c0")).tree()
    tree["metadata"]["labels"] = {"status": "changed"}
    await client.update(tree)
    await client.delete("configmaps", "default", "c1")
    await client.create(config_map("new", {"k": BODY}))


async def test_a_lower_quota_than_what_is_there_lets_everything_be_deleted(cluster):
    client = cluster.client()
    for number in range(5):
        await client.create(config_map(f"c{number}", {"k": BODY}))
    await settle_quota(cluster.replica, 1, cluster.replica.state.epoch)
    with pytest.raises(errors.TooLarge):
        await client.create(config_map("one-more"))
    for number in range(5):
        await client.delete("configmaps", "default", f"c{number}")
    await client.create(config_map("one-more"))


async def test_the_quota_is_written_only_when_it_changes(cluster):
    replica = cluster.replica
    await settle_quota(replica, 5, replica.state.epoch)
    applied = replica.state.applied_index
    await settle_quota(replica, 5, replica.state.epoch)
    assert replica.state.applied_index == applied
    assert replica.state.setting(QUOTA_SETTING) == b"%d" % (5 << 20)
    await replica.commit([Set(QUOTA_SETTING, b"")])
    await settle_quota(replica, 5, replica.state.epoch)
    assert replica.state.applied_index > applied + 1
