"""What `tim cp` copies between: a path of this machine, or one in a container. Pure."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from cli.mistakes import Misused


@dataclass(frozen=True, slots=True)
class Place:
    """A path; `pod` is "" for one of this machine, `namespace` for the default one."""

    path: str
    pod: str = ""
    namespace: str = ""


def place_of(word: str) -> Place:
    """What `[[NAMESPACE/]POD:]PATH` means. Misused.

    A word with a colon is a pod's; `./a:b` is a file of that name, and so is what begins with a slash.
    """
    before, colon, path = word.partition(":")
    if not colon or before[:1] in {"/", "."}:
        if not word:
            raise Misused("an empty path")
        return Place(word)
    namespace, _, pod = before.rpartition("/")
    if not pod or not path or "/" in namespace:
        raise Misused(f"{word!r} is no place in a pod: [NAMESPACE/]POD:PATH")
    return Place(path, pod, namespace)


def checked(source: Place, target: Place) -> None:
    """Raise Misused unless exactly one of them is in a pod."""
    if bool(source.pod) == bool(target.pod):
        where = "between two pods" if source.pod else "within this machine"
        raise Misused(f"nothing is copied {where}: one of the two must be POD:PATH")


def parted(path: str) -> tuple[str, str]:
    """The folder and the name of a path in a container; the name of a root is "." ."""
    clean = posixpath.normpath(path)
    folder, name = posixpath.split(clean)
    if name in {"", ".", ".."}:
        return clean, "."
    return folder or ".", name
