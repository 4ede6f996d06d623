"""Expectations about clients are read, compared and written faithfully, and the page made of them is up to date."""

from __future__ import annotations

import pytest

from tests.clients import table
from tests.clients.session import FILES, transcripts
from tests.clients.transcript import Entry, generalised, matches, parse, render

TEXT = """# Pods
What can be asked of them.

% refused: there is no metrics API yet
% until 1.20
$ kubectl top pods
! error: Metrics API not available
? 1

% note: slowly
% eventually
% hidden
$ kubectl get pods
  NAME READY
  web-<suffix> 1/1
"""


def test_a_file_is_written_as_it_was_read():
    transcript = parse("pods", TEXT)
    assert render(transcript) == TEXT
    top, get = transcript.entries
    assert (top.refused, top.code, top.err) == ("there is no metrics API yet", 1, ("error: Metrics API not available",))
    assert (get.eventually, get.hidden, get.note) == (True, True, "slowly")
    assert top.fits((1, 20))
    assert not top.fits((1, 32))


@pytest.mark.parametrize("text", ["no title", "# T\n\n  out", "# T\n\n$ a\nout", "# T\n\n% sometimes\n$ a"])
def test_what_is_no_transcript_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse("x", text)


@pytest.mark.parametrize(
    ("expected", "came", "same"),
    [
        (["NAME  AGE", "web-<suffix>  <age>"], "NAME         AGE\n\nweb-abcde-f0   1m3s\n", True),
        (["web-<suffix>  <age>"], "web-abcde soon\n", False),
        (["one", "...", "four"], "one\ntwo\nthree\nfour\n", True),
        (["one", "...", "two"], "one\ntwo\n", True),
        (["one", "...", "four"], "one\ntwo\n", False),
        (["a.c"], "abc\n", False),
        (["<none> <any>"], "<none> whatever it is\n", True),
        ([], "\n", True),
        ([], "more\n", False),
    ],
)
def test_an_output_is_compared_but_for_blanks_and_placeholders(expected, came, same):
    assert matches(expected, came) is same


def test_a_difference_shows_both_sides():
    entry = Entry("kubectl get x", out=("a", "b"))
    assert not entry.difference("a\nb\n", "", 0)
    told = entry.difference("a\nc\n", "broken\n", 1)
    assert "-   b" in told
    assert "+   c" in told
    assert "+ ! broken" in told
    assert "+ ? 1" in told


def test_a_recorded_output_forgets_what_differs_from_run_to_run():
    text = "web-l6czh6j7mc-6phqp 5s n2 10.0.0.1\nspace uid: 4c04e4ae-4e5b-4d5a-8ad6-1f0c1f7b1b0f 10m\n"
    assert generalised(text, "space") == ("web-<suffix> <age> <node> <ip>", "$NS uid: <uid> 10m")


def test_every_file_that_a_command_names_is_there():
    named = {word for each in transcripts() for entry in each.entries for word in entry.command.split()}
    missing = {word for word in named if word.endswith((".yaml", ".json", ".sh")) and "/" not in word}
    assert missing - {path.name for path in FILES.iterdir()} == {
        *("absent.yaml", "--from-file=settings.yaml", "--patch-file=patch.yaml"),
    }


def test_the_page_is_what_the_expectations_say():
    assert table.PAGE.read_text(encoding="utf-8") == table.page(), "run `make clients-table`"
