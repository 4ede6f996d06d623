import asyncio
import contextlib
import random

import pytest

from agent.network_sync import NetworkSync
from component.env import Env
from netplugin.protocol import NetworkInputs
from tests.fake_network import FakeNetwork
from tests.waiting import DEADLINE_SECONDS

ENV = Env(lambda: 0.0, lambda: 0.0, random.Random(1), lambda: "uid")


@contextlib.asynccontextmanager
async def syncing(network):
    seen = asyncio.Event()
    sync = NetworkSync(network, seen.set, ENV)
    task = asyncio.ensure_future(sync.run())
    try:
        yield sync, seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.slow
@pytest.mark.parametrize("error", [ValueError("rubbish is no address"), OSError("no buffer space")])
async def test_whatever_a_sync_raises_is_told_and_tried_again(error):
    network = FakeNetwork()
    network._failures["sync"] = [error]
    async with syncing(network) as (sync, seen):
        sync.submit(NetworkInputs(7, (), (), ()))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not sync.problem:
                await asyncio.sleep(0)
            assert str(error) in sync.problem
            await seen.wait()
    assert (sync.problem, sync.synced_revision) == ("", 7)
