"""A disk that is full or fails: the Raft process ends with one clear line, and nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.raft_processes import ROOT, RaftProcesses, put
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = [pytest.mark.slow, pytest.mark.root]

ENTRY_BYTES = 512 << 10
REMEDY = "free space on its disk and start again, nothing acknowledged is lost"
BROKEN_REMEDY = "look at its disk (dmesg) before you start again; if it is broken, replace this replica"
# Read by an interpreter at its start: as long as the file is there, what a sync covers does not reach the device.
FAILING_SYNCS = """
import errno, os
sync = os.fdatasync
def fdatasync(descriptor):
    if os.path.exists({broken!r}):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    sync(descriptor)
os.fdatasync = fdatasync
"""


class SmallDisk:
    """A file system of a few megabytes at `folder`, which only those see who `enter`."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        mount = 'mount -t tmpfs -o size="$2m" none "$1" && echo mounted && exec sleep infinity'
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "-m", "sh", "-c", mount, "sh", folder, str(megabytes)],
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout.readline() == b"mounted\n"
        self.enter = ["nsenter", "-t", str(self._holder.pid), "-m", "env", "-C", str(ROOT)]

    @property
    def _filler(self) -> Path:
        return Path(f"/proc/{self._holder.pid}/root{self._folder}/filler")

    def fill(self, leave_megabytes: int = 0) -> None:
        """Leave no space but this."""
        with self._filler.open("ab", buffering=0) as filler:
            found = os.fstatvfs(filler.fileno())
            free_bytes = found.f_bavail * found.f_bsize - (leave_megabytes << 20)
            os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, free_bytes)

    def free(self) -> None:
        """Leave some again."""
        self._filler.unlink()

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()


@pytest.fixture
def disk(tmp_path):
    disk = SmallDisk(tmp_path / "disk", 128)
    yield disk
    disk.close()


@pytest.fixture
def cluster(request, tmp_path, disk):
    """`request.param` replicas; the data of r1 is on the small disk."""
    cluster = RaftProcesses(tmp_path, request.param)
    cluster.enter["r1"] = disk.enter
    config = {**cluster.config("r1"), "data_dir": str(tmp_path / "disk" / "raft")}
    (cluster.home("r1") / "raft.json").write_text(json.dumps(config))
    yield cluster
    cluster.close()


def last_reason(cluster, event):
    """What the ended process said last: this event, and nothing else that is critical."""
    line = cluster.logs("r1")[-1]
    assert line["event"] == event
    assert "Traceback" not in (cluster.home("r1") / "raft.log").read_text()
    return line["reason"]


async def write_until_it_ends(cluster, api):
    """Write large entries until the process ends; returns those acknowledged."""
    process, acknowledged = cluster.running["r1"], []
    while process.poll() is None and len(acknowledged) < 1000:
        data = b"%06d" % len(acknowledged) + bytes(ENTRY_BYTES)
        writing = asyncio.ensure_future(put([api], data))  # again when the leadership is lost and won meanwhile
        await eventually(lambda writing=writing: writing.done() or process.poll() is not None)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        if data in api.seen:
            acknowledged.append(data)
    assert await ended(cluster) == 70
    return acknowledged


async def ended(cluster):
    """The exit code of r1, once it has ended; the API ends go on meanwhile, for nobody leads without one."""
    return await asyncio.to_thread(cluster.running.pop("r1").wait, DEADLINE_SECONDS)


@pytest.mark.parametrize("cluster", [1], indirect=True)
async def test_a_full_disk_ends_the_process_with_one_line_and_loses_nothing(cluster, disk):
    disk.fill(leave_megabytes=60)
    cluster.start()
    api = cluster.api("r1")
    await api.connect()
    acknowledged = await write_until_it_ends(cluster, api)
    await api.log.close()
    assert len(acknowledged) > 10
    reason = last_reason(cluster, "raft_failed")
    assert reason.startswith("cannot write the log in ")
    assert reason.endswith(f"No space left on device; {REMEDY}")

    disk.fill()
    cluster.start()
    assert await ended(cluster) == 70
    reason = last_reason(cluster, "raft_not_started")
    assert reason.startswith("cannot open the log in ")
    assert reason.endswith(f"No space left on device; {REMEDY}")

    disk.free()
    cluster.start()
    api = cluster.api("r1")
    await api.connect()
    await eventually(lambda: api.seen.issuperset(acknowledged))
    await put([api], b"and on")
    await api.log.close()


@pytest.mark.parametrize("cluster", [3], indirect=True)
async def test_the_others_go_on_while_one_disk_is_full_and_it_catches_up_with_space(cluster, disk):
    disk.fill(leave_megabytes=20)
    cluster.start()
    apis = [cluster.api(name) for name in cluster.names]
    for api in apis:
        await api.connect()
    for number in range(60):
        await put(apis, b"%06d" % number + bytes(ENTRY_BYTES))
    assert await ended(cluster) == 70
    assert REMEDY in last_reason(cluster, "raft_failed")
    disk.free()
    cluster.start("r1")
    await put(apis, b"last")
    await eventually(lambda: apis[0].data == apis[1].data == apis[2].data)
    for api in apis:
        await api.log.close()


@pytest.fixture
def broken(tmp_path):
    """The file that makes every sync of r1's Raft process fail while it is there."""
    (tmp_path / "site").mkdir()
    broken = tmp_path / "broken"
    (tmp_path / "site" / "sitecustomize.py").write_text(FAILING_SYNCS.format(broken=str(broken)))
    return broken


@pytest.fixture
def failing(tmp_path, broken):
    cluster = RaftProcesses(tmp_path, 3)
    cluster.enter["r1"] = ["env", f"PYTHONPATH={broken.parent / 'site'}"]
    yield cluster
    cluster.close()


async def test_a_failed_sync_ends_the_process_before_it_acknowledges_and_the_others_go_on(failing, broken):
    cluster = failing
    cluster.start()
    apis = [cluster.api(name) for name in cluster.names]
    for api in apis:
        await api.connect()
    for number in range(20):
        await put(apis, b"%06d" % number)
    broken.touch()
    for number in range(20, 40):
        await put(apis[1:] if cluster.running["r1"].poll() is not None else apis, b"%06d" % number)
    assert await ended(cluster) == 70
    reason = last_reason(cluster, "raft_failed")
    assert reason.startswith("cannot write the log in ")
    assert reason.endswith(f"Input/output error; {BROKEN_REMEDY}")
    broken.unlink()
    cluster.start("r1")
    await put(apis, b"last")
    await eventually(lambda: apis[0].data == apis[1].data == apis[2].data)
    assert {b"%06d" % number for number in range(40)} <= apis[0].seen
    for api in apis:
        await api.log.close()
