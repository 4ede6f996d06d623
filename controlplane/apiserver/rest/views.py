"""How objects are shown: as they are stored, by their metadata only, or as rows of a table. Pure.

It must not know how the bytes are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from api.object import Object, Tree
from api.table import API_VERSION, column_definitions, include_of, row
from component.client import ObjectList
from controlplane.apiserver.rest import forms, negotiation
from controlplane.apiserver.rest.call import Call
from controlplane.apiserver.rest.encoding import encoded, only_metadata, whole
from controlplane.apiserver.rest.negotiation import Form

PIECE_BYTES: Final = 256 << 10
"""Of a list, made before it is sent: 1 ms."""

ROWS_AT_ONCE: Final = 50  # of a table: 2 ms
OBJECTS_AT_ONCE: Final = 1_000

TABLE: Final = "Table"
METADATA: Final = "PartialObjectMetadata"
SHAPES: Final = ((TABLE, "v1"), (METADATA, "v1"), (f"{METADATA}List", "v1"))


@dataclass(frozen=True)
class View:
    """One way to show objects. `item` is one in a list, `alone` one that is the whole answer or a watch's event.

    `head` is what a list has besides its metadata, `at_once` how many objects are made before others may run.
    """

    form: Form
    head: Tree
    items: bytes
    item: Callable[[Object], bytes]
    alone: Callable[[Object], bytes]
    at_once: int


def view_of(call: Call, now: float) -> View:
    """The view that the client accepts; `now` is in seconds since the epoch. Refusal."""
    form = negotiation.accepted(call.request.headers.get("Accept", ""), SHAPES)
    kind = call.kind
    if form.shape == TABLE:
        return _table(call, form, now)
    if form.shape:
        head = {"kind": f"{METADATA}List", "apiVersion": API_VERSION}
        return View(form, head, b"items", _metadata, _metadata, OBJECTS_AT_ONCE)
    head = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version}
    if kind.custom is not None:
        head["kind"] = kind.custom.list_kind

    def item(stored: Object) -> bytes:
        return whole(forms.shown(kind, stored).json, stored.revision)

    return View(form, head, b"items", item, item, OBJECTS_AT_ONCE)


def list_pieces(view: View, listed: ObjectList) -> Iterator[bytes]:
    """Yield a list in pieces of about `PIECE_BYTES`; the first one holds its head, the last one its end."""
    metadata = {"resourceVersion": str(listed.revision)}
    if listed.continue_token:
        metadata["continue"] = listed.continue_token
    head = encoded({**view.head, "metadata": metadata})
    piece = [head[:-1], b',"%b":[' % view.items]
    size = count = 0
    separator = b""
    for item in listed.items:
        if size >= PIECE_BYTES or count >= view.at_once:
            yield b"".join(piece)
            piece, size, count = [], 0, 0
        one = view.item(item)
        piece += (separator, one)
        size += len(one)
        count += 1
        separator = b","
    piece.append(b"]}\n")
    yield b"".join(piece)


def _metadata(stored: Object) -> bytes:
    return only_metadata(stored.json, stored.revision)


def _table(call: Call, form: Form, now: float) -> View:
    include = include_of(call.query.get("includeObject", ""))
    kind, resource = call.kind, call.resource
    custom = kind.custom.columns if kind.custom is not None else ()
    head = {"kind": TABLE, "apiVersion": API_VERSION}
    columns = column_definitions(resource, custom)
    alone = _Tables(head, columns)

    def item(stored: Object) -> bytes:
        shown = row(resource, forms.shown(kind, stored) if custom else stored, now, include, custom)
        if include == "Object":
            shown["object"] = forms.shown(kind, stored).tree()
        return encoded(shown)

    return View(
        form,
        {**head, "columnDefinitions": columns},
        b"rows",
        item,
        lambda stored: alone.of(stored, item(stored)),
        ROWS_AT_ONCE,
    )


@dataclass
class _Tables:
    """Tables of one row each; only the first one has the columns, as clients of a watch expect."""

    head: Tree
    columns: list[Tree]
    _sent: bool = field(default=False)

    def of(self, stored: Object, row_json: bytes) -> bytes:
        columns = None if self._sent else self.columns
        self._sent = True
        metadata = {"resourceVersion": str(stored.revision)}
        head = encoded({**self.head, "metadata": metadata, "columnDefinitions": columns})
        return b'%b,"rows":[%b]}' % (head[:-1], row_json)
