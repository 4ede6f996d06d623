"""The sorted map is a sorted dict, and so is every copy ever taken of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.store.sorted_map import SortedMap

KEYS = st.tuples(st.sampled_from("abc"), st.integers(0, 1999).map(lambda number: f"{number:04d}"))
STEPS = st.lists(
    st.tuples(st.just("set"), KEYS, st.integers())
    | st.tuples(st.just("fill"), st.sampled_from("abc"), st.integers(0, 1500), st.integers(1, 500))
    | st.tuples(st.just("drain"), st.sampled_from("abc"), st.integers(0, 1500), st.integers(1, 500))
    | st.tuples(st.just("remove"), KEYS)
    | st.tuples(st.just("clone"), st.booleans()),
    max_size=30,
)


def check(real: SortedMap, model: dict) -> None:
    assert list(real.items()) == sorted(model.items())
    assert len(real) == len(model)


@given(STEPS)
@settings(max_examples=200)
def test_a_map_and_its_copies_hold_what_plain_dicts_hold(steps):
    real, model = SortedMap(), {}
    kept = []
    for step in steps:
        match step:
            case "set", key, value:
                real.set(key, value)
                model[key] = value
                assert real.get(key) == value
            case "remove", key:
                assert real.remove(key) == (model.pop(key, None) is not None)
                assert real.get(key) is None
            case "fill", letter, start, count:
                for number in range(start, start + count):
                    real.set((letter, f"{number:04d}"), count)
                    model[letter, f"{number:04d}"] = count
            case "drain", letter, start, count:
                for number in range(start, start + count):
                    key = letter, f"{number:04d}"
                    assert real.remove(key) == (model.pop(key, None) is not None)
            case "clone", go_on_with_the_copy:
                copy = real.clone()
                old, real = (real, copy) if go_on_with_the_copy else (copy, real)
                kept.append((old, dict(model)))
    copy = real.clone()
    copy.let_go()
    check(copy, {})
    for each in [(real, model), *kept]:
        check(*each)


@given(st.dictionaries(KEYS, st.integers(), max_size=1200), KEYS, st.none() | KEYS, st.integers(0, 900), st.booleans())
@settings(max_examples=200)
def test_values_between_two_keys_are_those_of_the_sorted_dict(model, start, stop, limit, after_start):
    real = SortedMap.from_sorted(sorted(model.items()))
    model.update({("b", f"{number:04d}"): number for number in range(700)})
    for number in range(700):
        real.set(("b", f"{number:04d}"), number)
    between = [(key, value) for key, value in sorted(model.items()) if start <= key and (stop is None or key < stop)]
    assert real.items_between(start, stop) == between
    values = [value for key, value in between if key != start or not after_start]
    found = real.values_between(start, stop, limit=limit, after_start=after_start)
    assert found == (values[:limit] if limit else values)


def test_items_out_of_order_are_refused():
    with pytest.raises(ValueError, match="out of order"):
        SortedMap.from_sorted([(("b",), 1), (("a",), 2)])
