"""What replicas tell each other about the keys of Secrets."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from api.errors import Invalid
from api.v1 import raft_pb2
from controlplane.key_ring import KeyRing
from controlplane.sealing import KEY_BYTES

KEYS_AT_ONCE: Final = 64

log = structlog.get_logger()


class KeyDesk:
    """Takes keys in, and answers with those that are here."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    async def share(self, request: raft_pb2.SecretsKeys) -> raft_pb2.SecretsKeys:
        """Keep these keys durably, then answer with all. Invalid; OSError: they cannot be kept."""
        if len(request.keys) > KEYS_AT_ONCE or any(len(key) != KEY_BYTES for key in request.keys):
            raise Invalid(f"keys of Secrets have {KEY_BYTES} bytes, and at most {KEYS_AT_ONCE} come at once")
        added = await asyncio.to_thread(self._ring.add, list(request.keys))
        if added:
            log.info("secrets_keys_received", keys=added)
        return raft_pb2.SecretsKeys(keys=self._ring.all())
