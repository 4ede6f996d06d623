"""When a replica writes a snapshot."""

from __future__ import annotations

import pytest

from controlplane.replica_snapshots import LOG_BYTES, LOG_SHARE, SnapshotSchedule
from controlplane.store.state import State


class Nothing:
    """What is written beside a snapshot: nothing."""

    def cut(self, state):
        pass

    async def persist(self):
        pass


async def at_once(function):
    return function()


@pytest.mark.parametrize(("state_bytes", "logs"), [(0, 1), (LOG_SHARE * LOG_BYTES, 1), (3 * LOG_SHARE * LOG_BYTES, 3)])
async def test_a_large_state_is_written_only_after_a_fourth_as_much_log_however_small_its_file(
    tmp_path, state_bytes, logs
):
    saved = []
    schedule = SnapshotSchedule(tmp_path, at_once, saved.append, Nothing())
    state = State()
    state.size_bytes = state_bytes
    for _ in range(logs - 1):
        schedule.applied(state, LOG_BYTES)
    schedule.applied(state, LOG_BYTES - 1)
    assert schedule._writing is None
    schedule.applied(state, 1)
    assert schedule._writing is not None
    await schedule._writing
    assert len(saved) == 1
