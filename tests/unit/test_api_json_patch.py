"""JSON patches: what RFC 6902 and RFC 6901 say, and that nothing given is changed."""

from __future__ import annotations

import copy

import pytest

from api.errors import Invalid
from api.json_patch import OPERATIONS_MAX, json_patch


@pytest.mark.parametrize(
    ("document", "operations", "expected"),
    [  # the examples of RFC 6902, appendix A
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
        ({"foo": ["a", "c"]}, [{"op": "add", "path": "/foo/1", "value": "b"}], {"foo": ["a", "b", "c"]}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
        ({"foo": ["a", "b", "c"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["a", "c"]}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": None}], {"a": None}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        (
            {"foo": ["all", "grass", "cows", "eat"]},
            [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
            {"foo": ["all", "cows", "eat", "grass"]},
        ),
        ({"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"x": {}}}], {"foo": "bar", "child": {"x": {}}}),
        ({"foo": ["a"]}, [{"op": "add", "path": "/foo/-", "value": ["b"]}], {"foo": ["a", ["b"]]}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        ({"a": 1}, [{"op": "test", "path": "", "value": {"a": 1.0}}], {"a": 1}),
        ({"a": 1}, [{"op": "add", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        ({"": {"a~/b": 1}}, [{"op": "replace", "path": "//a~0~1b", "value": 2}], {"": {"a~/b": 2}}),
    ],
)
def test_operations_do_what_the_rfc_says(document, operations, expected):
    given = copy.deepcopy((document, operations))
    assert json_patch(document, operations) == expected
    assert (document, operations) == given, "arguments are changed"


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        ({}, "a JSON patch is a list"),
        (["x"], "operation 0: an operation is an object"),
        ([{"path": "/a"}], 'op "None" is not known'),
        ([{"op": "add", "path": "/a"}], '"value" is required'),
        ([{"op": "remove"}], '"path" is required'),
        ([{"op": "remove", "path": "a"}], '"path" must be empty or begin with /'),
        ([{"op": "remove", "path": ""}], "the whole document cannot be removed"),
        ([{"op": "remove", "path": "/x/y"}], "there is no /x"),
        ([{"op": "replace", "path": "/x", "value": 1}], "there is no /x"),
        ([{"op": "add", "path": "/a/b", "value": 1}], "/a is neither an object nor a list"),
        ([{"op": "add", "path": "/list/3", "value": 1}], "the list has no place 3"),
        ([{"op": "add", "path": "/list/01", "value": 1}], '"01" is no place in a list'),
        ([{"op": "add", "path": "/list/²", "value": 1}], "is no place in a list"),
        ([{"op": "remove", "path": "/list/-"}], '"-" is no place in a list'),
        ([{"op": "move", "from": "/object", "path": "/object/x"}], "cannot be moved into itself"),
        ([{"op": "test", "path": "/a", "value": True}], "the test failed: /a has another value"),
        (
            [{"op": "add", "path": "/b", "value": 1}, {"op": "test", "path": "/a", "value": 2}],
            "operation 1: the test failed",
        ),
        ([{"op": "remove", "path": "/a"}] * (OPERATIONS_MAX + 1), "are more than 10000"),
    ],
)
def test_a_refusal_names_the_operation_and_the_reason(operations, words):
    with pytest.raises(Invalid) as caught:
        json_patch({"a": 1, "list": [0, 1], "object": {}}, operations)
    assert words in str(caught.value)


def test_a_document_that_doubles_with_every_operation_is_refused_before_it_is_large():
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/x{index}"} for index in range(100)]
    with pytest.raises(Invalid, match=r"operation \d+: the patch copies more than 3145728 bytes"):
        json_patch({"a": {"b": "c" * 100}}, doubling)


def test_copies_have_nothing_in_common_with_what_they_were_made_of():
    operations = [
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "add", "path": "/a/list/0", "value": 1},
        {"op": "add", "path": "/b/list/0", "value": 2},
        {"op": "move", "from": "/a/list", "path": "/list"},
        {"op": "add", "path": "/list/-", "value": 3},
    ]
    document = {"a": {"list": []}}
    assert json_patch(document, operations) == {"a": {}, "b": {"list": [2]}, "list": [1, 3]}
    assert document == {"a": {"list": []}}


def test_the_same_value_may_be_put_in_two_places():
    shared = {"x": []}
    operations = [{"op": "add", "path": f"/{name}", "value": shared} for name in "ab"]
    operations.append({"op": "add", "path": "/a/x/-", "value": 1})
    assert json_patch({}, operations) == {"a": {"x": [1]}, "b": {"x": []}}
    assert shared == {"x": []}


def test_many_changes_of_a_large_object_take_no_longer_than_both_are_large():
    document = {"data": {f"k{index}": "v" for index in range(200_000)}}
    operations = [{"op": "replace", "path": f"/data/k{index}", "value": "w"} for index in range(OPERATIONS_MAX)]
    assert sum(value == "w" for value in json_patch(document, operations)["data"].values()) == OPERATIONS_MAX


def test_what_is_nested_deeper_than_anything_can_look_into_is_refused():
    deep: dict = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(Invalid, match="operation 0: what it works on is nested too deep"):
        json_patch({"x": deep}, [{"op": "copy", "from": "/x", "path": "/y"}])
