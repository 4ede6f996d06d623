"""What the replicated state costs per object and per event, beside a plain dict doing the least that could be done.

Numbers are CPU time of this process on this machine: compare ratios.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from pathlib import Path

import msgspec

from bench.report import Report, run_part
from controlplane.commands import Check, Envelope, Key, Put, Transaction, encode_entry, encode_transaction
from controlplane.raft.protocol import Entry
from controlplane.store import snapshot
from controlplane.store.state import State
from controlplane.watch.hub import Hub
from controlplane.watch.selection import selection

BATCH = 64
PODS = 100_000
BODY_BYTES = 2_000
WATCHERS = 100


def resident_bytes():
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def pod_entries(pods, body_bytes):
    """Entries of 64 creates each; bodies differ, as real ones do."""
    batch = []
    index = 0
    for number in range(pods):
        name = f"web-{number // 500:04d}-{number:06d}"
        head = f'{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"team-{number % 20}"}},"x":"'
        body = (head + "y" * (body_bytes - len(head) - 2) + '"}').encode()
        key = Key("pods", f"team-{number % 20}", name)
        owner = f"0f3c5a1e-0000-4000-8000-{number // 500:012d}"
        labels = {"app": "web", "pod-template-hash": f"{number // 500:08x}"}
        uid = f"{number:08x}-0000-4000-8000-000000000000"
        envelope = Envelope(key, uid, labels, (owner,), (), f"node-{number % 500}")
        ops = (Check(key, absent=True), Put(envelope, body))
        batch.append(encode_transaction(Transaction(number.to_bytes(16, "big"), ops)))
        if len(batch) == BATCH or number == pods - 1:
            index += 1
            yield Entry(index, 1, encode_entry(batch, index))
            batch = []


def timed(report, label, function, *, per=1, unit="ms", scale=1e3):
    cpu = time.process_time()
    value = function()
    report.figure(label, (time.process_time() - cpu) / per * scale, f"{unit} CPU")
    return value


def bench_state(report, pods, body_bytes):
    """Apply creates; then keep the same bytes in a dict."""
    gc.collect()
    state = State()
    before, spent = resident_bytes(), 0.0
    for entry in pod_entries(pods, body_bytes):
        started = time.process_time()
        state.apply(entry)
        spent += time.process_time() - started
    gc.collect()
    used = (resident_bytes() - before) / pods
    rate = pods / spent
    decode = msgspec.msgpack.Decoder(tuple[int, tuple[bytes, ...]]).decode
    floor = {}
    before, spent = resident_bytes(), 0.0
    for entry in pod_entries(pods, body_bytes):
        started = time.process_time()
        for data in decode(entry.data[1:])[1]:
            floor[data[4:20]] = data
        spent += time.process_time() - started
    floor_used = (resident_bytes() - before) / pods
    names = "dict of undecoded transactions"
    report.figure("State.apply, create with a check", rate, "/s of CPU", peer=pods / spent, peer_name=names)
    report.figure(f"memory of an object of {body_bytes} bytes", used, "bytes", peer=floor_used, peer_name=names)
    return state


def bench_copies(report, state):
    """Clones and snapshots."""
    timed(report, "clone", state.clone)
    plain = {stored.envelope.key: stored for stored in state.scan("pods")}
    timed(report, "  floor: dict.copy", plain.copy)
    del plain
    key = next(iter(state.scan("pods", limit=1))).envelope.key
    timed(
        report,
        "get, 100,000 times",
        lambda: [state.get(key) for _ in range(100_000)],
        per=100_000,
        unit="us",
        scale=1e6,
    )
    timed(report, "list all", lambda: state.scan("pods"))
    timed(report, "page of 500 from the middle", lambda: state.scan("pods", after=("team-5", "m"), limit=500))
    with tempfile.TemporaryDirectory() as folder:
        written = timed(
            report, "snapshot write, fsync and read back", lambda: snapshot.write(state.clone(), Path(folder))
        )
        report.figure("snapshot", written.path.stat().st_size / 1e6, "MB")
        loaded = timed(report, "snapshot load", lambda: snapshot.load(written.path))
        assert loaded.digest == state.digest
    timed(report, "full garbage collection", gc.collect)


def bench_watch(report, state, watchers):
    """Append changes and let watchers of several kinds pull them."""
    entries = [
        Entry(state.applied_index + number, 1, encode_entry(batch, 1)) for number, batch in enumerate(updates(state), 1)
    ]
    changes = [change for entry in entries for change in state.apply(entry).changes]
    hub = Hub(changes[0].revision - 1)
    count = len(changes)
    timed(report, f"watch: append {count} changes", lambda: hub.append(changes), per=count, unit="us", scale=1e6)
    kinds = {
        "everything": (lambda _: None),
        "a namespace of 20": (lambda n: selection(f"team-{n % 20}")),
        "a label": (lambda n: selection(labels=lambda labels: labels.get("app") == f"a{n}")),
    }
    for label, match_of in kinds.items():
        matches = [match_of(number) for number in range(watchers)]

        def pull(matches=matches):
            for match in matches:
                cursor = hub.cursor("pods", changes[0].revision - 1)
                while cursor.revision < hub.revision:
                    b"".join([event.frame for event in cursor.pull(match)])

        timed(report, f"watch: pull of {label}, an event and watcher", pull, per=count * watchers, unit="ns", scale=1e9)

    def pull_nodes():
        for number in range(500):
            hub.node_cursor(f"node-{number}", changes[0].revision - 1).pull()

    timed(report, "watch: all of 500 nodes pull their own, an event", pull_nodes, per=count, unit="ns", scale=1e9)


def updates(state):
    """Status updates of 4,000 pods, 64 an entry."""
    stored = state.scan("pods", limit=4_000)
    for start in range(0, len(stored), BATCH):
        yield [
            encode_transaction(
                Transaction(each.revision.to_bytes(16, "little"), (Put(each.envelope, each.body[:-2] + b'z"}'),))
            )
            for each in stored[start : start + BATCH]
        ]


def bench(report: Report, quick: bool) -> None:
    pods = 10_000 if quick else PODS
    report.setting(
        f"{pods} pods of {BODY_BYTES} bytes, {BATCH} creates an entry, {WATCHERS} watchers; CPU of this process"
    )
    state = bench_state(report, pods, BODY_BYTES)
    bench_copies(report, state)
    bench_watch(report, state, WATCHERS)


def main() -> None:
    run_part("store_apply", __doc__ or "", bench)


if __name__ == "__main__":
    main()
