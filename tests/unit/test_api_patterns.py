"""Patterns of schemas: Go's language, found as Go finds them, in bounded time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.patterns import BadPattern, TooCostly, check, found_in, one_object
from api.schema_trees import faults
from api.structural import compiled
from api.validate_schema import schema_faults


def written_with(texts):
    """Larger patterns of smaller ones."""
    joined = st.lists(texts, min_size=1, max_size=3).map("".join)
    return st.one_of(
        joined,
        st.tuples(joined, joined).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(joined, st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,}", "{0,3}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    )


ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "-",
        ".",
        "^",
        r"\b",
        r"\B",
        "[ab]",
        "[^a]",
        "[a-c-]",
        r"\w",
        r"\d",
        r"[^\W_]",
        r"\.",
        "\n",
        "(?i:B)",
        "(?s:.)",
    ]
)
PATTERNS = st.recursive(ATOMS, written_with, max_leaves=6)


@given(PATTERNS, st.text("aAbBc1-._ \n", min_size=1, max_size=12))  # of nothing, Python has no \B
def test_patterns_are_found_where_python_finds_them(written, text):
    assert found_in(written, text) == (re.search(written, text, re.ASCII) is not None)


@pytest.mark.parametrize(
    ("written", "found", "missed"),
    [
        ("a$", "ba", "a\n"),  # the very end
        ("(?m)^b$", "a\nb\nc", "ab"),
        (r"\Aa\z", "a", "a\n"),
        ("[[:alpha:]_]{2}", "-a_", "a1"),
        ("[^[:space:]]", "a", " \t"),
        (r"^\p{Lu}\PL$", "Ä1", "ä1"),
        (r"^\Qa.b\E$", "a.b", "axb"),
        (r"^\x41\x{1F600}\141$", "A😀a", "Aa"),
        ("(?i)^straße$", "STRAßE", "x"),
        ("(?i)a(?-i)b", "Ab", "AB"),
        ("(?P<year>[0-9]{4})-(?<month>[0-9]{2})", "2030-01", "203-01"),
        ("^a{,2}$", "a{,2}", "aa"),  # no repetition in Go
        ("^[]a]$", "]", "b"),
        ("^()*$", "", "a"),
        (r"^[^a]$", "\n", "a"),
    ],
)
def test_patterns_mean_what_they_mean_in_go(written, found, missed):
    assert found_in(written, found)
    assert not found_in(written, missed)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("(", "missing )"),
        ("a)", "unexpected )"),
        ("[a", "missing ]"),
        ("[b-a]", "invalid character class range"),
        ("*", "no argument for repetition operator"),
        ("a**", "bad repetition operator"),
        ("a{2,1}", "invalid repetition size"),
        ("a{1001}", "invalid repetition size"),
        ("(?=a)", "invalid perl operator"),
        ("(?<!a)", "invalid"),
        (r"(a)\1", "invalid escape sequence"),
        (r"\Z", "invalid escape sequence"),
        ("a\\", "trailing \\"),
        ("((a{100}){100}){100}", "invalid repetition size"),
        (r"\pL{1000}", "pattern too large"),
        ("(" * 500, "missing )"),
        ("\ud800", "half a character"),
    ],
)
def test_what_is_not_of_the_language_is_refused_with_a_reason(written, told):
    with pytest.raises(BadPattern, match=re.escape(told)):
        check(written)


@pytest.mark.parametrize("written", ["(a+)+$", "^(a|a)*$", "(a*)*c", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_patterns_that_would_never_end_do(written):
    assert not found_in(written, "a" * 100_000 + "-")


def test_a_long_text_and_a_large_pattern_are_not_compared():
    with pytest.raises(TooCostly):
        found_in("[01]*1[01]{900}-", "0" * 1_000_000)
    (fault,) = faults(compiled(of_pattern("[01]*1[01]{900}-")), {"a": "0" * 1_000_000}, None)
    assert fault.path == "a"
    assert "takes too long to compare with '[01]*1[01]{900}-'" in fault.message


def test_the_patterns_of_an_object_have_so_much_time_together():
    tree = {"a": "a", "b": "b"}
    properties = {name: {"type": "string", "pattern": f"^{name}"} for name in tree}
    with one_object(seconds=0):
        (fault,) = faults(compiled({"type": "object", "properties": properties}), tree, None)
    assert fault.path == "b"
    assert "takes too long to compare with '^b'" in fault.message


def test_a_definition_whose_patterns_take_too_long_is_refused():
    properties = {name: {"type": "string", "pattern": f"^{name}{{7}}"} for name in ("a", "b")}
    with one_object(seconds=0):
        (fault,) = schema_faults({"type": "object", "properties": properties}, "schema")
    assert fault.path == "schema.properties[b].pattern"
    assert "take too long to read" in fault.message


@given(st.text("ab()[]{}*+?|^$\\.-,:123pPxQEdwzin", max_size=20), st.text("ab1", max_size=5))
def test_any_text_is_a_pattern_or_is_refused(written, text):
    try:
        check(written)
    except BadPattern:
        return
    assert found_in(written, text) in {True, False}


def of_pattern(written):
    return {"type": "object", "properties": {"a": {"type": "string", "pattern": written}}}
