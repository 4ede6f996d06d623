"""What history costs the path of writes, and what reading the past costs at depth, beside the state alone.

CPU time of this process, threads included: compare ratios. The peer of a write is the same one without history, of
a read the same one of now.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from bench.report import Report, run_part
from controlplane.commands import Check, Envelope, Key, Put, Transaction, encode_entry, encode_transaction
from controlplane.raft.protocol import Entry
from controlplane.replica_history import History
from controlplane.server import SWITCH_INTERVAL_SECONDS
from controlplane.store.state import State

OBJECTS = 2_000
CHANGES = 100_000
BATCH = 8  # transactions in an entry under some load
DEPTHS = (100, 1_000, 10_000, 100_000)


def body_of(name, number):
    """About 1.2 KB, of which a status update changes a few bytes: parts that compress as those of real pods do."""
    words = random.Random(name)
    fixed = " ".join(f"{words.getrandbits(64):016x}" for _ in range(60))
    return f'{{"metadata":{{"name":"{name}"}},"spec":"{fixed}","status":{{"restarts":{number}}}}}'.encode()


def entries_of(changes):
    """Updates of objects in turn; the first of each creates it."""
    batch, entries = [], []
    for number in range(changes):
        name = f"pod-{number % OBJECTS:05d}"
        key = Key("pods", "default", name)
        put = Put(Envelope(key, name, {"app": "web"}), body_of(name, number))
        ops = (Check(key, name), put) if number >= OBJECTS else (Check(key, absent=True), put)
        batch.append(encode_transaction(Transaction(number.to_bytes(16, "big"), ops)))
        if len(batch) == BATCH:
            entries.append(Entry(len(entries) + 1, 1, encode_entry(batch, 1_000 * (1 + len(entries)))))
            batch = []
    return entries


async def replay(entries, folder, *, keep_bytes):
    """Apply everything as a replica does; returns CPU seconds, the longest hold of the loop, state and history."""
    state, history = State(), History("r1", folder, asyncio.to_thread, keep_bytes=keep_bytes, keep_seconds=1e9)
    await history.open(state)
    began, longest = time.process_time(), 0.0
    for each in entries:
        applied = state.apply(each)
        started = time.thread_time()
        history.applied(state, applied, len(each.data))
        longest = max(longest, time.thread_time() - started)
        if each.index % 16 == 0:
            await asyncio.sleep(0)
    await history.persist()
    return time.process_time() - began, longest, state, history


async def pauses_during(work):
    """The most CPU time that this process spent while the loop was not there for others."""
    longest, done = 0.0, asyncio.ensure_future(work)
    while not done.done():
        started = time.process_time()
        await asyncio.sleep(0)
        longest = max(longest, time.process_time() - started)
    await done
    return longest


async def bench(report: Report, quick: bool) -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    changes = CHANGES // 10 if quick else CHANGES
    entries = entries_of(changes)
    report.setting(f"{changes} changes of {OBJECTS} objects of 1.2 KB, {BATCH} transactions an entry")
    with tempfile.TemporaryDirectory() as folder:
        without, _, state, _ = await replay(entries, Path(folder, "none"), keep_bytes=0)
        kept, longest, state, history = await replay(entries, Path(folder, "kept"), keep_bytes=1 << 40)
        size_bytes = sum(segment.size_bytes for segment in history._segments)  # noqa: SLF001 - the bench counts
        report.figure(
            "write: State.apply with history",
            kept / changes * 1e6,
            "us CPU",
            peer=without / changes * 1e6,
            peer_name="without",
        )
        report.figure("write: longest hold of the loop by history", longest * 1e3, "ms CPU")
        report.figure("history on disk, a change", size_bytes / changes, "bytes", peer=1_200, peer_name="an object")
        await bench_reads(report, state, history, [each for each in DEPTHS if each <= changes])


async def bench_reads(report, state, history, depths):
    """Reads of a whole kind, of one object, and of an object's changes."""
    key = Key("pods", "default", "pod-00007")
    rows = []
    for depth in depths:
        revision = state.revision - depth + 1
        times = []
        for only in (None, key):
            began, cpu = time.perf_counter(), time.process_time()
            await history.rewound(state, "pods", revision, only)
            times += [(time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3]
        began = time.perf_counter()
        await history.versions(state, key, max(1, depth // OBJECTS))
        times.append((time.perf_counter() - began) * 1e3)
        pause = await pauses_during(history.rewound(state, "pods", revision))
        rows.append([depth, *times, pause * 1e3])
    report.table(
        ["changes ago", "list ms", "list CPU ms", "get ms", "get CPU ms", "its changes ms", "longest pause, CPU ms"],
        rows,
    )
    began = time.perf_counter()
    held = state.scan("pods")
    report.figure("floor: list of now", (time.perf_counter() - began) * 1e3, "ms")
    assert len(held) == OBJECTS


if __name__ == "__main__":
    run_part("history", __doc__, bench)
