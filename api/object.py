"""One object as it is stored and sent: an envelope and its canonical JSON.

The JSON is the object; typed structs (`api.core`, `api.apps`, ...) are read views of it. Code that changes an
object works on `tree()`, so that fields this version does not know survive a read-modify-write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

Tree = dict[str, Any]
"""A decoded JSON object: str keys; values are Tree, list, str, int, float, bool."""

View = TypeVar("View")

_encoder = msgspec.json.Encoder(order="deterministic")
_decode = msgspec.json.Decoder().decode


def canonical(tree: Mapping[str, Any]) -> bytes:
    """Encode a tree as canonical JSON: keys sorted, no white space. Nulls must have been pruned."""
    return _encoder.encode(tree)


def at(tree: Tree, path: str, default: Any = "") -> Any:
    """The value at a dotted path, `default` when a step is missing."""
    value: Any = tree
    for step in path.split("."):
        if not isinstance(value, dict) or step not in value:
            return default
        value = value[step]
    return value


class Object(msgspec.Struct, frozen=True, gc=False):
    """An object at one revision.

    `resource` is plural.group ("pods", "deployments.apps"). `json` never holds metadata.resourceVersion: the
    revision is assigned when the write is applied and stands in `revision` (0: not stored). Caches hold 100,000 of them:
    `gc=False` spares the garbage collector a look at each.
    """

    resource: str
    namespace: str
    name: str
    uid: str
    revision: int
    json: bytes

    def tree(self) -> Tree:
        """A fresh tree with metadata.resourceVersion, which the caller may change."""
        tree: Tree = _decode(self.json)
        if self.revision:
            tree["metadata"]["resourceVersion"] = str(self.revision)
        return tree

    def view(self, kind: type[View]) -> View:
        """A typed, frozen read view; unknown fields are ignored. metadata.resourceVersion is absent in it."""
        return msgspec.json.decode(self.json, type=kind)
