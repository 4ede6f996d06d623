"""Ownership of fields under random trees, owners and orders: what holds whatever people apply."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.errors import Conflict
from api.field_sets import containers, from_fields_v1, is_element, to_fields_v1
from api.managed_fields import Owner, apply, created, first_owners, read, stored, updated, written
from api.scheme import lookup
from api.structured_merge import ambiguous, compare, fields_of, merged, without
from tests.property.api_trees import DEPLOYMENTS, VALID, of_type

POD, DEPLOYMENT = lookup("pod"), lookup("deployment")
TIME, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"
A, B = Owner("a", "Apply", "apps/v1"), Owner("b", "Apply", "apps/v1")
EDIT = Owner("edit", "Update", "apps/v1")
FEW = settings(max_examples=60)
IDENTITY = ("name", "namespace")
ANYTHING = of_type(POD.type, depth=5)


@st.composite
def shares(draw):
    """A deployment and two configurations that together name all of it: keys both, everything else one or both."""
    tree = draw(DEPLOYMENTS)
    leaves = sorted(path for path in fields_of(DEPLOYMENT, tree) if not is_element(path) and not _is_common(path))
    owners = draw(st.lists(st.sampled_from(["a", "b", "both"]), min_size=len(leaves), max_size=len(leaves)))
    only_a = {path for path, owner in zip(leaves, owners, strict=True) if owner == "a"}
    only_b = {path for path, owner in zip(leaves, owners, strict=True) if owner == "b"}
    return tree, without(tree, only_b), without(tree, only_a)


def _is_common(path):
    """The object's name, and the keys of elements: without them nothing else can be named."""
    if path[0] == "f:metadata" and path[1][2:] in IDENTITY:
        return True
    return is_element(path[:-1]) and f'"{path[-1][2:]}":' in path[-2]


@FEW
@given(ANYTHING)
def test_a_field_set_is_read_back_as_it_was_written(tree):
    fields = fields_of(POD, tree)
    assert from_fields_v1(to_fields_v1(fields)) == fields


@FEW
@given(ANYTHING, ANYTHING)
def test_a_difference_is_made_of_what_the_two_trees_have(old, new):
    difference = compare(POD, old, new)
    assert difference.changed <= fields_of(POD, new)
    assert difference.removed <= fields_of(POD, old)
    assert compare(POD, new, new) == compare(POD, {}, {})


@FEW
@given(ANYTHING, ANYTHING)
def test_merging_twice_is_merging_once(live, configuration):
    once = merged(POD, live, configuration)
    assert merged(POD, once, configuration) == once


@FEW
@given(ANYTHING, ANYTHING, ANYTHING)
def test_any_trees_can_be_applied_and_forced_over_each_other(live, one, other):
    managed = first_owners(POD, A, live, one, TIME)
    result = apply(POD, managed, A, live, one, TIME, force=True)
    result = apply(POD, result.managed, B, result.tree, other, LATER, force=True)
    assert read(written(result.managed)) == (result.managed, [])


@FEW
@given(VALID)
def test_applying_twice_changes_nothing(valid):
    word, tree = valid
    kind = lookup(word)
    managed = created(kind, A, tree, TIME)
    result = apply(kind, managed, A, tree, tree, LATER, force=False)
    assert (result.tree, result.managed) == (tree, managed)


@FEW
@given(VALID)
def test_what_was_read_can_be_applied_and_changes_nothing_but_owners(valid):
    word, tree = valid
    kind = lookup(word)
    result = apply(kind, created(kind, A, tree, TIME), B, tree, tree, LATER, force=False)
    assert result.tree == tree
    assert result.managed[A].fields == result.managed[B].fields


@FEW
@given(shares(), st.booleans())
def test_appliers_who_agree_never_conflict_and_make_the_whole(shared, a_first):
    tree, of_a, of_b = shared
    (one, first), (other, second) = ((A, of_a), (B, of_b)) if a_first else ((B, of_b), (A, of_a))
    result = apply(DEPLOYMENT, created(DEPLOYMENT, one, first, TIME), other, first, second, LATER, force=False)
    assert not compare(DEPLOYMENT, tree, result.tree).changed
    assert not compare(DEPLOYMENT, tree, result.tree).removed
    again = apply(DEPLOYMENT, result.managed, one, result.tree, first, LATER, force=False)
    assert again.tree == result.tree


@FEW
@given(shares())
def test_who_withdraws_leaves_what_others_own_and_nothing_of_its_own(shared):
    _, of_a, of_b = shared
    both = apply(DEPLOYMENT, created(DEPLOYMENT, A, of_a, TIME), B, of_a, of_b, LATER, force=False)
    nothing = {"metadata": {name: of_a["metadata"][name] for name in IDENTITY}}
    left = apply(DEPLOYMENT, both.managed, A, both.tree, nothing, LATER, force=False)
    assert list(left.managed) == ([B] if B in both.managed else [])
    assert not compare(DEPLOYMENT, left.tree, merged(DEPLOYMENT, left.tree, of_b)).changed
    assert fields_of(DEPLOYMENT, left.tree) == fields_of(DEPLOYMENT, of_b)


@FEW
@given(DEPLOYMENTS, DEPLOYMENTS)
def test_force_leaves_nobody_else_with_a_field_that_it_changed(first, second):
    managed = created(DEPLOYMENT, A, first, TIME)
    result = apply(DEPLOYMENT, managed, B, first, second, LATER, force=True)
    changed = compare(DEPLOYMENT, first, result.tree).changed
    assert not (A in result.managed and result.managed[A].fields & changed)
    there = fields_of(DEPLOYMENT, result.tree)
    assert result.managed[B].fields <= there | containers(there)
    if managed[A].fields & changed:
        with pytest.raises(Conflict):
            apply(DEPLOYMENT, managed, B, first, second, LATER, force=False)
    else:
        assert apply(DEPLOYMENT, managed, B, first, second, LATER, force=False) == result


@FEW
@given(DEPLOYMENTS, DEPLOYMENTS)
def test_a_plain_write_owns_exactly_what_it_changed(old, new):
    managed = updated(DEPLOYMENT, created(DEPLOYMENT, A, old, TIME), EDIT, old, new, LATER)
    there = fields_of(DEPLOYMENT, new)
    owned = [each.fields for each in managed.values()]
    assert all(each <= there for each in owned)
    assert sum(map(len, owned)) == len(frozenset().union(*owned)), "no field has two owners after a write over it"
    again = apply(DEPLOYMENT, managed, A, new, old, LATER, force=True)
    assert not compare(DEPLOYMENT, again.tree, merged(DEPLOYMENT, again.tree, old)).changed


@FEW
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    )
)
def test_stored_entries_of_any_form_are_read(entries):
    assert written(stored(entries)) == [] or isinstance(entries, list)


@FEW
@given(ANYTHING)
def test_lists_that_nobody_can_own_parts_of_are_named_by_path(tree):
    for fault in ambiguous(POD, tree):
        assert fault.path
        assert "name the elements" in fault.message
