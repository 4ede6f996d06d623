"""Where the revisions of a cluster go on that was restored or recovered: past all that another one can have used."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from component.env import Env
from controlplane import backup, recovery
from controlplane.commands import Envelope, Key, Put, RaiseLevel, Transaction, encode_entry, encode_transaction
from controlplane.config import ServerConfig
from controlplane.level import KNOWN_LEVEL
from controlplane.raft.protocol import Entry
from controlplane.store.draft import INCARNATION_REVISIONS
from controlplane.store.state import State

SAVED_TIME = 1_764_000_000.0
REVISIONS_PER_SECOND = 20_000  # far more than a cluster writes
SEEDS = itertools.count()  # no two machines draw the same transaction id


def env_at(now):
    return Env(lambda: 0.0, lambda: now, random.Random(next(SEEDS)), lambda: "uid")


def saved(level=KNOWN_LEVEL, now=SAVED_TIME):
    """The state in a backup: one object, written then."""
    put = Put(Envelope(Key("configmaps", "default", "c"), uid="u"), b"{}")
    data = encode_entry((encode_transaction(Transaction(bytes(16), (RaiseLevel(level), put))),), int(now * 1000))
    state = State()
    state.apply(Entry(1, 1, data))
    return state


class Restored:
    """A cluster's only replica, stopped; made from a backup at `now` by its machine's clock."""

    def __init__(self, folder: Path, now: float, state: State | None = None) -> None:
        self.config = ServerConfig(replica="r1", cluster_uid="c1", replicas={"r1": "127.0.0.1"}, data_dir=str(folder))
        self.state = state or saved()
        backup.install(self.state, folder, env_at(now))

    def recover(self, now: float) -> State:
        """What it goes on from after `tim replica recover --yes`."""
        recovery.recover(self.config, env_at(now))
        return self.replayed()

    def replayed(self) -> State:
        storage = recovery.open_storage(Path(self.config.data_dir) / "raft")
        try:
            return recovery.replayed(storage, Path(self.config.data_dir) / "snapshots")
        finally:
            storage.close()


@pytest.mark.parametrize("seconds", [2, 3600, 10 * 365 * 86400])
def test_two_restores_of_one_backup_share_no_revision(tmp_path, seconds):
    first = Restored(tmp_path / "1", SAVED_TIME + 60)
    second = Restored(tmp_path / "2", SAVED_TIME + 60 + seconds)
    assert first.state.revision > saved().revision
    used = first.state.revision + seconds * REVISIONS_PER_SECOND
    assert used < second.state.revision < 1 << 53
    assert (first.state.incarnation, second.state.incarnation) == (1, 1)


def test_a_restore_is_past_the_cluster_that_was_recovered_after_the_backup_was_saved(tmp_path):
    lived = Restored(tmp_path / "1", SAVED_TIME - 3600)  # whatever it came from itself
    recovered = lived.recover(SAVED_TIME + 60)
    restored = Restored(tmp_path / "2", SAVED_TIME + 70, lived.state)
    assert restored.state.revision > recovered.revision + 10 * REVISIONS_PER_SECOND
    assert (recovered.incarnation, restored.state.incarnation) == (2, 2)


def test_a_recovery_is_past_the_restore_before_it_and_both_read_the_time(tmp_path):
    cluster = Restored(tmp_path, SAVED_TIME + 60)
    assert cluster.state.revision == (SAVED_TIME + 60) * 1e6
    assert cluster.recover(SAVED_TIME + 120).revision == (SAVED_TIME + 120) * 1e6
    assert cluster.recover(SAVED_TIME + 180).revision == (SAVED_TIME + 180) * 1e6


@pytest.mark.parametrize("now", [SAVED_TIME - 3600, SAVED_TIME, SAVED_TIME + 0.9, 253_402_300_000.0])
def test_a_clock_that_is_behind_or_of_another_age_still_moves_revisions_on(tmp_path, now):
    cluster = Restored(tmp_path, SAVED_TIME)
    before = cluster.state.revision
    assert before == SAVED_TIME * 1e6
    after = cluster.recover(now)
    assert (after.revision, after.incarnation) == (before + INCARNATION_REVISIONS, 2)


def test_a_time_far_ahead_in_the_log_does_not_count(tmp_path):
    """Else two restores of that backup would begin there, both."""
    revisions = [
        Restored(tmp_path / str(later), SAVED_TIME + later, saved(now=SAVED_TIME + 1e9)).state.revision
        for later in (60, 120)
    ]
    assert revisions == [(SAVED_TIME + 60) * 1e6, (SAVED_TIME + 120) * 1e6]


@pytest.mark.parametrize("level", [0, 1, 2, KNOWN_LEVEL])
def test_a_backup_of_an_older_level_goes_on_at_the_level_of_this_program(tmp_path, level):
    cluster = Restored(tmp_path, SAVED_TIME + 60, saved(level))
    assert (cluster.state.level, cluster.state.revision) == (KNOWN_LEVEL, (SAVED_TIME + 60) * 1e6)
    loaded = cluster.replayed()
    assert (loaded.level, loaded.revision, loaded.digest) == (KNOWN_LEVEL, cluster.state.revision, cluster.state.digest)
    assert loaded.get(Key("configmaps", "default", "c")).revision == 1, "what it holds is not touched"
