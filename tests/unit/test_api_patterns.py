"""Patterns of schemas: Go's language, found as Go finds them, in bounded time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.pattern_search import Pattern, TooCostly, one_object
from api.pattern_syntax import BadPattern
from api.schema_trees import faults
from api.structural import compiled


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
    assert Pattern(written).found_in(text) == (re.search(written, text, re.ASCII) is not None)


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
    assert Pattern(written).found_in(found)
    assert not Pattern(written).found_in(missed)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("(", "missing closing )"),
        ("a)", "unexpected )"),
        ("[a", "missing closing ]"),
        ("[b-a]", "invalid character class range"),
        ("*", "missing argument to repetition operator"),
        ("a**", "invalid nested repetition operator"),
        ("a{2,1}", "invalid repeat count"),
        ("a{1001}", "invalid repeat count"),
        ("(?=a)", "invalid or unsupported Perl syntax"),
        ("(?<!a)", "invalid or unsupported Perl syntax"),
        (r"(a)\1", "invalid escape sequence"),
        (r"\Z", "invalid escape sequence"),
        ("a\\", "trailing backslash"),
        (r"\p{Greek}", "only general categories are supported yet"),
        ("((a{100}){100}){100}", "more than 5000 steps"),
        ("(" * 500, "nested deeper than"),
    ],
)
def test_what_is_not_of_the_language_is_refused_where_it_is_wrong(written, told):
    with pytest.raises(BadPattern, match=re.escape(told)):
        Pattern(written)


@pytest.mark.parametrize("written", ["(a+)+$", "^(a|a)*$", "(a*)*c", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_patterns_that_would_never_end_do(written):
    assert not Pattern(written).found_in("a" * 100_000 + "-")


def test_an_object_has_only_so_many_steps_for_all_its_patterns():
    pattern = Pattern("[01]*1[01]{900}-")
    number = "".join(str(n * n % 7 % 2) for n in range(20_000))
    with pytest.raises(TooCostly):
        pattern.found_in(number)
    plain, text = Pattern("^(a|b)+$"), "ab" * 200_000
    with one_object():
        assert [plain.found_in(text) for _ in range(7)] == [True] * 7
        with pytest.raises(TooCostly):
            plain.found_in(text)


def test_an_object_that_takes_too_long_is_refused_by_the_field():
    document = {"type": "object", "properties": {"a": {"type": "string", "pattern": "[01]*1[01]{900}-"}}}
    tree = {"a": "".join(str(n * n % 7 % 2) for n in range(20_000))}
    (fault,) = faults(compiled(document), tree, None)
    assert fault.path == "a"
    assert "takes too long to compare with '[01]*1[01]{900}-'" in fault.message


@given(st.text("ab()[]{}*+?|^$\\.-,:123pPxQEdwzin", max_size=20), st.text("ab1", max_size=5))
def test_any_text_is_a_pattern_or_is_refused(written, text):
    try:
        pattern = Pattern(written)
    except BadPattern:
        return
    assert pattern.found_in(text) in {True, False}
