"""Both forms of Events: nothing is lost between them, and each refuses the other's words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes import client

from api import events_v1, retired
from api.errors import Invalid
from api.event import Event as CoreEvent
from api.shape import fields

CORE_FIELDS = sorted(fields(CoreEvent).keys() - {"apiVersion", "kind"})
VALUES = st.text(max_size=5) | st.integers(0, 9) | st.dictionaries(st.sampled_from(["a", "count"]), st.just(1))


@given(st.dictionaries(st.sampled_from(CORE_FIELDS), VALUES))
def test_nothing_is_lost_between_the_forms(given_fields):
    core = {"apiVersion": "v1", "kind": "Event", "eventTime": "t", **given_fields}
    assert events_v1.to_core(events_v1.from_core(core)) == core


def test_both_forms_have_the_fields_of_kubernetes():
    model = set(client.EventsV1Event.attribute_map.values())
    assert fields(events_v1.Event).keys() == model
    assert {events_v1.RENAMED.get(name, name) for name in fields(CoreEvent)} == model


def test_a_manifest_in_the_other_form_is_taken_without_a_warning():
    tree = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "a"}, "note": "n", "regarding": {}}
    stored = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}, "message": "n", "involvedObject": {}}
    assert retired.modern(tree) == (stored, "")


def test_words_of_the_core_form_are_refused_in_the_other():
    with pytest.raises(Invalid, match=r'message: unknown field; in events\.k8s\.io/v1 it is "note"'):
        events_v1.to_core({"apiVersion": "events.k8s.io/v1", "kind": "Event", "message": "x"})


NEW = {
    "eventTime": "2026-11-21T10:00:00.000000Z",
    "reportingController": "example.dev/robot",
    "reportingInstance": "robot-1",
    "action": "Turning",
    "reason": "Turned",
    "type": "Normal",
}


def test_a_new_object_says_what_the_version_asks_for():
    events_v1.check_new(NEW)
    for name in NEW:
        with pytest.raises(Invalid, match=f"{name}: Required value"):
            events_v1.check_new({key: value for key, value in NEW.items() if key != name})
    with pytest.raises(Invalid, match="deprecatedCount: Invalid value: needs to be unset"):
        events_v1.check_new({**NEW, "deprecatedCount": 2})


@pytest.mark.parametrize(
    ("patch_type", "patch", "stored"),
    [
        ("strategic", {"series": {"count": 2}}, {"series": {"count": 2}}),
        ("merge", {"note": "n", "regarding": {"name": "a"}}, {"message": "n", "involvedObject": {"name": "a"}}),
        (
            "json",
            [{"op": "test", "path": "/note", "value": "a"}, {"op": "move", "from": "/reason", "path": "/note"}],
            [{"op": "test", "path": "/message", "value": "a"}, {"op": "move", "from": "/reason", "path": "/message"}],
        ),
        (
            "json",
            [{"op": "add", "path": "/series/note", "value": 1}],
            [{"op": "add", "path": "/series/note", "value": 1}],
        ),
        (
            "json",
            [{"op": "replace", "path": "", "value": {"apiVersion": "events.k8s.io/v1", "note": "n"}}],
            [{"op": "replace", "path": "", "value": {"apiVersion": "v1", "message": "n"}}],
        ),
    ],
)
def test_patches_name_the_stored_fields(patch_type, patch, stored):
    assert json.loads(events_v1.core_patch(patch_type, json.dumps(patch).encode())) == stored


@pytest.mark.parametrize(
    ("patch_type", "patch"),
    [
        ("merge", b'{"message": 1}'),
        ("json", b'[{"op": "remove", "path": "/message"}]'),
        ("merge", b"{"),
        ("json", b"\xff"),
    ],
)
def test_patches_that_make_no_sense_are_refused(patch_type, patch):
    with pytest.raises(Invalid):
        events_v1.core_patch(patch_type, patch)


@given(st.sampled_from(["json", "merge", "strategic", "apply"]), st.recursive(st.none() | st.text(), st.lists))
def test_no_patch_breaks_the_conversion(patch_type, value):
    for patch in (value, [{"op": "add", "path": value}], [value], {"a": value}):
        assert isinstance(events_v1.core_patch(patch_type, json.dumps(patch).encode()), bytes)


def test_field_selectors_name_the_stored_fields():
    selector = r"regarding.name=a\,b\=c,type!=Normal,reportingController==x,metadata.name=n"
    stored = r"involvedObject.name=a\,b\=c,type!=Normal,reportingComponent=x,metadata.name=n"
    assert events_v1.core_field_selector(selector) == stored
    with pytest.raises(Invalid, match=r'"involvedObject.name" is not supported for events\.events\.k8s\.io'):
        events_v1.core_field_selector("involvedObject.name=a")


@pytest.mark.parametrize("patch", [b'{"note":' * 100_000, b'{"note":' * 5000 + b"1" + b"}" * 5000, b"\xff", b"{"])
def test_a_patch_that_cannot_be_read_is_refused(patch):
    with pytest.raises(Invalid, match="the patch is not JSON"):
        events_v1.core_patch("merge", patch)
