"""Who leads on both sides of a comparison, and making it so again after a machine that stood still changed it.

Clients stay with the leaders they began at, so figures taken at another member would be of something else.
"""

from __future__ import annotations

from api.errors import ApiError
from bench.etcd import Etcd
from bench.replicas import Replicas, leading
from bench.report import until

RESTORE_SECONDS = 60.0


class Leaders:
    """The leaders of our replicas and of etcd as they were when this was made."""

    def __init__(self, replicas: Replicas, ours: str, etcd: Etcd, theirs: str) -> None:
        self._replicas, self.ours = replicas, ours
        self._etcd, self.theirs = etcd, theirs

    async def unchanged(self) -> bool:
        """Whether both still lead; False, too, while nobody does or members are away."""
        try:
            async with self._replicas.client() as client:
                return (await leading(client, RESTORE_SECONDS), await self._etcd.leader()) == (self.ours, self.theirs)
        except ApiError:
            return False

    async def restore(self) -> None:
        """Have them lead again; SystemExit when that cannot be had."""
        await until(self._restored, RESTORE_SECONDS, "the same leaders as at the beginning")

    async def _restored(self) -> bool:
        if await self.unchanged():
            return True
        await self._etcd.move_leader(self.theirs)
        async with self._replicas.client() as client:
            try:
                await client.transfer_leadership(self.ours)
            except ApiError:  # it leads already, or nobody does at the moment
                return False
        return False
