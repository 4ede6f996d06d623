"""Keeping Secrets sealed: keys that are missing here are asked for, and the leader rewrites what is not as it should be.

Which key is used is a setting of the replicated state; the key itself goes from replica to replica, and is on the disk of
every member before it is used. Runs in every API process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

import structlog

from api import errors
from component.env import Env
from controlplane.commands import Check, CommitRefused, Key, Put, Set, Stored
from controlplane.key_ring import KeyRing
from controlplane.level import SEALING_LEVEL
from controlplane.replica import Replica
from controlplane.sealing import (
    ACTIVE_KEY_SETTING,
    KEY_BYTES,
    SEALED_RESOURCES,
    Sealing,
    active_key,
    key_id,
    keys_needed,
    sealed_with,
)
from controlplane.store.state import State

PERIOD_SECONDS: Final = 1.0
REWRITTEN_AT_ONCE: Final = 20
SHOWN: Final = 10  # names in a line of the log
ACTOR: Final = "system:control-plane"

log = structlog.get_logger()


class KeyPeers(Protocol):
    """The way to other replicas."""

    async def share_keys(self, replica: str, keys: Sequence[bytes]) -> Sequence[bytes] | None:
        """Give a peer keys; returns all that it has, None when it does not answer."""


_Point = tuple[State, tuple[int, ...], str]


def _point(state: State) -> _Point:
    """Differs whenever a Secret, or the key in use, has changed."""
    return state, tuple(map(state.changes, sorted(SEALED_RESOURCES))), active_key(state)


class SealingLoop:
    """`others` are the other members now, learners too."""

    def __init__(
        self,
        replica: Replica,
        ring: KeyRing,
        sealing: Sealing,
        peers: KeyPeers,
        others: Callable[[], Collection[str]],
        env: Env,
    ) -> None:
        self._replica = replica
        self._ring = ring
        self._sealing = sealing
        self._peers = peers
        self._others = others
        self._env = env
        self._unwritable: set[Key] = set()
        self._told: set[Key] = set()  # those of them that the log names
        self._complete_at: _Point | None = None  # nothing was missing there
        self._rewritten_at: _Point | None = None  # everything was looked at there

    async def run(self) -> None:
        """Until cancelled."""
        told = ""
        while True:
            try:
                await self.look()
                told = ""
            except (errors.ApiError, OSError) as error:
                if told != str(error):
                    log.info("sealing_delayed", reason=str(error))
                told = str(error)
            await asyncio.sleep(PERIOD_SECONDS)

    async def look(self) -> None:
        """Once. ApiError, OSError: what is left is done the next time."""
        point = _point(self._replica.state)
        if point != self._complete_at:
            await self._complete(keys_needed(self._replica.state))
            self._complete_at = None if self._sealing.missing else point
        if self._sealing.missing or not self._replica.status.leading:
            return
        if not active_key(self._replica.state) and self._replica.state.level >= SEALING_LEVEL:
            await self.use(self._ring.all()[-1] if self._ring.ids else self._env.rng.randbytes(KEY_BYTES))
        point = _point(self._replica.state)
        if active_key(self._replica.state) and (point != self._rewritten_at or self._unwritable):
            await self._rewrite()
            self._rewritten_at = point

    async def use(self, key: bytes) -> str:
        """Seal with this key from now on, wherever Secrets are written; returns its id.

        NotReady when a member cannot be given it, Unavailable and Unknown as any write; OSError when it cannot be kept.
        """
        await asyncio.to_thread(self._ring.add, [key])
        others = sorted(self._others())
        answers = await asyncio.gather(*(self._peers.share_keys(replica, [key]) for replica in others))
        silent = [replica for replica, held in zip(others, answers, strict=True) if held is None or key not in held]
        if silent:
            raise errors.NotReady(
                f"replica {', '.join(silent)} does not take the key of Secrets: start it, or remove it, then retry"
            )
        await self._replica.commit((Set(ACTIVE_KEY_SETTING, key_id(key).encode()),), actor=ACTOR)
        log.info("secrets_key_used", key=key_id(key))
        return key_id(key)

    async def _complete(self, needed: frozenset[str]) -> None:
        """Ask the others for what is missing; what stays so is told once."""
        missing = needed.difference(self._ring.ids)
        for replica in sorted(self._others()) if missing else ():
            found = await self._peers.share_keys(replica, []) or ()
            added = await asyncio.to_thread(self._ring.add, [key for key in found if key_id(key) in missing])
            if added:
                log.info("secrets_keys_received", keys=added, replica=replica)
            missing = needed.difference(self._ring.ids)
        if missing and missing != self._sealing.missing:
            log.error(
                "secrets_keys_missing",
                keys=sorted(missing),
                remedy="start a replica that has them, or copy its pki/secrets.key here and restart",
            )
        self._sealing.missing = missing

    async def _rewrite(self) -> None:
        """Put what is not sealed with the active key anew, unchanged, a few objects at a time."""
        state, active = self._replica.state.clone(), active_key(self._replica.state)
        stale = [
            stored
            for resource in sorted(SEALED_RESOURCES)
            for stored in state.each(resource)
            if sealed_with(stored.body) != active
        ]
        self._unwritable.clear()
        for start in range(0, len(stale), REWRITTEN_AT_ONCE):
            await asyncio.gather(*map(self._rewrite_one, stale[start : start + REWRITTEN_AT_ONCE]))
        if rewritten := len(stale) - len(self._unwritable):
            log.info("secrets_rewritten", key=active, count=rewritten)
        if self._unwritable != self._told:
            self._told = set(self._unwritable)
            log.info("secrets_not_rewritten", key=active, secrets=sorted(map(str, self._told))[:SHOWN])

    async def _rewrite_one(self, stored: Stored) -> None:
        envelope = stored.envelope
        try:
            put = Put(envelope, self._sealing.opened(envelope, stored.body))
            await self._replica.commit((Check(envelope.key, envelope.uid, stored.revision), put), actor=ACTOR)
        except (CommitRefused, errors.ApiError) as error:  # changed meanwhile, or at the next look
            self._unwritable.add(envelope.key)
            log.debug("secret_not_rewritten", secret=str(envelope.key), reason=str(error))
