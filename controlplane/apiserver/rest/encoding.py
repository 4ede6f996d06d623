"""Objects, lists and watch events as the JSON that Kubernetes' clients read, made of the bytes that are stored.

Nothing is decoded but the outermost names: a 1 KB object takes 2 µs. It must not know how the bytes are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from api.object import Object, Tree
from api.scheme import Kind
from controlplane.commands import ADDED, DELETED, MODIFIED

_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
encoded = msgspec.json.Encoder().encode

PIECE_BYTES: Final = 256 << 10
"""Of a list, made before it is sent: 1 ms."""

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
_EVENT_TYPES: Final = {ADDED: b"ADDED", MODIFIED: b"MODIFIED", DELETED: b"DELETED"}

Shown = Callable[[bytes, int], bytes]
"""How an object's stored JSON at a revision is shown."""


def whole(body: bytes, revision: int) -> bytes:
    """The stored JSON with its revision as metadata.resourceVersion."""
    if not revision:
        return body
    parts = _parts(body)
    parts["metadata"] = _with_revision(parts["metadata"], revision)
    return encoded(parts)


def only_metadata(body: bytes, revision: int) -> bytes:
    """The object as a PartialObjectMetadata, for clients that care for nothing else."""
    metadata = _parts(body)["metadata"]
    shown = _with_revision(metadata, revision) if revision else metadata
    return encoded({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": shown})


def _with_revision(metadata: msgspec.Raw, revision: int) -> msgspec.Raw:
    return msgspec.Raw(b'{"resourceVersion":"%d",%b' % (revision, bytes(metadata)[1:]))  # it has a name: never empty


def list_pieces(
    api_version: str, kind: str, items: Iterable[Object], revision: int, continue_token: str, shown: Shown
) -> Iterator[bytes]:
    """Yield a list in pieces of about `PIECE_BYTES`, one object at least."""
    metadata = {"resourceVersion": str(revision)} | ({"continue": continue_token} if continue_token else {})
    head = encoded({"kind": kind, "apiVersion": api_version, "metadata": metadata})
    piece = [head[:-1], b',"items":[']
    size, separator = len(head), b""
    for item in items:
        if size >= PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
        one = shown(item.json, item.revision)
        piece += (separator, one)
        size += len(one)
        separator = b","
    piece.append(b"]}\n")
    yield b"".join(piece)


def event_line(event_type: int, shown: bytes) -> bytes:
    """One line of a watch."""
    return b'{"type":"%b","object":%b}\n' % (_EVENT_TYPES[event_type], shown)


def bookmark_line(kind: Kind, revision: int, *, initial_end: bool = False) -> bytes:
    """The line that says: everything up to `revision` was sent, and, if so, all there was at first."""
    metadata: Tree = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    marked = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    return encoded({"type": "BOOKMARK", "object": marked}) + b"\n"


def error_line(status: Tree) -> bytes:
    """The last line of a watch that cannot go on."""
    return encoded({"type": "ERROR", "object": status}) + b"\n"
