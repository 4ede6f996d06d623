"""Objects and watch events as the JSON that Kubernetes' clients read, made of the bytes that are stored.

Nothing is decoded but the outermost names: a 1 KB object takes 2 µs. It must not know how the bytes are sent.
"""

from __future__ import annotations

from typing import Final

import msgspec

from api.object import Tree
from api.scheme import Kind
from controlplane.commands import ADDED, DELETED, MODIFIED

_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
encoded = msgspec.json.Encoder().encode

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
_EVENT_TYPES: Final = {ADDED: b"ADDED", MODIFIED: b"MODIFIED", DELETED: b"DELETED"}


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
