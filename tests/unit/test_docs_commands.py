"""Every `tim …` that README.md and docs/ name is a command there is, with options it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS, main

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "CONTRIBUTING.md",
    *sorted(page for page in (CHECKOUT / "docs").rglob("*.md")),
]
SPAN = re.compile(r"`(tim [^`]+)`")


def command_lines(text: str) -> Iterator[str]:
    """Command lines in code blocks and code spans, without comments; a line may hold several."""
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            for part in line.partition(" #")[0].split(";"):
                if re.match(r"tim [-a-z]", part.strip()):
                    yield part.strip()
    for match in SPAN.finditer(re.sub(r"```.*?```", "", text, flags=re.DOTALL).replace("\n", " ")):
        yield match[1]


def named() -> list[tuple[str, str]]:
    return sorted({(page.name, line) for page in PAGES for line in command_lines(page.read_text(encoding="utf-8"))})


def walk(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words name, and what follows its name. KeyError for a name that does not exist."""
    command, context = main, click.Context(main)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            if command.invoke_without_command:
                break
            raise KeyError(words[0])
        command, words = found, words[1:]
    return command, words


def option_names(words: list[str]) -> Iterator[str]:
    """`--name`, `-n`, `-o`, `-i` and `-t` of `--name=x`, `-n`, `[-o FORMAT]`, `-it`; what follows `--` are another program's."""
    for word in words:
        if word == "--":
            return
        bare = word.lstrip("[").rstrip("].,")
        if re.fullmatch(r"-[a-z]{2,}", bare):
            yield from (f"-{letter}" for letter in bare[1:])
        elif re.match(r"--?[a-zA-Z]", bare):
            yield from bare.partition("=")[0].split("|")


@pytest.mark.parametrize(("page", "line"), named())
def test_a_command_in_the_documentation_exists_with_its_options(page, line):
    words = line.split()[1:]
    for name in words[0].split("|"):
        command, rest = walk([name, *words[1:]])
        known = {option for each in (command, main) for parameter in each.params for option in parameter.opts}
        known |= {option for parameter in command.params for option in parameter.secondary_opts} | {"--help"}
        assert not (set(option_names(rest)) - known), f"{page}: {line}"


def test_the_test_sees_what_is_written():
    text = (
        "```sh\ntim get pods -w   # comment; tim nothing\ntim a ; tim b\n```\nrun `tim lab up [--name N]` and `other`"
    )
    assert list(command_lines(text)) == ["tim get pods -w", "tim a", "tim b", "tim lab up [--name N]"]
    assert list(option_names(["[--name", "N]", "-o=x", "a|b", "--force|-f", "--", "--not"])) == [
        "--name",
        "-o",
        "--force",
        "-f",
    ]
    with pytest.raises(KeyError):
        walk(["lab", "upp"])


def test_the_changelog_names_every_command():
    text = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"`{name}" not in text and f"`tim {name}" not in text] == []
