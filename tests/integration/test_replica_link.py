import asyncio
import random
import time

import pytest

from component.env import Env
from controlplane.apiserver.directory import SessionDirectory
from controlplane.apiserver.replica_link import Peers

ENV = Env(time.monotonic, time.time, random.Random(1), lambda: "uid")


async def test_a_single_replica_has_nobody_to_tell_and_goes_on():
    peers = Peers({}, None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await peers.report_sessions(SessionDirectory("r1", ENV))
    await peers.close()
