"""What checkers look at: plain rows of what was asked, answered, changed and seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ADDED, MODIFIED, DELETED = 1, 2, 3

Outcome = Literal["ok", "refused", "unavailable", "unknown", "open"]
Verb = Literal["create", "update", "patch", "apply", "delete", "get", "past", "list"]


@dataclass(frozen=True, slots=True)
class Row:
    """One object change as every replica must have applied it. `time` is when the first one did."""

    revision: int
    type: int
    resource: str
    name: str
    uid: str
    token: str
    time: float


@dataclass(slots=True)
class Asked:
    """One request of a client, however often it was sent. `token` marks what a write stores; `precondition` is a revision it requires, 0 none.

    A "past" is a get at the revision `precondition`. `revision` and `seen` are the answer: of a write its revision, of a get the object's (0: not found) and its token,
    of a list the list's and {name: (revision, token)}.
    """

    client: str
    verb: Verb
    name: str
    invoke_time: float
    token: str = ""
    uid: str = ""
    precondition: int = 0
    return_time: float = float("inf")
    outcome: Outcome = "open"
    reason: str = ""
    revision: int = 0
    seen: object = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One watch event."""

    revision: int
    type: int
    name: str
    token: str


@dataclass(slots=True)
class Watched:
    """What one watcher saw of a resource between lists: everything after `start` up to `end`, and nothing else."""

    watcher: str
    resource: str
    start: int
    events: list[Seen] = field(default_factory=list)
    end: int = 0  # up to which it was told that it has seen everything
