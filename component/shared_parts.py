"""Equal parts of decoded views kept once: the pods of a ReplicaSet differ in little but their names and nodes.

A pure saving of memory: what is forgotten here is only kept twice. It must not know what the parts mean.
"""

from __future__ import annotations

from sys import intern
from typing import Any, Final, TypeVar

import msgspec

from api.object import Object

CAPACITY: Final = 4_096
"""Different values of one field that are remembered; then they are forgotten, and what is common is soon back."""

View = TypeVar("View")
Part = TypeVar("Part", bound=msgspec.Struct)

_encode = msgspec.msgpack.Encoder().encode


class SharedParts:
    """Hands out views whose metadata and spec share what they consist of with earlier equal ones.

    Status is left alone: its times and addresses are nobody else's.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[type, dict[str, dict[bytes, Any]]] = {}  # type of the part: field: encoded value

    def view(self, item: Object, kind: type[View]) -> View:
        """Decode an object; raises msgspec.ValidationError."""
        view: Any = item.view(kind)
        names = {"name": item.name, "namespace": item.namespace, "uid": item.uid}
        parts = {"metadata": self._shared(view.metadata, names)}
        spec = getattr(view, "spec", None)
        if isinstance(spec, msgspec.Struct):
            parts["spec"] = self._shared(spec, {})
        shared: View = msgspec.structs.replace(view, **parts)
        return shared

    def _shared(self, part: Part, fields: dict[str, Any]) -> Part:
        """An equal part; `fields` holds those of its fields that are known to be kept elsewhere already."""
        known = self._known.setdefault(type(part), {})
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if not value or name in fields:
                continue
            if isinstance(value, str):
                fields[name] = intern(value)
            elif isinstance(value, tuple | dict | msgspec.Struct):
                fields[name] = _kept(known.setdefault(name, {}), value)
        return msgspec.structs.replace(part, **fields)


def _kept(known: dict[bytes, Any], value: Any) -> Any:
    if len(known) >= CAPACITY:
        known.clear()
    try:
        encoded = _encode(value)
    except OverflowError:  # a number that MessagePack has no room for, where anything may stand
        return value
    return known.setdefault(encoded, value)
