"""The cluster level: nothing new before every member knows it."""

import msgspec
import pytest

from api import errors
from api.v1.apiserver_pb2 import ClusterStatusResponse, ReplicaStatus
from component.client import Write
from controlplane import level as levels
from controlplane.commands import OPERATION_LEVELS, Delete, Envelope, Key, Put, Set
from controlplane.level import LevelGate, Levels, TooNew, check_known
from controlplane.level_loop import LevelLoop, levels_known
from tests.api_server import ADMIN, running_core
from tests.builders import config_map

FIELDS = {("pods", "spec.containers[].gadget"): 2, ("pods", "spec.gizmo.size"): 3, ("services", "spec.gizmo"): 2}


def status(*known, **more):
    replicas = [ReplicaStatus(id=f"r{number}", role="follower", level=each) for number, each in enumerate(known, 1)]
    return ClusterStatusResponse(replicas=[*replicas, *more.get("others", ())])


def gate(level, **tables):
    return LevelGate(lambda: level, Levels(**tables))


def put(resource="pods", **body):
    key = Key(resource, "default", "a")
    return Put(Envelope(key, "u"), msgspec.json.encode(body))


def test_what_every_member_knows_is_what_each_says_and_silence_is_nothing():
    said = status(2, 1, others=[ReplicaStatus(id="r9", role="unreachable", level=2)])
    assert levels_known(said) == {"r1": 2, "r2": 1, "r9": 0}


def test_an_operation_above_the_level_is_refused_before_it_is_proposed():
    tables = {"operations": {**OPERATION_LEVELS, Set: 2}}
    gate(2, **tables).check((Set("a", b"1"),))
    with pytest.raises(
        errors.NotReady, match="operation Set needs cluster level 2, the cluster is at 1: upgrade every"
    ):
        gate(1, **tables).check((Delete(Key("pods", "d", "a")), Set("a", b"1")))


def test_a_kind_above_the_level_may_not_be_stored():
    gate(1, kinds={"gadgets": 2}).check((put("pods"), Delete(Key("gadgets", "d", "a"))))
    with pytest.raises(errors.NotReady, match="kind gadgets needs cluster level 2, the cluster is at 1"):
        gate(1, kinds={"gadgets": 2}).check((put("pods"), put("gadgets")))
    gate(2, kinds={"gadgets": 2}).check((put("gadgets"),))


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"containers": [{"name": "a"}, {"name": "b", "gadget": 1}]}, "spec.containers[].gadget"),
        ({"gizmo": {"size": 0}}, "spec.gizmo.size"),
    ],
)
def test_a_field_above_the_level_may_not_be_stored(spec, path):
    with pytest.raises(errors.NotReady) as told:
        gate(1, fields=FIELDS).check((put(spec=spec),))
    assert f"field {path} of pods needs cluster level " in str(told.value)
    gate(3, fields=FIELDS).check((put(spec=spec),))


@pytest.mark.parametrize(
    "body", [{}, {"spec": {"containers": [{"name": "a"}]}}, {"spec": {"gizmo": {}, "containers": {}}}, {"spec": []}]
)
def test_an_object_without_such_a_field_is_stored_at_any_level(body):
    gate(1, fields=FIELDS).check((put(**body),))


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"r1": 2, "r2": 2, "r3": 1}, "is at 1: replica r3 knows only level 1: upgrade it, then retry"),
        (
            {"r1": 2, "r2": 1, "r3": 1},
            "is at 1: replica r2 knows only level 1, replica r3 knows only level 1: upgrade them, then retry",
        ),
        ({"r1": 2, "r2": 0}, "is at 1: replica r2 does not answer: start or remove it, then retry"),
        ({}, "is at 1: upgrade every replica, then retry"),
    ],
)
def test_a_refusal_names_the_replicas_that_hold_the_level_back(known, told):
    held = gate(1, kinds={"gadgets": 2})
    held.observe(known)
    with pytest.raises(errors.NotReady) as refused:
        held.check((put("gadgets"),))
    assert str(refused.value).endswith(told)


def test_what_the_first_release_knows_needs_not_wait_for_the_first_level():
    gate(0, kinds={"gadgets": 2}).check((put("pods"), Set("a", b"")))


def test_a_program_refuses_a_state_of_a_level_that_it_does_not_know_with_the_remedy():
    check_known(levels.KNOWN_LEVEL)
    with pytest.raises(TooNew, match="install the version that the other replicas run"):
        check_known(levels.KNOWN_LEVEL + 1)


@pytest.mark.parametrize("dry_run", [False, True])
async def test_every_way_of_writing_refuses_a_field_above_the_level_and_changes_nothing(tmp_path, dry_run):
    async with running_core(tmp_path) as cluster:
        core, replica = cluster.core, cluster.replica
        await core.create(ADMIN, config_map("a"))
        before = replica.state.revision
        replica.levels = LevelGate(lambda: replica.state.level, Levels(fields={("configmaps", "data.new"): 9}))
        new = {**config_map("b"), "data": {"new": "1"}}
        changed = {**config_map("a"), "data": {"new": "1"}}
        patch = b'{"data": {"new": "1"}}'
        for write in (
            core.create(ADMIN, new, dry_run=dry_run),
            core.update(ADMIN, changed, dry_run=dry_run),
            core.apply(ADMIN, new, dry_run=dry_run),
            core.patch(ADMIN, "configmaps", "default", "a", "merge", patch, dry_run=dry_run),
        ):
            with pytest.raises(errors.NotReady, match=r"field data.new of configmaps needs cluster level 9"):
                await write
        done = await core.transaction(ADMIN, [Write("create", new), Write("apply", changed)], dry_run=dry_run)
        assert [type(each.error) for each in done.results] == [errors.NotReady] * 2
        assert replica.state.revision == before


async def test_the_leader_raises_the_level_once_the_last_member_is_upgraded(tmp_path, monkeypatch):
    said = [status(2, 1, 2)]
    monkeypatch.setattr(levels, "KNOWN_LEVEL", 2)

    async def answer():
        return said[0]

    async with running_core(tmp_path, level=0) as cluster:
        loop = LevelLoop(cluster.replica, answer)
        await loop.look()
        assert cluster.replica.state.level == 1
        said[0] = status(2, 2, others=[ReplicaStatus(id="r3", role="unreachable")])
        await loop.look()
        assert cluster.replica.state.level == 1, "all must answer"
        said[0] = status(2, 2, 2)
        await loop.look()
        assert cluster.replica.state.level == 2
        said[0] = status(1, 1, 1)
        await loop.look()
        assert cluster.replica.state.level == 2, "it never falls"
