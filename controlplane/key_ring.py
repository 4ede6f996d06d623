"""The keys of Secrets that a replica holds: one file beside its other keys, outside the data folder.

A line is one key of 32 bytes in base64; the last one is the newest. What was added is on the disk before it is used.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from component.files import write_private
from controlplane.sealing import KEY_BYTES, key_id

RING_FILE: Final = "secrets.key"
"""Its name in the folder of a replica's certificates and keys."""


class KeyRingProblem(Exception):
    """The file cannot be used; the message says what is wrong."""


class KeyRing:
    """The keys of one file, which is written anew at every change. Changes may be made in several threads."""

    def __init__(self, path: Path, keys: Iterable[bytes] = ()) -> None:
        self._path = path
        self._keys = {key_id(key): key for key in keys}
        self._changing = threading.Lock()

    @property
    def newest(self) -> str:
        """The id of the key that was added last, "" if there is none."""
        return next(reversed(self._keys), "")

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all keys, the newest last."""
        return tuple(self._keys)

    def get(self, identifier: str) -> bytes | None:
        """The key of an id."""
        return self._keys.get(identifier)

    def all(self) -> Sequence[bytes]:
        """All keys, the newest last."""
        return tuple(self._keys.values())

    def add(self, keys: Iterable[bytes]) -> Sequence[str]:
        """Add what is not there yet, durably; returns the new ids. Blocks. OSError: nothing was added."""
        fresh = {key_id(key): key for key in keys}
        with self._changing:
            new = [identifier for identifier in fresh if identifier not in self._keys]
            if new:
                self._replace({**self._keys, **{identifier: fresh[identifier] for identifier in new}})
        return new

    def remove(self, identifiers: Iterable[str]) -> None:
        """Forget keys, durably. Blocks. OSError: nothing was removed."""
        gone = set(identifiers)
        with self._changing:
            self._replace({identifier: key for identifier, key in self._keys.items() if identifier not in gone})

    def _replace(self, keys: dict[str, bytes]) -> None:
        write_private(self._path, encode(keys.values()), durable=True)
        self._keys = keys


def open_ring(path: Path) -> KeyRing:
    """The ring of a file; an empty one if there is none. KeyRingProblem, OSError."""
    if not path.exists():
        return KeyRing(path)
    return KeyRing(path, decode(path.read_bytes(), str(path)))


def encode(keys: Iterable[bytes]) -> bytes:
    """The content of a file."""
    return b"".join(base64.b64encode(key) + b"\n" for key in keys)


def decode(content: bytes, path: str) -> list[bytes]:
    """The keys of a file that was read from `path`. KeyRingProblem."""
    keys = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            key = base64.b64decode(line.strip(), validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise KeyRingProblem(f"{path}: line {number} is no key: {KEY_BYTES} bytes in base64")
        keys.append(key)
    return keys
