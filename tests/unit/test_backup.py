"""Backup files: whole or refused, and a restore that starts a new incarnation."""

import random

import pytest

from component.env import Env
from controlplane import backup
from controlplane.commands import Envelope, Key, Put, Set, Transaction, encode_entry, encode_transaction
from controlplane.key_ring import KeyRing
from controlplane.membership_loop import Newcomer, record, waiting
from controlplane.raft.protocol import Entry
from controlplane.raft.recovery import open_storage
from controlplane.sealing import ACTIVE_KEY_SETTING, Sealing, key_id
from controlplane.store import snapshot
from controlplane.store.state import State

ENV = Env(lambda: 0.0, lambda: 1_700_000_000.0, random.Random(1), lambda: "uid")
FACTS = backup.Facts(
    cluster_uid="c1",
    version="1.0",
    raft_incarnation=2,
    pod_range="10.244.0.0/16",
    service_range="10.96.0.0/16",
    cluster_domain="cluster.local",
    ca_cert="cert",
    ca_key="key",
    account_keys="keys",
)


OLD, NEW, OTHER = bytes(32), bytes([1]) * 32, bytes([2]) * 32


def sealed_secret(key):
    sealing = Sealing("r1", KeyRing(None, [key]), random.Random(1).randbytes)
    (put,) = sealing.sealed([Put(Envelope(Key("secrets", "default", "s"), uid="s"), b'{"data":{}}')], "")
    return put


def state_with(*ops):
    state = State()
    objects = [
        Put(Envelope(Key("configmaps", "default", f"c{number}"), uid=f"u{number}"), b'{"data":{}}')
        for number in range(3)
    ]
    data = encode_entry((encode_transaction(Transaction(bytes(16), (*objects, *ops))),), 1_700_000_000_000)
    state.apply(Entry(1, 1, data))
    return state


@pytest.fixture
def saved(tmp_path):
    def save(*ops):
        path = tmp_path / "cluster.backup"
        path.write_bytes(b"".join(backup.pieces(state_with(*ops), FACTS, tmp_path / "scratch", ENV)))
        return path

    return save


def test_a_backup_holds_everything_and_leaves_no_scratch_files(saved, tmp_path):
    manifest, state = backup.verify(saved())
    assert (manifest.cluster_uid, manifest.revision, manifest.objects) == ("c1", 3, 3)
    assert state.digest == state_with().digest
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_flipped_byte_anywhere_is_found(saved):
    path = saved()
    content = path.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(backup.BackupProblem):
            backup.verify(path)


@pytest.mark.parametrize("length", [0, 5, 12, 100, -1])
def test_a_cut_off_file_is_refused(saved, length):
    path = saved()
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(backup.BackupProblem):
        backup.verify(path)


def test_a_backup_with_encrypted_secrets_needs_the_key_at_hand(saved):
    path = saved(Set(ACTIVE_KEY_SETTING, key_id(NEW).encode()), sealed_secret(OLD))
    for keys in ((), [OTHER], [NEW], [OLD]):
        with pytest.raises(backup.BackupProblem, match="--secrets-key"):
            backup.verify(path, keys)
    manifest, _ = backup.verify(path, [OLD, OTHER, NEW])
    assert set(manifest.secrets_key_id.split(",")) == {key_id(OLD), key_id(NEW)}
    backup.verify(path, needs_keys=False)


def test_a_secret_that_its_key_does_not_open_makes_a_backup_useless(saved):
    put = sealed_secret(OLD)
    moved = Put(Envelope(Key("secrets", "default", "another"), uid="s"), put.body)
    with pytest.raises(backup.BackupProblem, match="secrets/default/another"):
        backup.verify(saved(moved), [OLD])


def test_a_restore_starts_a_new_incarnation_that_a_replica_can_start_from(saved, tmp_path):
    _, state = backup.verify(saved(record("r9", Newcomer(uid="u", host="h"))))
    assert waiting(state)
    backup.install(state, tmp_path / "data", ENV)
    loaded, damaged = snapshot.load_newest(tmp_path / "data" / "snapshots")
    assert (damaged, loaded.incarnation, loaded.count("configmaps")) == ([], 1, 3)
    assert loaded.revision >= 10**9
    assert not waiting(loaded), "newcomers of the lost replicas are forgotten"
    storage = open_storage(tmp_path / "data" / "raft")
    assert (storage.log.first_index, storage.log.term_at(storage.log.last_index)) == (2, 2)
    storage.close()
