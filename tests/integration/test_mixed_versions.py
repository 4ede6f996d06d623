"""A cluster of real processes while it is upgraded: nothing new too early, nothing lost, no two states."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from contextlib import asynccontextmanager, suppress

import pytest

from api.errors import AlreadyExists, ApiError
from controlplane.level import KNOWN_LEVEL
from tests.integration.server_processes import ServerProcesses, eventually
from tests.newer_build import NEWER_LEVEL, ROOT, newer_build

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # some fifty starts of programs

KIND = "{apiVersion: example.dev/v1, kind: Gadget, metadata: {name: g1}, data: {size: large}}"
FIELD = "{apiVersion: v1, kind: ConfigMap, metadata: {name: noted}, note: remember}"
OPERATION = "{apiVersion: v1, kind: ConfigMap, metadata: {name: marked, labels: {mark: please}}}"
NEW = {
    "kind gadgets.example.dev": KIND,
    "field note of configmaps": FIELD,
    "operation Mark": OPERATION,
}
REPLAY = """
import json, os, sys
from component import config
from controlplane import recovery
from controlplane.config import ServerConfig
from pathlib import Path
from controlplane.raft.recovery import open_storage
from controlplane.store.state import State
found = config.load(ServerConfig, Path(sys.argv[1]), os.environ, prefix="TIM_SERVER")
storage = open_storage(Path(found.data_dir) / "raft")
digests, apply = {}, State.apply
def noting(state, entry):
    changes = apply(state, entry)
    digests[entry.index] = state.digest.hex()
    return changes
State.apply = noting
state = recovery.replayed(storage, Path(found.data_dir) / "snapshots")
print(json.dumps([digests, state.level, sorted(state.settings)]))
"""


@pytest.fixture
def newer(tmp_path):
    return newer_build(tmp_path / "newer")


@pytest.fixture
def cluster(tmp_path):
    cluster = ServerProcesses(tmp_path)
    yield cluster
    cluster.close()


@asynccontextmanager
async def writing(cluster):
    """A client that creates one ConfigMap after the other all the while; yields the names acknowledged so far."""
    acknowledged: list[str] = []

    async def write() -> None:
        async with cluster.client() as client:
            number = 0
            while True:
                name = f"write-{number}"
                tree = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}
                try:
                    with suppress(AlreadyExists):  # of an attempt whose outcome was unknown
                        await client.create(tree)
                except ApiError:
                    await asyncio.sleep(0.05)
                    continue
                acknowledged.append(name)
                number += 1
                await asyncio.sleep(0.01)

    task = asyncio.create_task(write())
    try:
        yield acknowledged
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def all_ready(cluster, client, level):
    """Wait until every replica is there and the cluster is at `level`."""

    async def probe():
        status = await client.cluster_status()
        ready = [each.id for each in status.replicas if each.ready]
        return ready == cluster.names and status.level == level

    await eventually(probe, f"all replicas are ready at level {level}")


async def more(acknowledged):
    count = len(acknowledged) + 10

    async def probe():
        return len(acknowledged) >= count

    await eventually(probe, "writes go on")


async def refused(cluster, build, told):
    """Wait until the use of each new thing is refused in one line that ends like that."""
    for what, manifest in NEW.items():

        async def probe(what=what, manifest=manifest):
            done = await asyncio.to_thread(cluster.tim, build, "apply", "-f", "-", stdin=manifest)
            assert done.returncode == 1, done.stdout
            [line] = done.stderr.splitlines()
            return f"{what} needs cluster level {NEWER_LEVEL}, the cluster is at {KNOWN_LEVEL}: {told}" in line

        await eventually(probe, f"{what} is refused with {told!r}")


async def taken(cluster, build, what, manifest):
    """Wait until the use of a new thing is no longer refused: the replica that is asked may hear of the level last."""

    async def probe():
        done = await asyncio.to_thread(cluster.tim, build, "apply", "-f", "-", stdin=manifest)
        return not done.returncode

    await eventually(probe, f"{what} is taken")


async def upgrade(cluster, client, name, newer, level):
    await cluster.stop(name)
    cluster.start(name, build=newer)
    await all_ready(cluster, client, level)


async def older_program_is_refused(cluster, name):
    """Started on the data of a higher level it ends, says what to do, and leaves them as they are."""
    await cluster.stop(name)
    cluster.start(name, build=ROOT)

    async def ended():
        return cluster.logged(name, "api", "api_failed")

    await eventually(ended, "the older program ends")
    [told] = cluster.logged(name, "api", "api_failed")
    assert told["reason"] == (
        f"the cluster is at level {NEWER_LEVEL}, this program knows {KNOWN_LEVEL}: "
        "install the version that the other replicas run"
    )


def replayed(cluster, name, build):
    """What a stopped replica's folders come to: the digest after each entry of its log, level, settings."""
    command = [sys.executable, "-c", REPLAY, str(cluster.config(name))]
    return json.loads(subprocess.run(command, cwd=build, capture_output=True, check=True, text=True).stdout)


async def test_a_rolling_upgrade_brings_what_is_new_with_the_last_replica_and_loses_nothing(cluster, newer):
    cluster.start()
    async with cluster.client() as client, writing(cluster) as acknowledged:
        await all_ready(cluster, client, KNOWN_LEVEL)
        await upgrade(cluster, client, "r1", newer, KNOWN_LEVEL)
        await more(acknowledged)
        old = f"knows only level {KNOWN_LEVEL}"
        await refused(cluster, newer, f"replica r2 {old}, replica r3 {old}: upgrade them, then retry")
        await upgrade(cluster, client, "r2", newer, KNOWN_LEVEL)
        await refused(cluster, newer, f"replica r3 {old}: upgrade it, then retry")
        await more(acknowledged)
        await upgrade(cluster, client, "r3", newer, NEWER_LEVEL)
        for what, manifest in NEW.items():
            await taken(cluster, newer, what, manifest)
        await more(acknowledged)
        written = {*acknowledged, "noted", "marked"}
        assert {each.name for each in (await client.list("configmaps", "default")).items} >= written
        shown = await asyncio.to_thread(cluster.tim, newer, "get", "gadgets/g1", "cm/noted", "-o", "json")
        assert "large" in shown.stdout, shown.stderr
        assert "remember" in shown.stdout
        await older_program_is_refused(cluster, "r3")
        await upgrade(cluster, client, "r3", newer, NEWER_LEVEL)
        await more(acknowledged)
    for name in cluster.names:
        await cluster.stop(name)
    found = [replayed(cluster, name, newer) for name in cluster.names]
    for _, level, settings in found:
        assert level == NEWER_LEVEL
        assert "mark/marked" in settings
    for (one, *_), (another, *_) in itertools.pairwise(found):
        common = one.keys() & another.keys()
        assert len(common) > len(written), "the entries of the whole upgrade"
        assert {index for index in common if one[index] != another[index]} == set(), "two states after an entry"
