"""What objects say does not reach the terminal as commands to it."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from api.errors import Invalid
from cli import output
from cli.connect import fail_after, warn
from cli.describe import description
from cli.visible import visible
from tests.api_server import config_map

HOSTILE = "\x1b]0;mine\x07\x1b[31mred\r\x9b2J"
SHOWN = "^[]0;mine^G^[[31mred^M\\x9b2J"


def test_characters_that_command_a_terminal_are_shown_and_all_others_stay():
    assert visible(HOSTILE) == SHOWN
    assert visible("né\t漢\n🙂") == "né\t漢\n🙂"


def test_tables_show_them():
    tree = config_map("a", {})
    tree["metadata"]["annotations"] = {"note": HOSTILE}
    table = output.rows("configmaps", [tree], 0.0, custom="NOTE:.metadata.annotations.note")
    assert table[1] == [SHOWN]
    assert output.align([["NOTE", "X"], [HOSTILE, "y"]]).split("\n")[1] == f"{SHOWN}   y"


@pytest.mark.parametrize("say", [warn, lambda text: fail_after([Invalid(text)])])
def test_warnings_and_refusals_show_them(say):
    told = CliRunner().invoke(click.command()(lambda: say(HOSTILE)), color=True).output
    assert "\x1b]" not in told
    assert "^[]0;mine^G" in told


def test_a_description_may_be_made_visible_whole():
    tree = config_map("a", {"k": HOSTILE})
    assert SHOWN in visible(description("configmaps", tree))
