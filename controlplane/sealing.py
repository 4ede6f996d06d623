"""Secrets as they are stored: sealed whole before they enter the log, opened only for whoever reads them.

Each body is encrypted by AES-256-GCM under a data key of its own, which stands beside it, encrypted under one of the
cluster's keys. Both are bound to what the object is called and to its uid, so that no stored body can be passed off as
another object's. The log, snapshots, history, backups and the state itself hold sealed bodies only. Keys come from a
`KeyRing`; this module must not know files, peers or connections.

A sealed body: 0x01, the key's id, nonce and data key under that key, nonce and JSON under the data key. JSON of an object
begins with a brace, so both can be told apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import structs

from api import errors
from controlplane.commands import Change, Envelope, Op, Put, Stored
from controlplane.store.state import State

ACTIVE_KEY_SETTING: Final = "secrets-key-id"
"""The setting that names the key with which Secrets are sealed. Absent: it was not agreed on yet."""

SEALED_RESOURCES: Final = frozenset({"secrets"})
KEY_BYTES: Final = 32

_FORMAT: Final = b"\x01"
_ID_BYTES: Final = 8
_NONCE_BYTES: Final = 12
_WRAPPED_BYTES: Final = KEY_BYTES + 16  # a data key and its tag
_WRAPPED_AT: Final = len(_FORMAT) + _ID_BYTES + _NONCE_BYTES
_NONCE_AT: Final = _WRAPPED_AT + _WRAPPED_BYTES
_CONTENT_AT: Final = _NONCE_AT + _NONCE_BYTES


class NotSealedFor(Exception):
    """A body was changed, or is another object's."""


class Keys(Protocol):
    """The cluster's keys that are at hand."""

    @property
    def newest(self) -> str:
        """The id of the key that was added last, "" if there is none."""

    def get(self, identifier: str) -> bytes | None:
        """The key of an id."""


def key_id(key: bytes) -> str:
    """How a key is named without telling it."""
    return hashlib.sha256(key).hexdigest()[: 2 * _ID_BYTES]


def sealed_with(body: bytes) -> str:
    """The id of the key that a body is sealed with; "" for plain JSON."""
    return body[len(_FORMAT) : len(_FORMAT) + _ID_BYTES].hex() if body.startswith(_FORMAT) else ""


def beginning_of(identifier: str) -> bytes:
    """What every body begins with that is sealed with this key, and nothing else does but by a chance of 2⁻⁷²."""
    return _FORMAT + bytes.fromhex(identifier)


def open_sealed(key: bytes, envelope: Envelope, body: bytes) -> bytes:
    """The JSON of a sealed body. NotSealedFor when it is not this object's, was changed, or is of another key."""
    bound = _bound_to(envelope)
    nonce, wrapped = body[_WRAPPED_AT - _NONCE_BYTES : _WRAPPED_AT], body[_WRAPPED_AT:_NONCE_AT]
    try:
        data_key = AESGCM(key).decrypt(nonce, wrapped, bound)
        return AESGCM(data_key).decrypt(body[_NONCE_AT:_CONTENT_AT], body[_CONTENT_AT:], bound)
    except (InvalidTag, ValueError):
        raise NotSealedFor(f"its body was not sealed for {envelope.key}") from None


def active_key(state: State) -> str:
    """The id of the key that Secrets are sealed with, "" while none was agreed on."""
    return state.setting(ACTIVE_KEY_SETTING).decode()


def keys_needed(state: State) -> frozenset[str]:
    """The ids of all keys that this state cannot be read or written without."""
    bodies = (stored.body for resource in SEALED_RESOURCES for stored in state.each(resource))
    return frozenset(map(sealed_with, bodies)).union({active_key(state)}) - {""}


class Sealing:
    """Seals and opens with the keys at hand. `missing` are those known to be needed and not there."""

    resources: Final = SEALED_RESOURCES

    def __init__(self, replica_id: str, keys: Keys, random_bytes: Callable[[int], bytes]) -> None:
        self._replica_id = replica_id
        self._keys = keys
        self._random_bytes = random_bytes
        self.missing: frozenset[str] = frozenset()

    def sealed(self, ops: Sequence[Op], active: str) -> Sequence[Op]:
        """The operations with every Secret sealed under the key `active`; "": the newest at hand, if there is one.

        Unavailable when that key is not at hand.
        """
        if not any(isinstance(op, Put) and op.envelope.key.resource in SEALED_RESOURCES for op in ops):
            return ops
        identifier = active or self._keys.newest
        return [self._sealed(op, identifier) for op in ops] if identifier else ops

    def opened(self, envelope: Envelope, body: bytes) -> bytes:
        """The JSON of a stored body. Unavailable when it needs a key that is not at hand, or was tampered with."""
        identifier = sealed_with(body)
        if not identifier:
            return body
        try:
            return open_sealed(self._key(identifier), envelope, body)
        except NotSealedFor:
            raise errors.Unavailable(
                f"replica {self._replica_id} holds a body of {envelope.key} that was not sealed for it: "
                "its data were changed; remove this replica and let it join anew"
            ) from None

    def opened_object(self, stored: Stored) -> Stored:
        """An object with its JSON for a body. Unavailable as `opened`."""
        body = self.opened(stored.envelope, stored.body)
        return stored if body is stored.body else structs.replace(stored, body=body)

    def opened_change(self, change: Change) -> Change:
        """A change with JSON for bodies. Unavailable as `opened`."""
        body = self.opened(change.envelope, change.body)
        before = change.previous
        previous_body = None if before is None else self.opened(before.envelope, before.body)
        if body is change.body and previous_body is change.previous_body:
            return change
        return structs.replace(change, body=body, previous_body=previous_body)

    def _sealed(self, op: Op, identifier: str) -> Op:
        if not isinstance(op, Put) or op.envelope.key.resource not in SEALED_RESOURCES or sealed_with(op.body):
            return op
        bound, data_key = _bound_to(op.envelope), self._random_bytes(KEY_BYTES)
        nonces = self._random_bytes(_NONCE_BYTES), self._random_bytes(_NONCE_BYTES)
        wrapped = AESGCM(self._key(identifier)).encrypt(nonces[0], data_key, bound)
        content = AESGCM(data_key).encrypt(nonces[1], op.body, bound)
        body = b"".join((beginning_of(identifier), nonces[0], wrapped, nonces[1], content))
        return structs.replace(op, body=body)

    def _key(self, identifier: str) -> bytes:
        key = self._keys.get(identifier)
        if key is None:
            raise errors.Unavailable(
                f"replica {self._replica_id} lacks key {identifier} of the Secrets: "
                "copy pki/secrets.key from another replica and restart it"
            )
        return key


def _bound_to(envelope: Envelope) -> bytes:
    """What an encryption is bound to. None of these can hold a zero byte."""
    key = envelope.key
    return f"{key.resource}\0{key.namespace}\0{key.name}\0{envelope.uid}".encode()
