"""What lists are estimated to cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.fairness.lists import LARGEST_BYTES, ListCosts
from controlplane.apiserver.fairness.queue import UNIT_BYTES
from controlplane.store.sorted_map import SortedMap

KEYS = st.tuples(st.sampled_from(["", "a", "b", "c"]), st.text("xyz", max_size=4))


@given(
    keys=st.sets(KEYS),
    more=st.sets(st.integers(0, 999).map(lambda number: ("b", f"{number:04}"))),
    start=KEYS,
    stop=KEYS,
)
def test_keys_between_are_counted_as_they_are_listed(keys, more, start, stop):
    found = SortedMap()
    for key in sorted(keys | more, key=lambda key: key[::-1]):
        found.set(key, key)
    start, stop = sorted((start, stop))
    for end in (stop, None):
        assert found.count_between(start, end) == len(found.values_between(start, end))


def test_keys_of_many_blocks_are_counted_between_any_two():
    found = SortedMap.from_sorted(((f"{number:05}",), number) for number in range(5_000))
    for start, stop in ((0, 5_000), (1, 4_999), (64, 64), (63, 129), (2_000, 2_001), (4_000, 9_000)):
        assert found.count_between((f"{start:05}",), (f"{stop:05}",)) == max(0, min(stop, 5_000) - start)


class Counted:
    """A state that is only counted."""

    def count_in(self, _resource, namespace):
        return 150 if namespace else 100_000


@pytest.mark.parametrize(
    ("namespace", "limit", "size"),
    [("a", 0, UNIT_BYTES * 3 // 2), ("a", 100, UNIT_BYTES), ("a", 500, UNIT_BYTES * 3 // 2), ("", 0, LARGEST_BYTES)],
)
def test_a_hundred_objects_cost_as_much_as_a_call(namespace, limit, size):
    assert ListCosts(Counted).size("pods", namespace, limit) == size
