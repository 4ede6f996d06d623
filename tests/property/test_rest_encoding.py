"""The bytes that Kubernetes' clients get are the stored object and its revision, whatever stands in it."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from api import strict
from api.object import canonical
from api.scheme import KINDS
from controlplane.apiserver.rest.encoding import event_line, only_metadata, whole
from tests.property.api_trees import TEXT, of_type

VALUES = st.recursive(
    st.one_of(TEXT, st.integers(-(2**53), 2**53), st.booleans(), st.just('"metadata":{"name":"x"}')),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=12,
)
OBJECTS = st.builds(
    lambda rest, metadata, nested: {**rest, "data": {"metadata": nested}, "metadata": {**metadata, "name": "a"}},
    st.dictionaries(st.sampled_from(["apiVersion", "kind", "a", "spec", "zz"]), VALUES, max_size=4),
    st.dictionaries(TEXT, VALUES, max_size=3),
    VALUES,
)


@given(tree=OBJECTS, revision=st.integers(1, 2**62))
def test_a_stored_object_is_shown_with_its_revision_and_nothing_else_changed(tree, revision):
    body = canonical(tree)
    shown = {**tree, "metadata": {**tree["metadata"], "resourceVersion": str(revision)}}
    if "resourceVersion" not in tree["metadata"]:
        assert msgspec.json.decode(whole(body, revision)) == shown
        assert msgspec.json.decode(only_metadata(body, revision))["metadata"] == shown["metadata"]
        line = event_line(1, whole(body, revision))
        assert line.count(b"\n") == 1
        assert msgspec.json.decode(line) == {"type": "ADDED", "object": shown}
    assert whole(body, 0) == body


@given(data=st.data())
def test_dropping_unknown_fields_leaves_what_is_known_and_names_the_rest(data):
    kind = data.draw(st.sampled_from(KINDS))
    tree = data.draw(of_type(kind.type))
    assert strict.without_unknown(kind, tree) == (tree, [])
    kept, dropped = strict.without_unknown(kind, {**tree, "colour": 1, "$patch": "x"})
    assert kept == {**tree, "$patch": "x"}
    assert [field.path for field in dropped] == ["colour"]
    unknown = [fault.path for fault in strict.check(kind, tree) if fault.message.startswith("unknown field")]
    assert unknown == []
