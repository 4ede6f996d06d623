import json

import pytest

from api.errors import Invalid
from api.manifest import load_all

HEAD = "apiVersion: v1\nkind: Thing\n"


def load(text):
    (tree,) = load_all(HEAD + text, "f.yaml")
    return {name: value for name, value in tree.items() if name not in {"apiVersion", "kind"}}


def problem(text):
    with pytest.raises(Invalid) as caught:
        load_all(text, "f.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("Off", False),
        ("true", True),
        ("'yes'", "yes"),
        ("~", None),
        ("", None),
        ("null", None),
        ("0", 0),
        ("-5", -5),
        ("+5", 5),
        ("0644", 420),
        ("0o644", 420),
        ("-0644", -420),
        ("0x1F", 31),
        ("0b101", 5),
        ("08", 8),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("22:22", "22:22"),
        ("1_000", "1_000"),
        ("2025-01-15", "2025-01-15"),
        ("2025-01-15T08:30:00Z", "2025-01-15T08:30:00Z"),
        ('"1"', "1"),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ("!!int '1'", 1),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("=", "="),
        ("250m", "250m"),
        ("[1, a, {b: c}]", [1, "a", {"b": "c"}]),
        ("!!map {a: !!seq [1]}", {"a": [1]}),
        ("9" * 500, "9" * 500),
    ],
)
def test_scalars_mean_what_kubectl_makes_of_them(text, value):
    found = load(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_text_as_written():
    assert load("on: 1\n1: x\nno: y") == {"on": 1, "1": "x", "no": "y"}


def test_anchors_aliases_and_merge_keys_work_without_sharing():
    tree = load("base: &b {x: 1, y: [2]}\ncopy: *b\nmore: {<<: *b, x: 3, z: 4}\nmany: {<<: [*b, {x: 9, w: 5}]}")
    assert tree["copy"] == {"x": 1, "y": [2]}
    assert tree["more"] == {"x": 3, "y": [2], "z": 4}
    assert tree["many"] == {"x": 1, "y": [2], "w": 5}
    assert tree["copy"]["y"] is not tree["base"]["y"]


def test_documents_come_in_order_and_empty_ones_are_skipped():
    text = f"# nothing\n---\n{HEAD}name: a\n---\n---\n# x\n...\n---\n{HEAD}name: b\n"
    assert [tree["name"] for tree in load_all(text, "f")] == ["a", "b"]
    assert load_all("", "f") == []
    assert load_all("# only a comment\n", "f") == []


def test_json_is_read_one_after_the_other():
    one, two = (
        {"apiVersion": "v1", "kind": "A", "x": "\N{GRINNING FACE}"},
        {
            "apiVersion": "v1",
            "kind": "B",
        },
    )
    assert load_all(json.dumps(one) + "\n" + json.dumps(two, indent=2), "f") == [one, two]
    assert load_all("{apiVersion: v1, kind: flow}", "f") == [{"apiVersion": "v1", "kind": "flow"}]


def test_bytes_may_begin_with_a_byte_order_mark():
    assert load_all(b"\xef\xbb\xbfapiVersion: v1\nkind: A\n", "f") == [{"apiVersion": "v1", "kind": "A"}]
    assert load_all("\ufeffapiVersion: v1\nkind: A\n", "f") == [{"apiVersion": "v1", "kind": "A"}]


def test_lists_are_flattened():
    plain = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A}\n- apiVersion: v1\n  kind: List\n  items: [{apiVersion: v1, kind: B}]\n"
    assert [tree["kind"] for tree in load_all(plain, "f")] == ["A", "B"]
    typed = "apiVersion: v1\nkind: PodList\nitems:\n- {metadata: {name: a}}\n"
    assert load_all(typed, "f") == [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEAD}a: 1\na: 2\n", 'f.yaml:4: the key "a" is given twice'),
        (f"{HEAD}a: {{b: 1, 'b': 2}}\n", 'f.yaml:3: the key "b" is given twice'),
        ('{"apiVersion":"v1",\n"kind":"A","kind":"B"}', 'f.yaml:2: the key "kind" is given twice'),
        (f"{HEAD}a: b: c\n", "f.yaml:3: mapping values are not allowed in this context"),
        (f"{HEAD}a: [b\n", "f.yaml:4: while parsing a flow sequence did not find expected ',' or ']'"),
        (f"{HEAD}\ta: b\n", "f.yaml:3: while scanning a plain scalar found a tab character that violates indentation"),
        (f"{HEAD}a: *b\n", "f.yaml:3: *b refers to nothing that is complete before it"),
        (f"{HEAD}a: &b [*b]\n", "f.yaml:3: *b refers to nothing that is complete before it"),
        (f"{HEAD}a: !!binary eA==\n", "f.yaml:3: the tag tag:yaml.org,2002:binary is not supported"),
        (f"{HEAD}a: !odd [1]\n", "f.yaml:3: the tag !odd is not supported"),
        (f"{HEAD}a: .inf\n", "f.yaml:3: .inf is not a number; quote it if it is text"),
        (f"{HEAD}a: 1e999\n", "f.yaml:3: 1e999 is too large a number"),
        (f"{HEAD}? [a]\n: b\n", "f.yaml:3: a key must be text"),
        (f"{HEAD}b: &k x\n*k : y\n", "f.yaml:4: a key must be text"),
        (f"{HEAD}<<: 3\n", "f.yaml:3: << needs a mapping or a list of mappings"),
        (f"{HEAD}a: {'[' * 150}\n", "f.yaml:3: nested deeper than 100 levels"),
        ('{"a":' * 150 + "1" + "}" * 150, "f.yaml:1: nested deeper than 100 levels"),
        ('{"a":' * 100_000, "f.yaml:1: nested deeper than 100 levels"),
        ('{"a":[' * 60 + "1" + "]}" * 60, "f.yaml:1: nested deeper than 100 levels"),
        ("- 1\n", "f.yaml:1: expected an object with apiVersion and kind"),
        ("text\n", "f.yaml:1: expected an object with apiVersion and kind"),
        ("---\nkind: A\n", "f.yaml:2: apiVersion is missing"),
        ("apiVersion: v1\n", "f.yaml:1: kind is missing"),
        ("apiVersion: v1\nkind: [A]\n", "f.yaml:1: kind must be text"),
        ("apiVersion: 1\nkind: A\n", "f.yaml:1: apiVersion must be text"),
        ("apiVersion: v1\nkind: List\nitems: [3]\n", "f.yaml:1: expected an object with apiVersion and kind"),
        (b"a: 1\nb: \xff\n", "f.yaml:2: not UTF-8 text"),
        ("\na: \x01\n", "f.yaml:2: control characters are not allowed"),
    ],
)
def test_bad_text_is_refused_in_one_line_with_its_place(text, message):
    assert problem(text) == message


def test_a_few_lines_cannot_stand_for_billions_of_values():
    lines = [f"{HEAD}a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 9)]
    assert "more than 500,000 values, aliases included" in problem("\n".join(lines))


def test_documents_are_bounded_in_size_one_by_one():
    small = f"{HEAD}a: {'x' * 2_000_000}\n"
    assert len(load_all(f"{small}---\n{small}", "f.yaml")) == 2
    big = f"{HEAD}a: {'x' * 10_000_000}\n"
    assert problem(f"{small}---\n{big}") == (
        "f.yaml:4: the document has 10,000,035 bytes, more than the limit of 3,145,728"
    )


def test_json_with_words_that_are_no_numbers_is_read_as_text():
    assert load_all('{"apiVersion":"v1","kind":"A","x":NaN}', "f")[0]["x"] == "NaN"
