"""Sharing changes no view of any kind, whatever was seen before."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import scheme, strict
from api.object import Object, canonical
from component.shared_parts import SharedParts
from tests.property.api_trees import of_type

pytestmark = pytest.mark.slow

ANY = st.sampled_from(scheme.KINDS).flatmap(lambda kind: st.tuples(st.just(kind), of_type(kind.type)))
SEEN_BEFORE = SharedParts()


@settings(max_examples=60)
@given(ANY)
def test_a_shared_view_is_equal_to_the_view_that_was_decoded(drawn):
    kind, tree = drawn
    named = strict.prune(tree)
    named["metadata"] = {**named.get("metadata", {}), "name": "a", "namespace": "b", "uid": "c"}
    item = Object(kind.resource, "b", "a", "c", 1, canonical(named))
    assert SEEN_BEFORE.view(item, kind.type) == item.view(kind.type)
