"""What most tests of the API core begin with. Others that have a cluster of their own kind define theirs."""

from __future__ import annotations

import pytest

from tests.api_server import running_core


@pytest.fixture
async def cluster(tmp_path):
    """A core on one replica."""
    async with running_core(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def api(cluster):
    """Its verbs, as an administrator."""
    return cluster.local
