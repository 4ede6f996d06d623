"""The command with which a cluster that was restored or recovered goes on, one incarnation later.

It knows neither where the state comes from nor how the entry gets into the log.
"""

from __future__ import annotations

from typing import Final

from component.env import Env
from controlplane.commands import (
    ID_BYTES,
    RaiseLevel,
    StartIncarnationAt,
    Transaction,
    encode_entry,
    encode_transaction,
)
from controlplane.level import KNOWN_LEVEL

MILLISECONDS: Final = 1_000  # of a second
MICROSECONDS: Final = 1_000_000


def starting_entry(env: Env) -> bytes:
    """The log entry that starts an incarnation now, by this machine's clock.

    It raises the level, whatever it was: the only replica is this program, and who joins later must know that operation.
    """
    now = env.now()
    ops = (RaiseLevel(KNOWN_LEVEL), StartIncarnationAt(int(now * MICROSECONDS)))
    command = Transaction(env.rng.randbytes(ID_BYTES), ops)
    return encode_entry((encode_transaction(command),), int(now * MILLISECONDS))
