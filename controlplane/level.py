"""The cluster level: what every member knows, so that it may be used.

It is part of the replicated state, raised by the leader's command once every member advertises the higher level, or by a
restore or recovery, after which there is one member; it never falls. A release that brings an operation, a kind or a
field raises `KNOWN_LEVEL` by one and lists it here, or, an operation, in `commands.OPERATION_LEVELS`. Until the cluster
is at that level its use is refused, at the edge and where it would be proposed; a replica that met it all the same would
stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from api import errors
from api.scheme import ADMISSION, DEFINITIONS, RBAC
from controlplane.commands import OPERATION_LEVELS, Op, Put

KNOWN_LEVEL: Final = 3
"""The highest level that this program knows."""

FIRST_LEVEL: Final = 1
"""What the first release knows; nothing of it needs to wait for the command that says so."""

SEALING_LEVEL: Final = 2
"""From this level on every member can read sealed Secrets, so that a cluster made before may begin to seal them."""

KIND_LEVELS: Final[Mapping[str, int]] = {
    f"roles.{RBAC}": 2,
    f"clusterroles.{RBAC}": 2,
    f"rolebindings.{RBAC}": 2,
    f"clusterrolebindings.{RBAC}": 2,
    DEFINITIONS: 2,
    "endpoints": 2,
    "limitranges": 2,
    "resourcequotas": 2,
    "priorityclasses.scheduling.k8s.io": 2,
    f"mutatingwebhookconfigurations.{ADMISSION}": 2,
    f"validatingwebhookconfigurations.{ADMISSION}": 2,
}
"""Kinds that need a level above the first, by plural.group."""

FIELD_LEVELS: Final[Mapping[tuple[str, str], int]] = {}
"""Fields that need a level above the first, by plural.group and path: ("pods", "spec.containers[].image").

`[]` stands for every item of a list. A field in pod templates has a row for each kind that has one.
"""

_decode = msgspec.json.Decoder().decode


class TooNew(Exception):
    """The data are of a cluster level that this program does not know: it must end, and a newer one must be installed."""


@dataclass(frozen=True)
class Levels:
    """What needs which level."""

    operations: Mapping[type[Op], int] = field(default_factory=lambda: OPERATION_LEVELS)
    kinds: Mapping[str, int] = field(default_factory=lambda: KIND_LEVELS)
    fields: Mapping[tuple[str, str], int] = field(default_factory=lambda: FIELD_LEVELS)

    @property
    def highest(self) -> int:
        """From this level on nothing needs to be looked at."""
        return max((*self.operations.values(), *self.kinds.values(), *self.fields.values()), default=FIRST_LEVEL)


class LevelGate:
    """Refuses what is above the cluster's level, and says which replicas hold it back."""

    def __init__(self, level: Callable[[], int], levels: Levels | None = None) -> None:
        self._level = level
        self._levels = levels or Levels()
        self._highest = self._levels.highest
        self._known: Mapping[str, int] = {}

    def observe(self, known: Mapping[str, int]) -> None:
        """Take note of the level that each member said it knows; 0 for one that did not answer."""
        self._known = known

    def check(self, ops: Sequence[Op]) -> None:
        """Raise NotReady for the first operation that some replica could not apply, or whose object it does not know."""
        level = max(self._level(), FIRST_LEVEL)
        if level >= self._highest:
            return
        for op in ops:
            for what, needed in self._needs(op):
                if needed > level:
                    raise errors.NotReady(
                        f"{what} needs cluster level {needed}, the cluster is at {level}: {self._held_back(needed)}"
                    )

    def _needs(self, op: Op) -> Iterable[tuple[str, int]]:
        yield f"operation {type(op).__name__}", self._levels.operations[type(op)]
        if isinstance(op, Put):
            resource = op.envelope.key.resource
            yield f"kind {resource}", self._levels.kinds.get(resource, FIRST_LEVEL)
            paths = [(path, level) for (kind, path), level in self._levels.fields.items() if kind == resource]
            tree = _decode(op.body) if paths else {}
            for path, level in paths:
                if _present(tree, path.split(".")):
                    yield f"field {path} of {resource}", level

    def _held_back(self, needed: int) -> str:
        old = [f"replica {name} knows only level {level}" for name, level in self._known.items() if 0 < level < needed]
        silent = [f"replica {name} does not answer" for name, level in self._known.items() if not level]
        if not old and not silent:
            return "upgrade every replica, then retry"
        remedy = "upgrade it" if len(old) == 1 else "upgrade them"
        return ", ".join((*old, *silent)) + (f": {remedy}, then retry" if old else ": start or remove it, then retry")


def check_known(level: int) -> None:
    """Raise TooNew when this program is too old for a state of that level."""
    if level > KNOWN_LEVEL:
        raise TooNew(
            f"the cluster is at level {level}, this program knows {KNOWN_LEVEL}: "
            "install the version that the other replicas run"
        )


def _present(tree: Any, steps: Sequence[str]) -> bool:
    if not steps:
        return True
    name, items, _ = steps[0].partition("[]")
    if not isinstance(tree, dict) or name not in tree:
        return False
    found = tree[name]
    if not items:
        return _present(found, steps[1:])
    return isinstance(found, list) and any(_present(each, steps[1:]) for each in found)
