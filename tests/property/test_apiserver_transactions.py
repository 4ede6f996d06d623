"""Whatever fails inside a transaction and whoever else writes meanwhile: all of it is there, or nothing."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.errors import ApiError, Conflict
from component.client import Removal, Write
from controlplane.commands import DELETED
from tests.api_server import ADMIN, config_map, running_core

NAMES = ["a", "b", "c", "d"]

operation = st.one_of(
    st.tuples(st.sampled_from(["create", "update", "apply"]), st.sampled_from(NAMES), st.integers(0, 3)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("bad"), st.sampled_from(NAMES), st.just(0)),
)
transaction = st.lists(operation, min_size=1, max_size=6)


def written(verb, name, value):
    if verb == "delete":
        return Removal("configmaps", "default", name)
    if verb == "bad":
        return Write("apply", {**config_map(name), "unknown": 1})
    return Write(verb, config_map(name, {"value": str(value)}))


def contents_at(changes, revision):
    """(uid, revision) of every ConfigMap once the changes up to `revision` are made."""
    found = {}
    for change in changes:
        if change.revision <= revision and change.envelope.key.resource == "configmaps":
            found[change.envelope.key.name] = (change.envelope.uid, change.revision)
            if change.type == DELETED:
                del found[change.envelope.key.name]
    return found


async def perform(cluster, transactions, writers):
    """Run transactions, some at once with single writes; return results, all changes, and the revisions readers saw."""
    changes, seen = [], set()
    replica = cluster.replica
    apply = replica.state.apply

    def recording(entry):
        applied = apply(entry)
        changes.extend(applied.changes)
        seen.add(replica.state.revision)
        return applied

    replica.state.apply = recording
    done = []

    async def transact(operations):
        try:
            done.append((operations, await cluster.core.transaction(ADMIN, [written(*each) for each in operations])))
        except Conflict:
            done.append((operations, None))

    async def write(name, value):
        try:
            await cluster.local.apply(config_map(name, {"other": str(value)}))
        except ApiError:
            return

    for operations, singles in zip(transactions, writers, strict=True):
        await asyncio.gather(transact(operations), *(write(*each) for each in singles))
    return done, changes, seen


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(transaction, st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 5)), max_size=3)),
        min_size=1,
        max_size=5,
    )
)
def test_a_transaction_is_there_whole_at_one_revision_or_not_at_all(rounds):
    async def run():
        with tempfile.TemporaryDirectory() as folder:
            async with running_core(Path(folder)) as cluster:
                done, changes, seen = await perform(cluster, [each[0] for each in rounds], [each[1] for each in rounds])
                check(done, changes, seen)

    asyncio.run(run())


def check(done, changes, seen):
    for operations, result in done:
        if result is None or not result.committed:
            if result is not None:
                assert any(each.error for each in result.results)
                assert all(each.error or each.outcome == "" for each in result.results)
            continue
        assert not any(verb == "bad" for verb, _, _ in operations), "a bad operation was let through"
        if not result.revision:
            continue
        state = contents_at(changes, result.revision)
        last = {}
        for (verb, name, _), each in zip(operations, result.results, strict=True):
            last[name] = None if verb == "delete" else each.object
        for name, expected in last.items():
            found = state.get(name)
            assert (found is None) == (expected is None)
            if expected is not None:
                assert found == (expected.uid, expected.revision)
        made = [each.object.revision for each in result.results if each.object and each.outcome != "unchanged"]
        inner = {*made} - {result.revision}
        first = min([*inner, result.revision])
        assert not any(first <= revision < result.revision for revision in seen), "readers could see a part"
