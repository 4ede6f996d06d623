"""Apply and patches: idempotent, and never at the cost of others' fields."""

import contextlib
import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import scheme
from api.defaults import default
from api.errors import Invalid
from api.merge import merge_patch, strategic_merge, three_way
from tests.property.api_trees import NAMES, PAIRS, TEXT, VALID

pytestmark = pytest.mark.slow

FEW = settings(max_examples=80)
JSON = st.recursive(
    st.one_of(st.integers(), TEXT, st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=10,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=4)
PATCHES = st.dictionaries(NAMES, st.one_of(st.none(), JSON), max_size=4)


@FEW
@given(PAIRS)
def test_applying_twice_changes_nothing(pair):
    word, old, new = pair
    kind = scheme.lookup(word)
    current = default(kind, old)
    result = three_way(kind, old, new, current)
    assert three_way(kind, new, new, result) == result
    complete = default(kind, result)
    assert three_way(kind, new, new, complete) == complete


@FEW
@given(VALID)
def test_applying_what_is_there_already_changes_nothing(drawn):
    word, tree = drawn
    kind = scheme.lookup(word)
    current = default(kind, tree)
    assert three_way(kind, tree, tree, current) == current


@FEW
@given(PAIRS, st.dictionaries(st.sampled_from(["x/1", "x/2"]), NAMES, min_size=1))
def test_fields_of_others_survive(pair, theirs):
    word, old, new = pair
    kind = scheme.lookup(word)
    current = default(kind, old)
    current["metadata"] |= {"annotations": theirs, "uid": "u", "resourceVersion": "7"}
    current["status"] = {"conditions": [{"type": "Theirs", "status": "True"}]}
    before = copy.deepcopy(current)
    result = three_way(kind, old, new, current)
    assert current == before
    assert result["metadata"]["annotations"] == theirs
    assert (result["metadata"]["uid"], result["status"]) == ("u", before["status"])


@FEW
@given(PAIRS)
def test_what_is_applied_is_there(pair):
    word, old, new = pair
    result = three_way(scheme.lookup(word), old, new, default(scheme.lookup(word), old))
    assert contains(result, new)


def contains(whole, part):
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and contains(whole[name], part[name]) for name in part)
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(contains(item, wanted) for item in whole) for wanted in part)
    return whole == part


@FEW
@given(VALID)
def test_a_strategic_merge_with_itself_changes_nothing(drawn):
    word, tree = drawn
    kind = scheme.lookup(word)
    assert strategic_merge(kind, tree, tree) == tree
    assert strategic_merge(kind, tree, {}) == tree


WORDS = st.sampled_from(
    [
        *("metadata", "finalizers", "spec", "template", "containers", "name", "ports", "containerPort"),
        *("strategy", "volumes", "env", "$patch", "$retainKeys", "$deleteFromPrimitiveList/finalizers"),
    ]
)
ODD = st.dictionaries(
    WORDS,
    st.recursive(
        st.one_of(st.none(), st.integers(), TEXT),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=4)),
        max_leaves=15,
    ),
    max_size=4,
)


@FEW
@given(st.sampled_from(["pod", "deployment"]), ODD, ODD, ODD)
def test_odd_trees_are_merged_or_refused_but_never_crash(word, original, modified, current):
    kind = scheme.lookup(word)
    assert type(three_way(kind, original, modified, current)) is dict
    assert type(merge_patch(current, modified)) is dict
    with contextlib.suppress(Invalid):
        assert type(strategic_merge(kind, current, modified)) is dict


@FEW
@given(OBJECTS, PATCHES)
def test_a_merge_patch_is_idempotent_and_leaves_no_nulls(current, patch):
    once = merge_patch(current, patch)
    assert merge_patch(once, patch) == once
    assert all(value is not None for value in once.values())
    assert set(current) - set(patch) <= set(once)
