"""One strange object must not hide all others: a row can be made of whatever the types let in."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api import strict
from api.object import Object, canonical
from api.scheme import KINDS
from api.table import column_definitions, row
from tests.property.api_trees import of_type

pytestmark = pytest.mark.slow

TREES = st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), of_type(kind.type)))


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(TREES)
def test_every_object_has_a_row(drawn):
    kind, tree = drawn
    tree = strict.prune({**tree, "metadata": {**tree.get("metadata", {}), "name": "x"}})
    shown = row(kind.resource, Object(kind.resource, "", "x", "u", 1, canonical(tree)), 1_750_000_000.0)
    columns = column_definitions(kind.resource)
    assert [type(cell) for cell in shown["cells"]] == [
        {"string": str, "integer": int}[column["type"]] for column in columns
    ]
