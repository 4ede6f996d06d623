"""Certificates that count no more, by serial number or by name: kept as claims of the replicated state.

A name's revocation ends every certificate that was issued for it until then; one issued later counts. An entry is kept until
the certificates it is about have expired. This module must not know connections.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from api.errors import Unauthenticated
from component.env import rfc3339
from component.pki import BACKDATE_SECONDS, Subject
from controlplane.commands import Claim, Op, Release
from controlplane.store.state import State

SPACE: Final = "revoked-certificates"
LONGEST_SECONDS: Final = 10 * 366 * 24 * 3600.0  # that any certificate of the cluster is good for
LIMIT: Final = 10_000

_BY_NAME: Final = "name/"
_BY_SERIAL: Final = "serial/"


class Revocation(msgspec.Struct, frozen=True):
    """Who revoked it and when; after `expires_time` it can be forgotten. Seconds since the epoch."""

    by: str
    time: float
    expires_time: float


def revoking(value: str, revocation: Revocation) -> Sequence[Op]:
    """The operations that record a revocation, in place of an earlier one. `value` comes from `of_name` or `of_serial`."""
    return Release(SPACE, value), Claim(SPACE, value, msgspec.json.encode(revocation).decode())


def of_name(name: str) -> str:
    """What stands for all certificates of a name, which is the CN of their subject."""
    return _BY_NAME + name


def of_serial(serial: str) -> str:
    """What stands for one certificate; `serial` is hexadecimal, as `openssl x509 -serial` prints it."""
    return _BY_SERIAL + serial.replace(":", "").lower().lstrip("0")


def recorded(state: State) -> Mapping[str, Revocation]:
    """All revocations."""
    return {value: msgspec.json.decode(owner, type=Revocation) for value, owner in state.claims(SPACE)}


def expired(state: State, now: float) -> Sequence[Op]:
    """The operations that forget what is about certificates that have expired anyway."""
    return [Release(SPACE, value) for value, each in recorded(state).items() if each.expires_time < now]


class Revocations:
    """What is revoked in the replica's own state; read again whenever a claim changed."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state
        self._read_at: tuple[State | None, int] = None, -1
        self._recorded: Mapping[str, Revocation] = {}

    @property
    def point(self) -> tuple[State | None, int]:
        """Differs whenever what is revoked may have changed."""
        state = self._state()
        return state, state.claim_changes

    def check(self, subject: Subject) -> None:
        """Raise Unauthenticated for a certificate that counts no more."""
        if self.point != self._read_at:
            self._read_at, self._recorded = self.point, recorded(self._state())
        if not self._recorded:
            return
        found = self._recorded.get(of_serial(subject.serial))
        named = self._recorded.get(of_name(subject.common_name))
        if found is None and named is not None and subject.not_before + BACKDATE_SECONDS <= named.time:
            found = named
        if found is not None:
            raise Unauthenticated(
                f'this certificate of "{subject.common_name}" was revoked at {rfc3339(found.time)}: '
                "an administrator can issue a new one"
            )
