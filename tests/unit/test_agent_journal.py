"""The journal and the checkpoint: what is written comes back, and no damage goes unnoticed."""

from __future__ import annotations

import resource as resource_limits

import pytest
import structlog

from agent.checkpoint import Checkpoint, Cluster
from agent.journal import MAGIC, MARK, Journal, JournalDamage, decode
from agent.paths import Paths
from api.v1 import node_pb2
from tests.agent_rig import node_tree, pod_tree, resource

RECORDS = [b"first", b"", b"third" * 10]


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal", synced=True)


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path / "data", tmp_path / "run")


def test_there_is_nothing_to_load_at_first(journal):
    assert journal.load() is None


def test_what_was_written_and_appended_is_loaded(journal, tmp_path):
    journal.rewrite(RECORDS)
    journal.append(b"fourth")
    loaded = Journal(tmp_path / "journal", synced=True).load()
    assert loaded.records == (*RECORDS, b"fourth")
    assert not loaded.torn


def test_every_flipped_byte_is_noticed(journal, tmp_path):
    journal.rewrite(RECORDS)
    content = (tmp_path / "journal").read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0x01
        try:
            loaded = decode(bytes(damaged))
        except JournalDamage:
            continue
        assert loaded.torn
        assert loaded.records == tuple(RECORDS[: len(loaded.records)])
        assert len(loaded.records) == len(RECORDS) - 1, "only damage to the last record may look like a torn append"


def test_every_torn_append_leaves_what_was_before(journal, tmp_path):
    journal.rewrite(RECORDS)
    whole = (tmp_path / "journal").stat().st_size
    journal.append(b"x" * 100)
    content = (tmp_path / "journal").read_bytes()
    for length in range(whole + 1, len(content)):
        loaded = decode(content[:length])
        assert loaded.records == tuple(RECORDS)
        assert loaded.torn
    assert not decode(content[:whole]).torn


def test_damage_before_whole_records_is_refused(journal, tmp_path):
    journal.rewrite(RECORDS)
    content = bytearray((tmp_path / "journal").read_bytes())
    content[len(MAGIC) + len(MARK)] ^= 0xFF
    with pytest.raises(JournalDamage, match="byte 8"):
        decode(bytes(content))


def test_another_file_is_refused():
    with pytest.raises(JournalDamage, match="does not start"):
        decode(b"PNG something")


def test_an_append_after_a_torn_one_takes_its_place(journal, tmp_path):
    journal.rewrite(RECORDS)
    with (tmp_path / "journal").open("ab") as file:
        file.write(MARK + b"half")
    journal.append(b"fourth")
    assert decode((tmp_path / "journal").read_bytes()).records == (*RECORDS, b"fourth")


# The checkpoint on top of it.


def secret(value="s3cret"):
    meta = {"name": "s", "namespace": "default", "uid": "uid-s"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"key": value}}


def full(*trees, revision=5):
    return node_pb2.Inputs(full=True, results_in=revision, set=[resource(tree) for tree in trees])


CLUSTER = Cluster("cluster-1", 7, ("10.0.0.1:7443",), "10.244.0.0/16", "10.96.0.0/16", "cluster.local")


def names(inputs):
    return sorted(each.name for each in inputs.set)


def test_a_fresh_node_remembers_nothing(paths):
    remembered = Checkpoint(paths, "boot-1").load()
    assert remembered.cluster == Cluster()
    assert remembered.inputs is None
    assert not remembered.rebooted


def test_inputs_changes_and_the_cluster_come_back(paths):
    checkpoint = Checkpoint(paths, "boot-1")
    checkpoint.save(CLUSTER, full(pod_tree(), node_tree()))
    change = node_pb2.Inputs(applies_to=5, results_in=6, set=[resource(pod_tree("second"))])
    change.removed.add(resource="pods", namespace="default", name="web")
    assert not checkpoint.append(change)
    remembered = Checkpoint(paths, "boot-1").load()
    assert remembered.cluster == CLUSTER
    assert remembered.inputs.results_in == 6
    assert names(remembered.inputs) == ["n1", "second"]


def test_secrets_never_stand_in_the_durable_file_and_are_gone_after_a_boot(paths):
    checkpoint = Checkpoint(paths, "boot-1")
    checkpoint.save(CLUSTER, full(secret("first-value")))
    checkpoint.append(node_pb2.Inputs(applies_to=5, results_in=6, set=[resource(secret("second-value"))]))
    assert b"-value" not in paths.checkpoint.read_bytes()
    assert "second-value" in Checkpoint(paths, "boot-1").load().inputs.set[0].json
    paths.secrets.unlink()
    assert names(Checkpoint(paths, "boot-2").load().inputs) == []


def test_a_boot_is_noticed_until_it_was_dealt_with(paths):
    Checkpoint(paths, "boot-1").save(CLUSTER, full(pod_tree()))
    second = Checkpoint(paths, "boot-2")
    assert second.load().rebooted
    second.save(CLUSTER, full(pod_tree()))
    third = Checkpoint(paths, "boot-2")
    assert third.load().rebooted, "the agent stopped before it had adopted anything"
    third.boot_adopted()
    third.save(CLUSTER, full(pod_tree()))
    assert not Checkpoint(paths, "boot-2").load().rebooted


def test_a_grown_file_asks_to_be_written_anew(paths):
    checkpoint = Checkpoint(paths, "boot-1")
    checkpoint.save(CLUSTER, full(pod_tree()))
    big = {**pod_tree("big"), "status": {"message": "x" * 600_000}}
    change = node_pb2.Inputs(applies_to=5, results_in=6, set=[resource(big)])
    assert not checkpoint.append(change)
    assert checkpoint.append(change)


def test_after_a_write_that_failed_only_a_whole_new_file_will_do(paths):
    """What is appended behind a lost change would be read as if nothing was missing."""
    checkpoint = Checkpoint(paths, "boot-1")
    checkpoint.save(CLUSTER, full(pod_tree()))
    kept = paths.checkpoint.read_bytes()
    paths.checkpoint.unlink()
    lost = node_pb2.Inputs(applies_to=5, results_in=6, set=[resource(pod_tree("lost"))])
    with pytest.raises(FileNotFoundError):
        checkpoint.append(lost)
    paths.checkpoint.write_bytes(kept)
    following = node_pb2.Inputs(applies_to=6, results_in=7, set=[resource(pod_tree("second"))])
    assert checkpoint.append(following), "it must ask to be saved anew"
    assert Checkpoint(paths, "boot-1").load().inputs.results_in == 5
    checkpoint.save(CLUSTER, full(pod_tree(), pod_tree("lost"), pod_tree("second"), revision=7))
    assert not checkpoint.append(node_pb2.Inputs(applies_to=7, results_in=8))
    assert Checkpoint(paths, "boot-1").load().inputs.results_in == 8


def test_a_rewrite_that_fails_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path):
    journal = Journal(tmp_path / "journal", synced=False)
    journal.rewrite([b"old"])
    limits = resource_limits.getrlimit(resource_limits.RLIMIT_FSIZE)
    resource_limits.setrlimit(resource_limits.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            journal.rewrite([b"x" * 5000])
    finally:
        resource_limits.setrlimit(resource_limits.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]
    assert journal.load().records == (b"old",)


def test_a_damaged_checkpoint_counts_as_none_and_is_told(paths):
    Checkpoint(paths, "boot-1").save(CLUSTER, full(pod_tree()))
    content = bytearray(paths.checkpoint.read_bytes())
    content[30] ^= 1
    paths.checkpoint.write_bytes(content)
    with structlog.testing.capture_logs() as logs:
        assert Checkpoint(paths, "boot-1").load().inputs is None
    assert [entry["event"] for entry in logs] == ["journal_refused"]


def test_an_unknown_version_is_not_guessed_at(paths):
    Journal(paths.checkpoint, synced=False).rewrite([b'{"version":99,"boot_id":"b","cluster":{}}'])
    with structlog.testing.capture_logs() as logs:
        assert Checkpoint(paths, "boot-1").load().inputs is None
    assert logs[0]["event"] == "checkpoint_refused"


def test_files_are_readable_by_their_owner_only(paths):
    Checkpoint(paths, "boot-1").save(CLUSTER, full(secret()))
    assert paths.checkpoint.stat().st_mode & 0o777 == 0o600
    assert paths.secrets.stat().st_mode & 0o777 == 0o600
