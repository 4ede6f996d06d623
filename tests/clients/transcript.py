"""Expectations about commands, as text: read, compared with what came, written again.

A file is a title (`# ...`), words about it, and entries with blank lines between them:

    % refused: there is no metrics API
    $ kubectl top nodes
    ! error: Metrics API not available
    ? 1

`$` is a command for `sh`, lines that are indented by two are what it prints, `!` what it prints as errors, `?` its exit code
unless 0. `%` says more of the entry: `refused: REASON` and `note: TEXT` go to the table, `since 1.31` and `until 1.30` name
the kubectl that it is for, `eventually` repeats it until it comes true, `hidden` keeps it out of the table. In what is
printed `<age>`, `<ip>` and the other PLACEHOLDERS stand for anything of that form, a line `...` for any number of lines;
how many blanks there are does not matter. Knows nothing of running commands.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

PLACEHOLDERS = {
    "age": r"(?:\d+[smhdy])+|<unknown>|<invalid>|just now",
    "any": r".*",
    "file": r"\S*/\S+",
    "hex": r"[0-9a-f]{64}",
    "ip": r"\d+\.\d+\.\d+\.\d+",
    "node": r"n\d+",
    "number": r"\d+",
    "suffix": r"[a-z0-9]+(?:-[a-z0-9]+)*",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z|\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [-+]\d{4}",
    "uid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "version": r"v?\d+\.\d+\.\d+\S*",
}
ANY_LINES = "..."
LAST = (99,)


@dataclass(frozen=True, slots=True)
class Entry:
    """One command and what is expected of it."""

    command: str
    out: tuple[str, ...] = ()
    err: tuple[str, ...] = ()
    code: int = 0
    refused: str = ""
    note: str = ""
    since: tuple[int, ...] = (0,)
    until: tuple[int, ...] = LAST
    eventually: bool = False
    hidden: bool = False

    def fits(self, version: tuple[int, ...]) -> bool:
        """Whether it is for this version of the client."""
        return self.since <= version <= self.until

    def difference(self, out: str, err: str, code: int) -> str:
        """What came otherwise than expected, "" if nothing did."""
        if code == self.code and matches(self.out, out) and matches(self.err, err):
            return ""
        got = replace(self, out=tuple(said(out)), err=tuple(said(err)), code=code)
        lines = difflib.ndiff(render_entry(self).splitlines(), render_entry(got).splitlines())
        return "\n".join(line for line in lines if not line.startswith("?"))


@dataclass(frozen=True, slots=True)
class Transcript:
    """One file: `name` is the file's, `title` the heading of its table."""

    name: str
    title: str
    about: str = ""
    entries: tuple[Entry, ...] = field(default=())


def said(text: str) -> Iterator[str]:
    """The lines of an output that hold something."""
    return (line.rstrip() for line in text.splitlines() if line.strip())


def matches(expected: Sequence[str], text: str) -> bool:
    """Whether an output is as expected."""
    wanted = [line for line in expected if line.strip()]
    reached = {0}  # how many of the wanted lines the lines so far may stand for
    for line in (" ".join(each.split()) for each in said(text)):
        reached = {after for at in _skipping(wanted, reached) for after in _taking(wanted, at, line)}
    return len(wanted) in _skipping(wanted, reached)


def _skipping(wanted: Sequence[str], reached: set[int]) -> set[int]:
    """These places, and those behind lines that may stand for none."""
    found = set(reached)
    for at in range(len(wanted)):
        if at in found and wanted[at].strip() == ANY_LINES:
            found.add(at + 1)
    return found


def _taking(wanted: Sequence[str], at: int, line: str) -> set[int]:
    """The places to be in after a line that came."""
    if at == len(wanted):
        return set()
    if wanted[at].strip() == ANY_LINES:
        return {at}
    return {at + 1} if re.fullmatch(_pattern(wanted[at]), line) else set()


def _pattern(line: str) -> str:
    parts = re.split(r"<([a-z]+)>", " ".join(line.split()))
    made = [re.escape(parts[0])]
    for word, text in zip(parts[1::2], parts[2::2], strict=True):
        made.append(f"(?:{PLACEHOLDERS[word]})" if word in PLACEHOLDERS else re.escape(f"<{word}>"))
        made.append(re.escape(text))
    return "".join(made)


def parse(name: str, text: str) -> Transcript:
    """Read a file. Raises ValueError for a line that is none of the above."""
    head, *blocks = re.split(r"\n\s*\n", text.strip())
    title, _, about = head.partition("\n")
    if not title.startswith("# "):
        raise ValueError(f"{name}: the first line is not a title: {title}")
    return Transcript(name, title[2:], about, tuple(_entry(name, block) for block in blocks))


def _entry(name: str, block: str) -> Entry:
    facts: dict[str, object] = {}
    out, err = [], []
    for line in block.splitlines():
        mark, _, rest = line.partition(" ")
        match mark:
            case "%":
                facts |= _directive(rest)
            case "$":
                facts["command"] = rest
            case "!":
                err.append(rest)
            case "?":
                facts["code"] = int(rest)
            case "" if line.startswith("  "):
                out.append(line[2:])
            case _:
                raise ValueError(f"{name}: no part of an entry: {line!r}")
    if "command" not in facts:
        raise ValueError(f"{name}: an entry without a command: {block}")
    return Entry(out=tuple(out), err=tuple(err), **facts)


def _directive(text: str) -> dict[str, object]:
    word, _, rest = text.partition(" ")
    match word:
        case "eventually" | "hidden":
            return {word: True}
        case "since" | "until":
            return {word: tuple(map(int, rest.split(".")))}
        case "refused:" | "note:":
            return {word[:-1]: rest}
        case _:
            raise ValueError(f"no directive: {text}")


def render(transcript: Transcript) -> str:
    """The file again."""
    head = f"# {transcript.title}\n" + (transcript.about + "\n" if transcript.about else "")
    return "\n".join([head, *map(render_entry, transcript.entries)])


def render_entry(entry: Entry) -> str:
    """One entry as it stands in a file."""
    lines = [
        *(f"% {word}: {text}" for word in ("refused", "note") if (text := getattr(entry, word))),
        *([f"% since {'.'.join(map(str, entry.since))}"] if entry.since != (0,) else []),
        *([f"% until {'.'.join(map(str, entry.until))}"] if entry.until != LAST else []),
        *(f"% {word}" for word in ("eventually", "hidden") if getattr(entry, word)),
        f"$ {entry.command}",
        *(f"  {line}" for line in entry.out),
        *(f"! {line}" for line in entry.err),
        *([f"? {entry.code}"] if entry.code else []),
    ]
    return "\n".join(lines) + "\n"


def generalised(text: str, namespace: str) -> tuple[str, ...]:
    """An output as an expectation: what differs from run to run became placeholders. To be read before it is kept."""
    for pattern, placeholder in (
        (re.escape(namespace), "$NS"),
        (PLACEHOLDERS["uid"], "<uid>"),
        (PLACEHOLDERS["time"], "<time>"),
        (PLACEHOLDERS["ip"], "<ip>"),
        (r'(?<=resourceVersion: ")\d+|(?<=resourceVersion":")\d+', "<number>"),
        (r"(?<![-\w.=:])(?:\d+m)?\d+s(?![-\w.])", "<age>"),
        (r"\bn[123]\b", "<node>"),
        (r"\b[0-9a-f]{64}\b", "<hex>"),
        (r"(?<=web-)[a-z0-9]{5,10}(?:-[a-z0-9]{5})?\b", "<suffix>"),
        (r"(?:(?<=kube-api-access-)|(?<=made-))[a-z0-9]{5}\b", "<suffix>"),
        (r"(?<=pod-template-hash=)[a-z0-9]{10}\b", "<suffix>"),
    ):
        text = re.sub(pattern, lambda _, word=placeholder: word, text)
    return tuple(said(text))
