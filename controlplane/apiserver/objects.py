"""From stored bytes to objects and back: the one place where an envelope is taken out of a tree."""

from __future__ import annotations

import msgspec

from api.errors import TooLarge
from api.object import Object, Tree, canonical
from api.scheme import Kind
from controlplane.commands import OBJECT_LIMIT_BYTES, Envelope, Key, Put, Stored

SERVER_OWNED = ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")
"""Metadata that only the API writes; what clients send there is replaced, so that a read object can be sent back."""

_decode = msgspec.json.Decoder().decode


def key_of(kind: Kind, namespace: str, name: str) -> Key:
    """The key an object of this kind is stored under."""
    return Key(kind.resource, namespace if kind.namespaced else "", name)


def object_of(stored: Stored) -> Object:
    """The stored object as clients see it."""
    return object_at(stored.envelope, stored.body, stored.revision)


def tree_of(body: bytes) -> Tree:
    """A fresh tree of a stored body, without resourceVersion."""
    tree: Tree = _decode(body)
    return tree


def envelope_of(kind: Kind, tree: Tree) -> Envelope:
    """What the state machine is to see of a complete object."""
    metadata = tree["metadata"]
    return Envelope(
        key=key_of(kind, metadata.get("namespace", ""), metadata["name"]),
        uid=metadata["uid"],
        labels=metadata.get("labels", {}),
        owners=tuple(dict.fromkeys(owner.get("uid", "") for owner in metadata.get("ownerReferences", ()))),
        finalizers=tuple(metadata.get("finalizers", ())),
        node=tree["spec"].get("nodeName", "") if kind.resource == "pods" else "",
        deletion_time=metadata.get("deletionTimestamp", ""),
    )


def put_of(kind: Kind, tree: Tree) -> Put:
    """The operation that stores a complete object. TooLarge when it is over the limit."""
    metadata = tree["metadata"]
    if "resourceVersion" in metadata:
        bare = {name: value for name, value in metadata.items() if name != "resourceVersion"}
        tree = {**tree, "metadata": bare}
    if kind.custom is not None and tree["apiVersion"] != kind.custom.stored_as:
        tree = {**tree, "apiVersion": kind.custom.stored_as}
    body = canonical(tree)
    if len(body) > OBJECT_LIMIT_BYTES:
        raise TooLarge(
            f'{kind.singular} "{metadata["name"]}" has {len(body)} bytes; an object may have {OBJECT_LIMIT_BYTES}'
        )
    return Put(envelope_of(kind, tree), body)


def object_at(envelope: Envelope, body: bytes, revision: int) -> Object:
    """The object as clients see it at a revision; 0 while that is not known yet."""
    key = envelope.key
    return Object(key.resource, key.namespace, key.name, envelope.uid, revision, body)
