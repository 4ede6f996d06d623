"""A replica's history and snapshots, killed before every single file operation: `python -m tests.fuzz.history_crashes`.

In a process of its own, because it forks: each child does the same work and kills itself at the next point.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

from controlplane.commands import Envelope, Key, Put, Transaction, encode_entry, encode_transaction
from controlplane.raft.protocol import Entry
from controlplane.replica_history import History
from controlplane.replica_snapshots import SnapshotSchedule
from controlplane.store import snapshot
from controlplane.store.state import State

ENTRIES = 30
POD = Key("pods", "d", "a")
FILE_OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir"}
KEEP_BYTES = 1_500  # so that segments leave the window, too


async def at_once(function):
    return function()


async def slowly(function):
    """So that a snapshot of the same moment is ready first, if it does not wait."""
    for _ in range(5):
        await asyncio.sleep(0)
    return function()


def entry(index):
    put = Put(Envelope(POD, "u"), b"%d" % index * 200)
    return Entry(index, 1, encode_entry([encode_transaction(Transaction(index.to_bytes(16, "big"), (put,)))], index))


async def work(folder, keep_bytes):
    """Apply entries, cutting and writing snapshots as a replica does, from wherever the folder stands."""
    loaded, damaged = snapshot.load_newest(folder)
    assert not damaged
    state = loaded or State()
    history = History("r1", folder / "history", slowly, keep_bytes=keep_bytes, keep_seconds=1e9)
    await history.open(state)
    begin = history.beginning.revision
    schedule = SnapshotSchedule(folder, at_once, lambda _: None, history)
    for index in range(state.applied_index + 1, ENTRIES + 1):
        each = entry(index)
        history.applied(state, state.apply(each), len(each.data))
        if index % 5 == 0:
            history.cut(state)
        if index % 10 == 0:
            schedule.begin(state)
        await asyncio.sleep(0)
    await schedule.close()
    await history.close()
    return state, history, begin


async def check(folder, keep_bytes):
    """Whatever is in the window reads as it was; without a limit nothing at all is missing."""
    state, history, begin = await work(folder, keep_bytes)
    assert keep_bytes == KEEP_BYTES or begin == 0, f"history was lost before revision {begin}"
    for revision in range(max(history.beginning.revision, 1), ENTRIES + 1):
        stored = (await history.rewound(state, "pods", revision, POD)).get(POD)
        assert stored is not None
        assert stored.body == b"%d" % revision * 200
    assert begin < ENTRIES
    assert not list(folder.rglob("*.tmp"))


def killed(folder, operation, keep_bytes):
    """Do the work in a child that kills itself before its file operation of that number; whether it got there."""
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event, arguments):
            nonlocal count
            if event in FILE_OPERATIONS and str(folder) in str(arguments[0]):
                count += 1
                if count == operation:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        asyncio.run(work(folder, keep_bytes))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        return False
    assert os.WTERMSIG(status) == signal.SIGKILL
    return True


def full(folder):
    """Every write fails half-way in a child, as on a full disk: it goes on without history and leaves no rubbish."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        state, _, _ = asyncio.run(work(folder, 1 << 30))
        os._exit(0 if state.revision == ENTRIES else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert not [path for path in folder.rglob("*") if path.is_file()]


def main(root):
    points = 0
    for keep_bytes in (1 << 30, KEEP_BYTES):
        operation, going = 1, True
        while going:
            folder = root / f"{keep_bytes}-{operation}"
            going = killed(folder, operation, keep_bytes)
            asyncio.run(check(folder, keep_bytes))
            shutil.rmtree(folder)
            points += going
            operation += 1
    full(root / "full")
    print(points)  # noqa: T201 - the answer to who started this process


if __name__ == "__main__":
    main(Path(sys.argv[1]))
