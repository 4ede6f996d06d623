"""Which files are the client configuration, read as one: $KUBECONFIG may name several, of which the first that says a thing wins.

The merging rules are kubectl's. Which of the files a change belongs to is told here, too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from component import kubeconfig

_SECTIONS = ("clusters", "users", "contexts")
_PATHS = {"clusters": ("cluster", ["certificate-authority"]), "users": ("user", ["client-certificate", "client-key"])}


def chosen_paths(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """$TIMCONFIG, ~/.tim/config if it exists, all of $KUBECONFIG, else ~/.tim/config. At least one."""
    own = kubeconfig.default_path(environ)
    listed = kubeconfig.listed_paths(environ)
    if environ.get("TIMCONFIG") or own not in listed[:1]:
        return (own,)
    return tuple(dict.fromkeys(listed))


def read(paths: Sequence[Path]) -> tuple[dict[str, Any], Path]:
    """The configuration, and what to call it in messages; of several files those that are missing are left out.

    Paths inside of several files are absolute. KubeconfigProblem when none is there, or one cannot be used.
    """
    there = [path for path in paths if path.exists()] or list(paths[:1])
    if len(there) == 1:
        return kubeconfig.read(there[0]), there[0]
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", **{section: [] for section in _SECTIONS}}
    for path in there:
        tree = kubeconfig.read(path)
        for section in _SECTIONS:
            known = {each["name"] for each in merged[section]}
            found = [each for each in kubeconfig.entries(tree, section) if each["name"] not in known]
            merged[section] += [_absolute(each, section, path.parent) for each in found]
        if not merged.get("current-context") and tree.get("current-context"):
            merged["current-context"] = tree["current-context"]
    return merged, Path(os.pathsep.join(map(str, there)))


def holder(paths: Sequence[Path], section: str, name: str) -> Path:
    """The file that has the entry, as `read` finds it; the one for new entries when none has it. KubeconfigProblem."""
    there = [path for path in paths if path.exists()]
    for path in there:
        if any(each["name"] == name for each in kubeconfig.entries(kubeconfig.read(path), section)):
            return path
    return there[0] if there else paths[0]


def holder_of_current(paths: Sequence[Path]) -> Path:
    """The file that says the current context, else the first. KubeconfigProblem."""
    there = [path for path in paths if path.exists()]
    for path in there:
        if kubeconfig.read(path).get("current-context"):
            return path
    return there[0] if there else paths[0]


def _absolute(entry: dict[str, Any], section: str, folder: Path) -> dict[str, Any]:
    field, names = _PATHS.get(section, ("", []))
    inside = entry.get(field)
    if not isinstance(inside, dict):
        return entry
    changed: dict[str, Any] = {name: str((folder / str(inside[name])).absolute()) for name in names if name in inside}
    program = inside.get("exec")
    if isinstance(program, dict) and "/" in str(program.get("command", "")):
        changed["exec"] = {**program, "command": str((folder / program["command"]).absolute())}
    return {**entry, field: {**inside, **changed}}
