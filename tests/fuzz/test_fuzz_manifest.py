"""The manifest parser gets any text and mutated manifests: objects come out, or one Invalid that names the line."""

from __future__ import annotations

import random
import re
import time

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api import manifest
from api.errors import Invalid
from api.object import canonical
from tests.e2e.cluster import EXAMPLES

pytestmark = pytest.mark.slow

MUTATIONS = 1500
MOST_SECONDS = 10.0  # of one document; a shared machine is slow, a bomb takes for ever
PIECES = (
    "- ",
    ": ",
    "\n",
    "\t",
    "  ",
    "&a ",
    "*a",
    "!!binary ",
    "!x ",
    "|\n",
    ">-\n",
    "{",
    "}",
    "[",
    "]",
    "'",
    '"',
    "#",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    "<<: *a\n",
    "? ",
    "\ufeff",
    "\x00",
    "\x85",
    "\ud7ff",
    "é",
    "0x",
    "1e9999",
    ".nan",
    "0o9",
    "~",
    "kind: List\nitems:\n",
)


def parsed(text: str | bytes) -> list | None:
    """What a text holds, None when it is refused as it should be."""
    began = time.monotonic()
    try:
        trees = manifest.load_all(text, "f.yaml")
    except Invalid as refused:
        assert re.match(r"f\.yaml:\d+: \S", str(refused)), str(refused)  # noqa: PT017 - both outcomes are right
        trees = None
    assert time.monotonic() - began < MOST_SECONDS
    for tree in trees or ():
        assert tree["apiVersion"]
        assert tree["kind"]
        assert msgspec.json.decode(canonical(tree)) == tree  # what comes out can be sent, and is the same then
    return trees


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
@example("a: &a [" + "*a," * 50)
@example("[" * 3000)
@example('apiVersion: v1\nkind: "\\ud800"')
@example('{"apiVersion":"v1","kind":"C","data":1e9999}')
@example("apiVersion: v1\nkind: C\ndata: 100000000000000000000000000000")
@example("{" * 3000)
@example("- " * 3000)
@example('{"apiVersion":"v1","kind":"' + "\\ud800" + '"}')
@example("apiVersion: v1\nkind: ConfigMap\ndata: {a: 1" + "0" * 5000 + "}")
@example('{"apiVersion":"v1","kind":"C","data":1' + "0" * 5000 + "}")
def test_any_text_is_objects_or_refused_with_its_line(text):
    parsed(text)


@settings(max_examples=300)
@given(st.lists(st.sampled_from((*PIECES, "apiVersion: v1\n", "kind: Pod\n", "a", "metadata:\n")), max_size=40))
def test_any_sequence_of_yaml_words_is_objects_or_refused(words):
    parsed("".join(words))


def test_mutated_manifests_are_objects_or_refused():
    rng = random.Random(5)
    texts = [path.read_text() for path in sorted(EXAMPLES.rglob("*.yaml"))]
    counts = {True: 0, False: 0}
    for _ in range(MUTATIONS):
        text = rng.choice(texts)[:4000]
        for _ in range(rng.choice((1, 2, 4))):
            at, length = rng.randrange(len(text)), rng.choice((0, 1, 1, 8, 60))
            kept = rng.choice((rng.choice(PIECES), "", text[at : at + length] * 2))
            text = text[:at] + kept + text[at + length :] or " "
        counts[parsed(text) is None] += 1
    assert min(counts.values()) > MUTATIONS // 20


def test_aliases_that_stand_for_billions_are_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert parsed("apiVersion: v1\nkind: ConfigMap\n" + "\n".join(lines)) is None
