"""What one user may take of a replica, and which users are in one class."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from controlplane.admission.request import ACCOUNTS_GROUP, MASTERS_GROUP, REPLICAS_GROUP, Identity

Level = Literal["own", "nodes", "masters", "accounts", "users"]
"""Classes, each with room of its own, so that no class waits for another; "own" never waits and has no limits."""

LEVELS: Final[tuple[Level, ...]] = ("nodes", "masters", "accounts", "users")
CONTROL_PLANE: Final = "system:control-plane"


class Limits(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`limits` of `server.yaml`; all of them for one user (a service account, a certificate's CN) at one replica.

    `calls` run at a time while other users are about as well, of `calls_alone` while nobody else is; `waiting_calls`
    and `waiting_mebibytes` wait for at most `waiting_seconds`. `watches` may be open, and `streams` (logs, commands,
    forwarded ports, backups). `unread_mebibytes` of events, and as much of large answers over gRPC, may be on their way to
    readers who do not take them yet.
    `connections` may be open to the HTTPS port, from one address rather than of one user.
    """

    calls: int = 24
    calls_alone: int = 512
    waiting_calls: int = 1_024
    waiting_mebibytes: int = 32
    waiting_seconds: float = 15.0
    watches: int = 2_000
    streams: int = 256
    unread_mebibytes: int = 32
    connections: int = 1_024

    def __post_init__(self) -> None:
        """Refuse what would let nothing through."""
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"limits.{name} must be more than 0")


DEFAULTS: Final = Limits()


def level_of(identity: Identity) -> Level:
    """The class of a user. Whoever acts as somebody else is no more than a user, as which names they choose."""
    if identity.impersonator:
        return "users"
    if identity.user == CONTROL_PLANE or REPLICAS_GROUP in identity.groups:
        return "own"
    if identity.node:
        return "nodes"
    if MASTERS_GROUP in identity.groups:
        return "masters"
    return "accounts" if ACCOUNTS_GROUP in identity.groups else "users"
