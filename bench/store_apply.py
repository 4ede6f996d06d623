"""What the replicated state costs per object and per event, beside a plain dict doing the least that could be done.

    python -m bench.store_apply [--pods 100000] [--body-bytes 2000]

Numbers are CPU time of this process on this machine: compare ratios.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import tempfile
import time
from pathlib import Path

import msgspec

from controlplane.commands import Check, Envelope, Key, Put, Transaction, encode_entry, encode_transaction
from controlplane.raft.protocol import Entry
from controlplane.store import snapshot
from controlplane.store.state import State
from controlplane.watch.hub import Hub
from controlplane.watch.selection import selection

BATCH = 64


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


def timed(label, function, *, per=1, unit="ms", scale=1e3):
    cpu, wall = time.process_time(), time.perf_counter()
    value = function()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{label:58s} {cpu / per * scale:10.2f} {unit} CPU {wall / per * scale:10.2f} {unit} wall")
    return value


def bench_state(pods, body_bytes):
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
    print(
        f"State.apply, create with a check: {pods / spent:,.0f}/s, {used:,.0f} bytes each ({used - body_bytes:,.0f} over the body)"
    )
    decode = msgspec.msgpack.Decoder(tuple[int, tuple[bytes, ...]]).decode
    floor = {}
    before, spent = resident_bytes(), 0.0
    for entry in pod_entries(pods, body_bytes):
        started = time.process_time()
        for data in decode(entry.data[1:])[1]:
            floor[data[4:20]] = data
        spent += time.process_time() - started
    used = (resident_bytes() - before) / pods
    print(f"  floor: a dict of undecoded transactions: {pods / spent:,.0f}/s, {used:,.0f} bytes each")
    return state


def bench_copies(state):
    """Clones and snapshots."""
    timed("clone", state.clone)
    plain = {stored.envelope.key: stored for stored in state.scan("pods")}
    timed("  floor: dict.copy", plain.copy)
    del plain
    key = next(iter(state.scan("pods", limit=1))).envelope.key
    timed("get, 100,000 times", lambda: [state.get(key) for _ in range(100_000)], per=100_000, unit="us", scale=1e6)
    timed("list all", lambda: state.scan("pods"))
    timed("page of 500 from the middle", lambda: state.scan("pods", after=("team-5", "m"), limit=500))
    with tempfile.TemporaryDirectory() as folder:
        written = timed("snapshot write, fsync and read back", lambda: snapshot.write(state.clone(), Path(folder)))
        print(f"  {written.path.stat().st_size / 1e6:,.0f} MB")
        loaded = timed("snapshot load", lambda: snapshot.load(written.path))
        assert loaded.digest == state.digest
    timed("full garbage collection", gc.collect)


def bench_watch(state, watchers):
    """Append changes and let watchers of several kinds pull them."""
    entries = [
        Entry(state.applied_index + number, 1, encode_entry(batch, 1)) for number, batch in enumerate(updates(state), 1)
    ]
    changes = [change for entry in entries for change in state.apply(entry).changes]
    hub = Hub(changes[0].revision - 1)
    count = len(changes)
    timed(f"watch: append {count} changes", lambda: hub.append(changes), per=count, unit="us", scale=1e6)
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

        timed(f"watch: pull of {label}, an event and watcher", pull, per=count * watchers, unit="ns", scale=1e9)

    def pull_nodes():
        for number in range(500):
            hub.node_cursor(f"node-{number}", changes[0].revision - 1).pull()

    timed("watch: all of 500 nodes pull their own, an event", pull_nodes, per=count, unit="ns", scale=1e9)


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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=100_000)
    parser.add_argument("--body-bytes", type=int, default=2_000)
    parser.add_argument("--watchers", type=int, default=100)
    options = parser.parse_args()
    print(
        f"{options.pods} pods of {options.body_bytes} bytes, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    state = bench_state(options.pods, options.body_bytes)
    bench_copies(state)
    bench_watch(state, options.watchers)


if __name__ == "__main__":
    main()
