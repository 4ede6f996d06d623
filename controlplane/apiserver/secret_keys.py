"""What replicas tell each other, and administrators ask, about the keys of Secrets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import grpc
import structlog

from api.errors import Invalid, NotReady
from api.v1 import apiserver_pb2 as pb
from api.v1 import raft_pb2
from component.rpc_server import Context
from controlplane.key_ring import KeyRing
from controlplane.key_uses import key_uses
from controlplane.replica import Replica
from controlplane.sealing import KEY_BYTES, SEALED_RESOURCES, active_key, sealed_with

KEYS_AT_ONCE: Final = 64
SETTLING_SECONDS: Final = 10.0
"""Longer than a write may be under way that was encrypted with the key before."""

log = structlog.get_logger()


class KeyDesk:
    """One replica's own keys. `folders` hold its log and snapshots."""

    def __init__(self, ring: KeyRing, replica: Replica, folders: Sequence[Path]) -> None:
        self._ring = ring
        self._replica = replica
        self._folders = folders

    async def share(self, request: raft_pb2.SecretsKeys) -> raft_pb2.SecretsKeys:
        """Keep these keys durably, then answer with all. Invalid; OSError: they cannot be kept."""
        if len(request.keys) > KEYS_AT_ONCE or any(len(key) != KEY_BYTES for key in request.keys):
            raise Invalid(f"keys of Secrets have {KEY_BYTES} bytes, and at most {KEYS_AT_ONCE} come at once")
        added = await asyncio.to_thread(self._ring.add, list(request.keys))
        if added:
            log.info("secrets_keys_received", keys=added)
        return raft_pb2.SecretsKeys(keys=self._ring.all())

    async def uses(self) -> raft_pb2.KeyUsesReply:
        """All keys here with what needs them here. OSError."""
        active = active_key(self._replica.state)
        found = await key_uses(self._replica, self._folders, self._ring.ids)
        uses = [raft_pb2.KeyUsesReply.Use(key=key, needed_by=places) for key, places in found.items()]
        return raft_pb2.KeyUsesReply(active=active, uses=uses)

    async def forget(self, keys: Iterable[str]) -> None:
        """Forget keys. NotReady: something here needs one. OSError."""
        gone = [key for key in keys if key in self._ring.ids]
        for key, places in (await key_uses(self._replica, self._folders, gone)).items():
            if places:
                raise NotReady(f"key {key} is still needed here: {', '.join(places)}")
        await asyncio.to_thread(self._ring.remove, gone)
        if gone:
            log.info("secrets_keys_forgotten", keys=gone)


class KeyPeers(Protocol):
    """The other replicas."""

    async def key_uses(self, replica: str) -> raft_pb2.KeyUsesReply | None:
        """What of a peer's data needs which keys, None when it does not answer."""

    async def forget_keys(self, replica: str, keys: Sequence[str]) -> None:
        """Let a peer forget keys. NotReady, Unavailable."""


class SecretsDesk:
    """Shows, changes and retires the cluster's keys; `use` seals with a key from now on, `others` are the other members."""

    def __init__(
        self,
        replica: Replica,
        own: KeyDesk,
        peers: KeyPeers,
        others: Callable[[], Collection[str]],
        use: Callable[[bytes], Awaitable[str]],
        random_bytes: Callable[[int], bytes],
        settling_seconds: float = SETTLING_SECONDS,
    ) -> None:
        self._replica = replica
        self._own = own
        self._peers = peers
        self._others = others
        self._use = use
        self._random_bytes = random_bytes
        self._settling_seconds = settling_seconds

    async def show(self, request: pb.SecretsKeysRequest, context: Context) -> pb.SecretsKeysResponse:
        """SecretsKeys."""
        del request, context
        await self._replica.read_barrier()
        return self._response(await self._gathered())

    async def rotate(self, request: pb.SecretsKeysRequest, context: Context) -> pb.SecretsKeysResponse:
        """RotateSecretsKey."""
        del request, context
        await self._replica.read_barrier()
        if not active_key(self._replica.state):
            raise NotReady("Secrets are not encrypted yet: that begins once every replica can, see `tim replica list`")
        await self._use(self._random_bytes(KEY_BYTES))
        return self._response(await self._gathered())

    async def retire(self, request: pb.SecretsKeysRequest, context: Context) -> pb.SecretsKeysResponse:
        """RetireSecretsKeys. Nobody encrypts with an earlier key once all know the new one; what is under way ends then."""
        del request, context
        await self._replica.read_barrier()
        before = await self._gathered()
        active = active_key(self._replica.state)
        silent = [replica for replica, uses in before.items() if uses is None or uses.active != active]
        if silent:
            raise NotReady(
                f"replica {', '.join(silent)} does not answer or is behind: start it, or remove it, then retry"
            )
        response = self._response(before)
        idle = [key.id for key in response.keys if not key.active and not key.needed_by]
        if not idle:
            return response
        await asyncio.sleep(self._settling_seconds)
        await self._own.forget(idle)
        for replica in sorted(self._others()):
            await self._peers.forget_keys(replica, idle)
        response = self._response(await self._gathered())
        response.forgotten.extend(idle)
        return response

    async def _gathered(self) -> Mapping[str, raft_pb2.KeyUsesReply | None]:
        others = sorted(self._others())
        answers = await asyncio.gather(self._own.uses(), *(self._peers.key_uses(replica) for replica in others))
        return dict(zip((self._replica.replica_id, *others), answers, strict=True))

    def _response(self, gathered: Mapping[str, raft_pb2.KeyUsesReply | None]) -> pb.SecretsKeysResponse:
        state = self._replica.state
        counted = Counter(sealed_with(stored.body) for each in SEALED_RESOURCES for stored in state.each(each))
        needed: dict[str, dict[str, list[str]]] = {}
        for replica, reply in sorted(gathered.items()):
            for use in reply.uses if reply is not None else ():
                places = needed.setdefault(use.key, {})
                for place in use.needed_by:
                    places.setdefault(place, []).append(replica)
        active = active_key(state)
        keys = [
            pb.SecretsKeysResponse.Key(
                id=key,
                active=key == active,
                secrets=counted[key],
                needed_by=[f"{place} of {', '.join(replicas)}" for place, replicas in places.items()],
            )
            for key, places in needed.items()
        ]
        silent = sorted(replica for replica, reply in gathered.items() if reply is None)
        return pb.SecretsKeysResponse(keys=keys, plain=counted[""], silent=silent)

    def handlers(self) -> Mapping[str, Any]:
        """The methods of the API."""
        methods = {"SecretsKeys": self.show, "RotateSecretsKey": self.rotate, "RetireSecretsKeys": self.retire}
        return {
            name: grpc.unary_unary_rpc_method_handler(
                method, pb.SecretsKeysRequest.FromString, pb.SecretsKeysResponse.SerializeToString
            )
            for name, method in methods.items()
        }
