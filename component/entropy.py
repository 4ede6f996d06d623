"""Randomness of the system, taken in large pieces: a system call for every uid is dearer than the uid.

It must not know what is made of it; keys may be.
"""

from __future__ import annotations

import os
import random
import threading
from typing import Final

_TAKEN_BYTES: Final = 4096
_UID_BYTES: Final = 16
_VARIANTS: Final = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


class Entropy(random.SystemRandom):
    """A `random.Random` on `os.urandom`, made once in a process. Neither threads nor a forked process get the same again."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._drop()
        os.register_at_fork(after_in_child=self._drop)

    def _drop(self) -> None:
        self._taken, self._used = b"", 0

    def randbytes(self, n: int) -> bytes:
        """Return `n` random bytes."""
        if n > _TAKEN_BYTES:
            return os.urandom(n)
        with self._lock:
            start = self._used
            if start + n > len(self._taken):
                self._taken, start = os.urandom(_TAKEN_BYTES), 0
            self._used = start + n
            return self._taken[start : self._used]

    def uid(self) -> str:
        """Return a version 4 UUID, RFC 9562."""
        text = self.randbytes(_UID_BYTES).hex()
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANTS[text[16]]}{text[17:20]}-{text[20:]}"
