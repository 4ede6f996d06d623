"""Whatever was written and wherever the power went, a reopened log holds everything synced and nothing unreadable."""

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.raft.log import DurableLog
from controlplane.raft.log_records import Kind, decode_entry, encode_batch, encode_entry, scan

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 400)),
        st.tuples(st.just("truncate"), st.integers(1, 3)),
        st.tuples(st.just("vote"), st.integers(0, 2)),
        st.tuples(st.just("reset"), st.integers(1, 50)),
        st.tuples(st.just("sync"), st.just(0)),
    ),
    max_size=30,
)


class Model:
    """What the log should be: `now`, and `synced` as of the last sync."""

    def __init__(self):
        self.now = ([], 0, None)
        self.synced = [self.now]  # every state that a crash may leave: the last synced one and those after it

    def set(self, state):
        self.now = state
        self.synced.append(state)

    def sync(self):
        self.synced = [self.now]


def play(log, model, operations):
    for operation, number in operations:
        entries, term, vote = model.now
        match operation:
            case "add":
                entry = (b"\0" + bytes([number % 256]) * number, log.last_index + 1, max(1, term))
                log.add(*entry)
                model.set(([*entries, entry], term, vote))
            case "truncate":
                position = len(entries) - number
                if position > 0:
                    log.delete_from(position)
                    model.set((entries[:position], term, vote))
            case "vote":
                log.set_term(term + number, f"r{number}")
                model.set((entries, term + number, f"r{number}"))
            case "reset":
                index = log.last_index + number
                log.reset(index, max(1, term))
                model.set(([(b"", index, max(1, term))], term, vote))
                model.sync()
            case "sync":
                log.sync()
                model.sync()


def state(log):
    return (log[:], log.term, log.vote)


def reopen(folder):
    return DurableLog(folder, segment_bytes=2048, datasync=lambda _descriptor: None)


@settings(max_examples=60)
@given(operations=OPERATIONS, written=st.integers(0, 4000), garbage=st.binary(max_size=200))
def test_a_crash_leaves_the_last_sync_or_a_later_moment(operations, written, garbage):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = reopen(folder)
        model = Model()
        play(log, model, operations)
        # The power goes while the last batch is written: some bytes of it arrive, then something else.
        batch = b"".join([*_batch(log)])
        torn = batch[:written]
        if len(torn) < len(batch):
            torn += garbage
        os.pwrite(log._descriptor, torn, log._position)
        os.close(log._descriptor)
        again = reopen(folder)
        assert state(again) in model.synced
        if written >= len(batch):
            assert state(again) == model.now
        again.close()


def _batch(log):
    if log._buffer:
        yield encode_batch(log._salt, log._position)
        yield from log._buffer


@given(data=st.binary(max_size=500), index=st.integers(0, 2**63), term=st.integers(0, 2**63))
def test_an_entry_survives_encoding(data, index, term):
    assert decode_entry(encode_entry(data, index, term)[9:]) == (data, index, term)


@settings(max_examples=200)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_a_segment_or_not_but_never_an_accident(content):
    found = scan(content)
    assert found.header is None or found.records is not None
    assert all(isinstance(kind, Kind) for kind, _ in found.records)
