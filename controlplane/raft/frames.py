"""Frames on a byte stream: four bytes of length, little-endian, then a protobuf message.

Pure: used by peers and by both ends of the local socket.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

# A transaction may have 8 MiB (the store's limit); the frame around it needs a little more.
MAX_FRAME_BYTES = 16 << 20

# What a delivered entry costs in credits on the local socket, besides its data.
ENTRY_OVERHEAD_BYTES = 32

_LENGTH_BYTES = 4


class FrameError(Exception):
    """The other side does not speak this protocol, or broke it: the session must end."""


def encode(message: Message) -> bytes:
    """One frame."""
    body = message.SerializeToString()
    assert len(body) <= MAX_FRAME_BYTES, "a message larger than a frame"
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


class FrameReader:
    """Cuts a byte stream into message bodies; holds at most one incomplete frame."""

    def __init__(self) -> None:
        self._pending = bytearray()

    @property
    def within_frame(self) -> bool:
        """Whether a part of a frame has come, and the rest is still to come."""
        return bool(self._pending)

    def feed(self, received: bytes) -> Iterator[bytes]:
        """Take what was received and yield every complete body; FrameError when a length is out of bounds."""
        self._pending += received
        offset = 0
        try:
            while len(self._pending) - offset >= _LENGTH_BYTES:
                start = offset + _LENGTH_BYTES
                length = int.from_bytes(self._pending[offset:start], "little")
                if length > MAX_FRAME_BYTES:
                    raise FrameError(f"a frame of {length} bytes is over the limit of {MAX_FRAME_BYTES}")
                if len(self._pending) - start < length:
                    return
                offset = start + length
                yield bytes(self._pending[start:offset])
        finally:
            del self._pending[:offset]
