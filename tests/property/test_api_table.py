"""One strange object must not hide all others: a row can be made of whatever the types let in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import strict
from api.object import Object, canonical
from api.scheme import KINDS
from api.table import column_definitions, row
from tests.property.api_trees import of_type

pytestmark = pytest.mark.slow

TREES = st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), of_type(kind.type)))


@settings(max_examples=100)
@given(TREES)
def test_every_object_has_a_row(drawn):
    kind, tree = drawn
    tree = strict.prune({**tree, "metadata": {**tree.get("metadata", {}), "name": "x"}})
    shown = row(kind.resource, Object(kind.resource, "", "x", "u", 1, canonical(tree)), 1_750_000_000.0)
    columns = column_definitions(kind.resource)
    assert [type(cell) for cell in shown["cells"]] == [
        {"string": str, "integer": int}[column["type"]] for column in columns
    ]


def test_endpoints_with_a_port_that_has_no_number_have_a_row() -> None:
    tree = {"metadata": {"name": "x"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"name": "web"}]}]}
    shown = row("endpoints", Object("endpoints", "d", "x", "u", 1, canonical(tree)), 1_750_000_000.0)
    assert "10.0.0.1:" in shown["cells"]
