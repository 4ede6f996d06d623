"""The cluster level: which operations every member knows, so that they may be used.

It is part of the replicated state, raised by the leader's command once every member advertises the higher level, and
never falls. A release that adds an operation which older replicas cannot apply raises `KNOWN_LEVEL` by one and lists the
operation in `OPERATION_LEVELS`. Until the level is there it is refused where it would be proposed; a replica that met it
all the same would stop (`UnknownCommandVersion`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from api import errors
from controlplane.commands import Op

KNOWN_LEVEL: Final = 1
"""The highest level that this program knows."""

OPERATION_LEVELS: Final[Mapping[type[Op], int]] = {}
"""Operations that need a level above the first release's."""


def check_operations(ops: Iterable[Op], level: int, levels: Mapping[type[Op], int] = OPERATION_LEVELS) -> None:
    """Raise NotReady when one of them is above the cluster's level: some replica could not apply it."""
    if not levels:
        return
    for op in ops:
        needed = levels.get(type(op), 0)
        if needed > level:
            raise errors.NotReady(
                f"{type(op).__name__} needs cluster level {needed}, the cluster is at {level}: upgrade every replica first"
            )
