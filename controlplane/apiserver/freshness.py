"""How new the state must be that a read is answered from: what requests may ask for, and waiting for it.

It must not know what is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from api.errors import Invalid
from controlplane.replica import Replica


@dataclass(frozen=True, slots=True)
class Freshness:
    """Without either the read is linearizable.

    `stale_seconds`: the state holds everything acknowledged up to so long ago. `not_older_than`: it is of this revision
    or a newer one, 0 for any. Kubernetes writes the latter as resourceVersion with resourceVersionMatch=NotOlderThan.
    """

    stale_seconds: float | None = None
    not_older_than: int | None = None

    def __bool__(self) -> bool:
        return self.stale_seconds is not None or self.not_older_than is not None


LINEARIZABLE: Final = Freshness()


async def wait_fresh(replica: Replica, wanted: Freshness) -> None:
    """Return once the replica's state is as new as wanted. Unavailable, Expired (a revision that is not here), Invalid."""
    if not wanted:
        await replica.read_barrier()
        return
    if wanted.not_older_than:
        await replica.at_least(wanted.not_older_than)
    if wanted.stale_seconds is not None:
        if not (math.isfinite(wanted.stale_seconds) and wanted.stale_seconds >= 0):
            raise Invalid(f"stale_seconds is {wanted.stale_seconds:g}: it must be 0 or more")
        await replica.confirmed_within(wanted.stale_seconds)
