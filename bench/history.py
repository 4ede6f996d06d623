"""What history costs the path of writes, and what reading the past and watching from it cost at depth.

CPU time of this process, threads included: compare ratios. The peer of a write is the same one without history. The
floor of reads is to read and decompress, in the same run, the blocks of the segment files that they need.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import tempfile
import time
import zlib
from pathlib import Path

from bench.report import Report, run_part
from controlplane.commands import Check, Envelope, Key, Put, Transaction, encode_entry, encode_transaction
from controlplane.raft.protocol import Entry
from controlplane.replica_history import History
from controlplane.replica_watching import Backlog, Place
from controlplane.server import SWITCH_INTERVAL_SECONDS
from controlplane.store import history_segment
from controlplane.store.state import State
from controlplane.watch.hub import Hub

OBJECTS = 2_000
CHANGES = 100_000
BATCH = 8  # transactions in an entry under some load
DEPTHS = (100, 1_000, 5_000, 20_000, 100_000)


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
        depths = [each for each in DEPTHS if each <= changes]
        gc.collect()
        gc.freeze()  # as a replica does: without it the pauses are those of collecting what the bench itself holds
        await bench_reads(report, state, history, depths)
        await bench_watch(report, state, history, depths[-1])


async def bench_reads(report, state, history, depths):
    """Reads of a whole kind, of one object, and of an object's changes; each time the CPU beside its floor's."""
    key = Key("pods", "default", "pod-00007")
    rows = []
    for depth in depths:
        revision = state.revision - depth + 1
        times = []
        for only in (None, key):
            began, cpu = time.perf_counter(), time.process_time()
            await history.rewound(state, "pods", revision, only)
            times += [(time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3]
            times.append(floor_seconds(history, revision, only) * 1e3)
        began = time.perf_counter()
        await history.versions(state, key, max(1, depth // OBJECTS))
        times.append((time.perf_counter() - began) * 1e3)
        pause = await pauses_during(history.rewound(state, "pods", revision))
        rows.append([depth, *times, pause * 1e3])
    report.table(
        [
            "changes ago",
            *("list ms", "list CPU ms", "floor CPU ms"),
            *("get ms", "get CPU ms", "floor CPU ms"),
            "its changes ms",
            "longest pause, CPU ms",
        ],
        rows,
    )
    began = time.perf_counter()
    held = state.scan("pods")
    report.figure("floor: list of now", (time.perf_counter() - began) * 1e3, "ms")
    assert len(held) == OBJECTS


def floor_seconds(history, revision, only):
    """CPU to read and decompress the blocks that a read needs, and to do nothing with them."""
    place = only and (only.namespace, only.name)
    began = time.process_time()
    for segment in history._segments:  # noqa: SLF001 - the bench reads the same files
        if segment.end.revision <= revision:
            continue
        with segment.path.open("rb") as file:
            head, offset = history_segment._read_head(file, segment.path)  # noqa: SLF001 - as above
            for block in head.blocks:
                if place is None or block.first <= place <= block.last:
                    file.seek(offset + block.offset)
                    zlib.decompress(file.read(block.length))
    return time.process_time() - began


async def bench_watch(report, state, history, depth):
    """A watch that comes back from so many changes ago, and ten that come back together."""
    hub = Hub()
    hub.reset(state)  # as after a restart: the rings are empty
    revision = state.revision - depth
    floor = floor_seconds(history, revision, None)
    for count in (1, 10):
        backlog = Backlog(history)
        places = [Place(hub, backlog, "pods", revision, "") for _ in range(count)]
        began, cpu = time.perf_counter(), time.process_time()
        seen = await asyncio.gather(*(follow(place, state.revision) for place in places))
        cpu, took = time.process_time() - cpu, time.perf_counter() - began
        assert seen == [state.revision - revision] * count
        report.figure(
            f"watch from {depth} changes ago, {count} at once: CPU a change and watcher",
            cpu / count / depth * 1e6,
            "us CPU",
            peer=floor / depth * 1e6,
            peer_name="read and decompress, once",
        )
        report.figure(f"watch from {depth} changes ago, {count} at once: caught up after", took * 1e3, "ms")
    pause = await pauses_during(follow(Place(hub, Backlog(history), "pods", revision, ""), state.revision))
    report.figure("watch: longest pause of the loop, CPU", pause * 1e3, "ms")


async def follow(place, revision):
    """How many events come up to a revision, frames included."""
    count = 0
    while place.revision < revision:
        for event in await place.pull(None):
            count += bool(event.frame)
        await asyncio.sleep(0)
    return count


if __name__ == "__main__":
    run_part("history", __doc__, bench)
