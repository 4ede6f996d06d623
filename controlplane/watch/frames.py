"""Watch events and resources as protobuf bytes, written by hand from the parts the store already holds.

Framing an event takes 1 µs instead of 10 through message objects, and frames of single events concatenate to one
`WatchResponse` of all of them (a repeated field is just repeated). The layout is proto/api/v1; a test compares it
with the generated code. It must not know who reads.
"""

from __future__ import annotations

from typing import Final

import msgspec

from controlplane.commands import Envelope

BOOKMARK: Final = 4

_EVENTS_TAG: Final = b"\x0a"  # WatchResponse.events = 1
_TYPE_TAG: Final = b"\x08"  # WatchEvent.type = 1
_REVISION_TAG: Final = b"\x10"  # WatchEvent.resource_version = 2
_OBJECT_TAG: Final = b"\x1a"  # WatchEvent.object = 3
_API_VERSION_TAG: Final = b"\x0a"  # Resource.api_version = 1
_KIND_TAG: Final = b"\x12"
_NAMESPACE_TAG: Final = b"\x1a"
_NAME_TAG: Final = b"\x22"
_UID_TAG: Final = b"\x2a"
_RESOURCE_VERSION_TAG: Final = b"\x30"
_JSON_TAG: Final = b"\x7a"


class _TypeMeta(msgspec.Struct, gc=False):
    api_version: str = msgspec.field(default="", name="apiVersion")
    kind: str = ""


_type_decoder = msgspec.json.Decoder(_TypeMeta)


def resource_bytes(envelope: Envelope, body: bytes, revision: int) -> bytes:
    """Return the serialized `Resource` of an object at `revision`; apiVersion and kind are read from the body."""
    types = _type_decoder.decode(body)
    key = envelope.key
    version = _RESOURCE_VERSION_TAG + varint(revision) if revision else b""
    return b"".join((
        _text(_API_VERSION_TAG, types.api_version),
        _text(_KIND_TAG, types.kind),
        _text(_NAMESPACE_TAG, key.namespace),
        _text(_NAME_TAG, key.name),
        _text(_UID_TAG, envelope.uid),
        version,
        _bytes(_JSON_TAG, body),
    ))  # fmt: skip


def event_frame(event_type: int, revision: int, resource: bytes) -> bytes:
    """Return a serialized `WatchResponse` of one event; `resource` comes from `resource_bytes`."""
    head = _TYPE_TAG + varint(event_type) + _REVISION_TAG + varint(revision)
    return _bytes(_EVENTS_TAG, head + _bytes(_OBJECT_TAG, resource))


def bookmark_frame(revision: int) -> bytes:
    """Return a serialized `WatchResponse` that says: everything up to `revision` was sent."""
    return _bytes(_EVENTS_TAG, _TYPE_TAG + varint(BOOKMARK) + _REVISION_TAG + varint(revision))


def varint(number: int) -> bytes:
    """Encode a number of 0 or more in base 128, low groups first."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def _text(tag: bytes, text: str) -> bytes:
    return _bytes(tag, text.encode()) if text else b""
