"""Which fields differ, named as people name them."""

from __future__ import annotations

import pytest

from api.diff import changed_paths
from api.wellknown import LAST_APPLIED_ANNOTATION


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"spec": {"replicas": 1}}, {"spec": {"replicas": 2}}, ["spec.replicas"]),
        ({}, {"status": {"phase": "Running"}}, ["status"]),
        ({"data": {"k": "v", "gone": 1}}, {"data": {"k": "v"}}, ["data.gone"]),
        ({"c": [{"i": 1}, {"i": 2}]}, {"c": [{"i": 1}, {"i": 3}]}, ["c[1].i"]),
        ({"c": [1]}, {"c": [1, 2]}, ["c"]),
        ({"labels": {}}, {"labels": {"app.kubernetes.io/name": "x"}}, ["labels[app.kubernetes.io/name]"]),
        ({"metadata": {}}, {"metadata": {"labels": {"a": "1", "b": "2"}}}, ["metadata.labels.a", "metadata.labels.b"]),
        ({"metadata": {"uid": "u"}}, {"metadata": {}}, ["metadata.uid"]),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2}, ["a", "b"]),
    ],
)
def test_a_change_is_named_by_its_path(before, after, paths):
    assert changed_paths(before, after) == paths


def test_bookkeeping_is_named_only_when_nothing_else_changed():
    before = {"metadata": {"generation": 1, "annotations": {}}, "spec": {"replicas": 1}}
    after = {"metadata": {"generation": 2, "annotations": {LAST_APPLIED_ANNOTATION: "{}"}}, "spec": {"replicas": 2}}
    assert changed_paths(before, after) == ["spec.replicas"]
    applied = f"metadata.annotations[{LAST_APPLIED_ANNOTATION}]"
    assert changed_paths(before, {**after, "spec": {"replicas": 1}}) == [applied, "metadata.generation"]


def test_who_owns_which_fields_is_no_change_of_its_own():
    before = {"metadata": {"managedFields": [{"manager": "a", "fieldsV1": {"f:data": {}}}]}, "data": {"x": "1"}}
    after = {"metadata": {"managedFields": [{"manager": "b", "fieldsV1": {"f:spec": {}}}]}, "data": {"x": "2"}}
    assert changed_paths(before, after) == ["data.x"]
    assert changed_paths(before, {**after, "data": before["data"]}) == ["metadata.managedFields"]
