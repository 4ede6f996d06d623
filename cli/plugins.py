"""Programs called tim-NAME on the path, which `tim NAME` runs as kubectl runs kubectl-NAME; and commands there are not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

PREFIX = "tim-"
OWN_PROGRAMS = frozenset({"tim-agent", "tim-server"})
"""Programs of this product that are called alike."""

INSTEAD = {
    "autoscale": "there are no HorizontalPodAutoscalers in this version; `tim scale` sets the number of pods",
    "certificate": "certificates are signed by `tim pki user`, and renewed by themselves",
    "cluster-info": "`tim status` shows the replicas, `tim get svc -n kube-system` services of the cluster",
    "kustomize": "build manifests with another program, then `... | tim apply -f -`",
    "options": "`tim --help` lists the options of all commands",
    "proxy": "`tim port-forward` reaches pods; kubectl can make a proxy to the API with the same configuration",
    "top": "there are no metrics of resources in this version; `tim describe node` shows what is requested",
}
"""kubectl's commands that are not here -> what helps."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A program on the path, and what is wrong with it, "" if nothing."""

    path: Path
    problem: str = ""


def run_if_there_is_one(ctx: click.Context, words: Sequence[str]) -> None:
    """Become the program that most of the leading words name, with the other words; return when there is none."""
    found = longest_match(words, os.environ.get("PATH", ""))
    if found is None:
        return
    if any(name.startswith("timonier.") for name in ctx.meta):
        ctx.fail(f"{words[0]} is a plugin: options stand behind its name")
    path, rest = found
    sys.stdout.flush()
    try:
        os.execv(path, [str(path), *rest])  # noqa: S606 - the words are the user's own, and need no shell
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error


def longest_match(words: Sequence[str], search_path: str) -> tuple[Path, list[str]] | None:
    """The program for as many words as there is one for, and the words left: `a b-c d` may be tim-a-b_c."""
    names: list[str] = []
    for word in words:
        if word.startswith("-") or "/" in word or not word:
            break
        names.append(word.replace("-", "_"))
    for count in range(len(names), 0, -1):
        program = PREFIX + "-".join(names[:count])
        for folder in _folders(search_path):
            path = folder / program
            if program not in OWN_PROGRAMS and path.is_file() and os.access(path, os.X_OK):
                return path, list(words[count:])
    return None


def listed(search_path: str, built_in: Sequence[str]) -> Iterator[Plugin]:
    """Every program that could be a plugin, in the order of the path."""
    seen: dict[str, Path] = {}
    for folder in _folders(search_path):
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        for path in entries:
            if not path.name.startswith(PREFIX) or path.name in OWN_PROGRAMS or path.is_dir():
                continue
            first = path.name.removeprefix(PREFIX).split("-")[0].replace("_", "-")
            if not os.access(path, os.X_OK):
                yield Plugin(path, "it is not executable")
            elif path.name in seen:
                yield Plugin(path, f"{seen[path.name]} comes first")
            elif first in built_in:
                yield Plugin(path, f"`tim {first}` is a command of tim's own")
            else:
                yield Plugin(path)
            seen.setdefault(path.name, path)


def _folders(search_path: str) -> Iterator[Path]:
    for folder in dict.fromkeys(filter(None, search_path.split(os.pathsep))):
        yield Path(folder)
