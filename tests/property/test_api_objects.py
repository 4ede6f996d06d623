"""What must hold for every object: strictness, defaulting, validation, refusals."""

import copy
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import scheme, strict
from api.defaults import default
from api.errors import Invalid
from api.honoured import refusals
from api.manifest import load_all
from api.validation import validate
from tests.property.api_trees import VALID, of_type

pytestmark = pytest.mark.slow

ANY = st.sampled_from(scheme.KINDS).flatmap(lambda kind: st.tuples(st.just(kind), of_type(kind.type)))
FEW = settings(max_examples=60)


@FEW
@given(ANY)
def test_strictness_accepts_everything_the_types_can_hold(drawn):
    kind, tree = drawn
    assert strict.check(kind, tree) == []
    view = scheme.decode(kind, strict.prune(tree))
    assert strict.check(kind, msgspec.json.decode(msgspec.json.encode(view))) == []


@FEW
@given(ANY)
def test_views_hold_what_the_tree_holds(drawn):
    kind, tree = drawn
    view = scheme.decode(kind, strict.prune(tree))
    assert scheme.decode(kind, msgspec.json.encode(view)) == view


@FEW
@given(ANY, st.integers(0, 20))
def test_a_misspelt_field_is_always_named(drawn, position):
    kind, tree = drawn
    tree = copy.deepcopy(tree)
    places = [(tree, "")]
    for place, path in places:
        shapes = strict.fields(kind.type) if path == "" else {}
        places += [(v, f"{n}.") for n, v in place.items() if type(v) is dict and n in shapes and shapes[n].struct]
    place, path = places[position % len(places)]
    place["notAField"] = 1
    assert f"{path}notAField" in [error.path for error in strict.check(kind, tree)]


@FEW
@given(ANY)
def test_defaulting_is_idempotent_and_never_makes_a_tree_ill_formed(drawn):
    kind, tree = drawn
    before = copy.deepcopy(tree)
    once = default(kind, tree)
    assert tree == before
    assert default(kind, once) == once
    assert strict.check(kind, once) == []


@FEW
@given(ANY)
def test_validation_is_total_and_every_fault_names_a_path(drawn):
    kind, tree = drawn
    tree = default(kind, strict.prune(tree))
    for old in (None, tree):
        for fault in validate(kind, tree, old):
            assert fault.path or "Too long" in fault.message
            assert fault.message
            assert "\n" not in str(fault)


@FEW
@given(ANY)
def test_every_refusal_names_a_path_into_the_tree(drawn):
    kind, tree = drawn
    tree = default(kind, strict.prune(tree))
    for fault in refusals(kind, tree):
        assert fault.path.split(".")[0].split("[")[0] in tree
        assert "not supported yet" in fault.message or fault.message.startswith("Forbidden: ")


@FEW
@given(VALID)
def test_valid_objects_are_valid_when_defaulted_and_when_applied_again(drawn):
    word, tree = drawn
    kind = scheme.lookup(word)
    complete = default(kind, tree)
    assert validate(kind, complete, None) == []
    assert validate(kind, complete, complete) == []
    assert default(kind, complete) == complete


@FEW
@given(VALID)
def test_manifests_come_back_from_json_and_yaml(drawn):
    word, tree = drawn
    kind = scheme.lookup(word)
    tree = default(kind, tree)
    assert load_all(json.dumps(tree), "f") == [tree]
    assert load_all("---\n" + json.dumps(tree, ensure_ascii=False), "f") == [tree]


@FEW
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_its_place(text):
    try:
        trees, refusal = load_all(text, "f.yaml"), ""
    except Invalid as error:
        trees, refusal = [], str(error)
    assert refusal == "" or refusal.startswith("f.yaml:")
    assert "\n" not in refusal
    assert all(tree["kind"] and tree["apiVersion"] for tree in trees)
