"""Ownership of fields: what applying and other writes do to it, rule by rule, as Kubernetes documents them."""

from __future__ import annotations

import pytest

from api.errors import Conflict
from api.field_sets import text
from api.managed_fields import (
    ANCIENT_CHANGES,
    BEFORE_FIRST_APPLY,
    UPDATERS_MAX,
    Owner,
    apply,
    created,
    first_owners,
    read,
    stored,
    updated,
    written,
)
from api.scheme import by_resource

MAPS, DEPLOYMENTS = by_resource("configmaps"), by_resource("deployments.apps")
T1, T2, T3 = (f"2026-01-01T00:00:0{second}Z" for second in (1, 2, 3))


def applier(name):
    return Owner(name, "Apply", "v1")


def updater(name, subresource=""):
    return Owner(name, "Update", "v1", subresource)


def data(**values):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": values}


def fields(managed, owner):
    return sorted(map(text, managed[owner].fields))


def applied(managed, name, live, configuration, *, force=False, kind=MAPS, time=T2):
    return apply(kind, managed, applier(name), live, configuration, time, force=force)


def test_who_makes_an_object_by_applying_owns_what_it_named_but_no_bookkeeping():
    managed = created(MAPS, applier("a"), data(x="1"), T1)
    assert {owner: fields(managed, owner) for owner in managed} == {applier("a"): [".data.x"]}


def test_applying_the_same_again_changes_neither_object_nor_owners():
    managed = created(MAPS, applier("a"), data(x="1"), T1)
    result = applied(managed, "a", data(x="1"), data(x="1"))
    assert (result.tree, result.managed) == (data(x="1"), managed)


def test_two_who_apply_different_fields_do_not_meet():
    managed = created(MAPS, applier("a"), data(x="1"), T1)
    result = applied(managed, "b", data(x="1"), data(y="2"))
    assert result.tree == data(x="1", y="2")
    assert fields(result.managed, applier("a")) == [".data.x"]
    assert fields(result.managed, applier("b")) == [".data.y"]


def test_another_value_over_somebody_elses_is_a_conflict_that_names_field_and_manager():
    managed = created(MAPS, applier("a"), data(x="1"), T1)
    with pytest.raises(Conflict) as refused:
        applied(managed, "b", data(x="1"), data(x="2"))
    assert str(refused.value) == 'Apply failed with 1 conflict: conflict with "a": .data.x'
    assert [(each.path, each.message) for each in refused.value.fields] == [(".data.x", 'conflict with "a"')]


def test_several_conflicts_are_listed_by_manager():
    managed = created(MAPS, applier("a"), data(x="1", y="1"), T1)
    live = data(x="1", y="1", z="1")
    managed = updated(MAPS, managed, updater("edit", "status"), data(x="1", y="1"), live, T2)
    with pytest.raises(Conflict) as refused:
        applied(managed, "b", live, data(x="2", y="2", z="2"))
    assert str(refused.value).splitlines() == [
        'Apply failed with 3 conflicts: conflicts with "a":',
        "- .data.x",
        "- .data.y",
        'conflicts with "edit" with subresource "status" using v1:',
        "- .data.z",
    ]


def test_the_same_value_is_shared_and_stays_until_its_last_owner_withdraws():
    managed = created(MAPS, applier("a"), data(x="1"), T1)
    shared = applied(managed, "b", data(x="1"), data(x="1"))
    assert fields(shared.managed, applier("a")) == fields(shared.managed, applier("b")) == [".data.x"]
    one_less = applied(shared.managed, "a", shared.tree, data(y="2"))
    assert one_less.tree == data(x="1", y="2")
    none_left = applied(one_less.managed, "b", one_less.tree, data(z="3"))
    assert none_left.tree == data(y="2", z="3")


def test_force_takes_fields_over():
    managed = created(MAPS, applier("a"), data(x="1", y="1"), T1)
    result = applied(managed, "b", data(x="1", y="1"), data(x="2"), force=True)
    assert result.tree == data(x="2", y="1")
    assert fields(result.managed, applier("a")) == [".data.y"]
    assert fields(result.managed, applier("b")) == [".data.x"]


def test_an_owner_of_nothing_has_no_entry():
    managed = created(MAPS, applier("a"), data(x="1"), T1)
    result = applied(managed, "b", data(x="1"), data(x="2"), force=True)
    assert list(result.managed) == [applier("b")]


def test_a_plain_write_owns_alone_what_it_changed_and_nobody_what_it_removed():
    managed = created(MAPS, applier("a"), data(x="1", y="1", z="1"), T1)
    after = updated(MAPS, managed, updater("edit"), data(x="1", y="1", z="1"), data(x="2", z="1"), T2)
    assert fields(after, applier("a")) == [".data.z"]
    assert fields(after, updater("edit")) == [".data.x"]
    assert (after[applier("a")].time, after[updater("edit")].time) == (T1, T2)


def test_a_plain_write_that_changes_nothing_anybody_can_own_leaves_the_owners_as_they_are():
    managed = created(MAPS, applier("a"), data(x="1"), T1)
    old, new = data(x="1"), {**data(x="1"), "metadata": {"name": "a", "generation": 3}}
    assert updated(MAPS, managed, updater("edit"), old, new, T2) is managed


def test_what_was_there_before_the_first_apply_has_an_owner_of_its_own():
    managed = first_owners(MAPS, applier("a"), data(x="1"), {}, T1)
    assert list(managed) == [updater(BEFORE_FIRST_APPLY)]
    with pytest.raises(Conflict, match=r'"before-first-apply" using v1: .data.x'):
        applied(managed, "a", data(x="1"), data(x="2"))


def test_what_the_same_program_applied_by_itself_before_is_its_own():
    live = data(x="1", y="1", z="1")
    managed = first_owners(MAPS, applier("tim"), live, data(x="1", y="1"), T1)
    result = applied(managed, "tim", live, data(x="2"))
    assert result.tree == data(x="2", z="1")
    assert fields(result.managed, applier("tim")) == [".data.x"]
    assert fields(result.managed, updater(BEFORE_FIRST_APPLY)) == [".data.z"]


def deployment(*containers, **spec):
    template = {"spec": {"containers": list(containers)}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {"template": template, **spec},
    }


def containers(tree):
    return tree["spec"]["template"]["spec"]["containers"]


def test_an_element_goes_with_its_owner_whatever_defaults_or_others_set_in_it():
    web, side = {"name": "web", "image": "w"}, {"name": "side", "image": "s"}
    managed = created(DEPLOYMENTS, applier("a"), deployment(web, side), T1)
    live = deployment({**web, "tty": False}, {**side, "tty": False, "image": "s2"})
    managed = updated(
        DEPLOYMENTS, managed, updater("set"), deployment(web, side), deployment(web, {**side, "image": "s2"}), T2
    )
    result = applied(managed, "a", live, deployment(web), kind=DEPLOYMENTS)
    assert containers(result.tree) == [{**web, "tty": False}]
    assert list(result.managed) == [applier("a")]


def test_an_element_that_another_applier_names_stays():
    web, side = {"name": "web", "image": "w"}, {"name": "side", "image": "s"}
    managed = created(DEPLOYMENTS, applier("a"), deployment(web, side), T1)
    shared = applied(managed, "b", deployment(web, side), deployment({"name": "side", "tty": True}), kind=DEPLOYMENTS)
    result = applied(shared.managed, "a", shared.tree, deployment(web), kind=DEPLOYMENTS)
    assert containers(result.tree) == [web, {"name": "side", "tty": True}]


def test_a_struct_of_which_nobody_owns_anything_goes_with_its_defaults():
    probe = {"httpGet": {"port": 80}}
    web = {"name": "web", "image": "w"}
    managed = created(DEPLOYMENTS, applier("a"), deployment({**web, "livenessProbe": probe}), T1)
    live = deployment({**web, "livenessProbe": {"httpGet": {"port": 80, "scheme": "HTTP"}, "periodSeconds": 10}})
    result = applied(managed, "a", live, deployment(web), kind=DEPLOYMENTS)
    assert containers(result.tree) == [web]


def test_a_struct_of_which_somebody_owns_a_part_keeps_that_part():
    web = {"name": "web", "image": "w"}
    first = deployment({**web, "resources": {"limits": {"cpu": "1"}}})
    managed = created(DEPLOYMENTS, applier("a"), first, T1)
    second = applied(
        managed, "b", first, deployment({"name": "web", "resources": {"limits": {"memory": "1Gi"}}}), kind=DEPLOYMENTS
    )
    result = applied(second.managed, "a", second.tree, deployment(web), kind=DEPLOYMENTS)
    assert containers(result.tree) == [{**web, "resources": {"limits": {"memory": "1Gi"}}}]


def test_entries_are_read_back_as_they_were_written():
    managed = created(MAPS, applier("a"), data(x="1"), T1)
    managed = updated(MAPS, managed, updater("edit", "status"), data(x="1"), data(x="1", y="2"), T2)
    entries = written(managed)
    assert [each["manager"] for each in entries] == ["a", "edit"]
    assert entries[1]["subresource"] == "status"
    assert read(entries) == (managed, [])


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (3, "must be an object"),
        ({"operation": "Replace"}, "operation must be Apply or Update"),
        ({"operation": "Apply", "manager": 3}, "manager must be text"),
        ({"operation": "Apply", "fieldsType": "FieldsV2"}, "fieldsType must be FieldsV1"),
        ({"operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"x": {}}}, "path element"),
    ],
)
def test_entries_that_mean_nothing_are_named(entry, why):
    good = written(created(MAPS, applier("a"), data(x="1"), T1))
    managed, faults = read([*good, entry])
    assert list(managed) == [applier("a")]
    assert [(each.path, why in each.message) for each in faults] == [("metadata.managedFields[1]", True)]
    assert stored([*good, entry]) == {}
    assert read({})[1][0].path == "metadata.managedFields"


def test_so_many_writers_are_remembered_and_the_oldest_become_one():
    managed, live = created(MAPS, applier("a"), data(x="1"), T1), data(x="1")
    for number in range(UPDATERS_MAX + 3):
        new = data(**live["data"], **{f"k{number}": "v"})
        managed = updated(MAPS, managed, updater(f"w{number:02}"), live, new, f"2026-01-01T00:01:{number:02}Z")
        live = new
    names = {each.manager for each in managed}
    assert len([each for each in managed if each.form == "Update"]) <= UPDATERS_MAX + 1
    assert {"a", ANCIENT_CHANGES, f"w{UPDATERS_MAX + 2:02}"} <= names
    assert "w00" not in names
    assert frozenset().union(*(owned.fields for owned in managed.values())) == {
        ("f:data", f"f:{name}") for name in live["data"]
    }
