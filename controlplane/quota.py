"""How much all objects together may take: what the configuration says becomes state, where every replica obeys it.

Past it nothing new is created; changes of what exists may use a reserve above it, and deletes always pass.
"""

from __future__ import annotations

from controlplane.commands import QUOTA_SETTING, Set
from controlplane.replica import Replica


async def settle_quota(replica: Replica, mebibytes: int, epoch: int) -> None:
    """Make this the cluster's quota, as the leader of `epoch`; nothing is written when it is that already."""
    wanted = b"%d" % (mebibytes << 20)
    if replica.state.setting(QUOTA_SETTING) != wanted:
        await replica.commit([Set(QUOTA_SETTING, wanted)], epoch=epoch)
