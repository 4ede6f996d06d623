"""From what a client sent to a tree the rest of the API can rely on: known kind, right types, defaults written out."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from api import defaults, scheme, strict
from api.errors import FieldError, Invalid
from api.object import Tree
from api.scheme import BUILT_IN, Kind, Scheme

DEFAULT_NAMESPACE = "default"

FAULTS_TOLD = 500
"""Of one object: a megabyte may hold a hundred thousand, and nobody reads more."""

_UID = re.compile(r"[A-Za-z0-9-]{1,64}")


class Incoming(msgspec.Struct, frozen=True):
    """An object on its way in. `tree` has metadata and, where the kind has one, spec; `uid` "" and `revision` 0: not given.

    `faults` are fields that the kind does not know, refused unless the stored object has them already.
    """

    kind: Kind
    tree: Tree
    namespace: str
    name: str
    uid: str
    revision: int
    faults: tuple[FieldError, ...]

    @property
    def title(self) -> str:
        """How messages call it: pod "web"."""
        return title(self.kind, self.name)


def title(kind: Kind, name: str) -> str:
    """How messages call an object: pod "web"."""
    return f'{kind.singular} "{name}"'


def read(tree: Tree, kinds: Scheme = BUILT_IN, *, with_defaults: bool = True) -> Incoming:
    """Check the form of `tree` and complete it. Raises Invalid naming the wrong fields, NotFound for the kind."""
    return read_as(kind_of(tree, kinds), tree, with_defaults=with_defaults)


def kind_of(tree: Tree, kinds: Scheme) -> Kind:
    """The kind that an object says it is of. Invalid, NotFound."""
    if not isinstance(tree, dict):
        raise Invalid("an object is needed")
    return kinds.by_kind(_text(tree, "apiVersion"), _text(tree, "kind"))


def read_as(kind: Kind, tree: Tree, *, with_defaults: bool = True, questions: bool = False) -> Incoming:
    """As `read`, of an object whose kind is known; with `questions` also of kinds that are never stored."""
    tree = strict.prune(tree, kind)
    if kind in scheme.REVIEWS:
        if not questions:
            raise Invalid(f"{kind.resource} are answered and never stored: they can only be created, each on its own")
        tree.setdefault("metadata", {})  # they need no name, and clients send none
    metadata = tree.get("metadata")
    if not isinstance(metadata, dict):
        raise Invalid(f"{kind.kind} is invalid", [FieldError("metadata", "Required value")])
    faults = tuple(strict.check(kind, tree))
    wrong = [fault for fault in faults if not fault.message.startswith("unknown field")]
    name = metadata.get("name", "")
    if wrong:
        raise Invalid(f"{kind.kind} {_shown(name)} is invalid", _told(faults))
    tree = {**tree, "apiVersion": kind.api_version, "metadata": dict(metadata)}
    if "spec" in kind.type.__struct_fields__:
        tree.setdefault("spec", {})
    if with_defaults:
        tree = defaults.default(kind, tree)
    uid, revision = _uid(kind, metadata), _revision(kind, metadata)
    return Incoming(kind, tree, _namespace(kind, tree), name, uid, revision, faults)


def namespace_of(kind: Kind, namespace: str) -> str:
    """The namespace of one object; what has none takes none, and what has one without saying is in "default"."""
    if kind.namespaced:
        return namespace or DEFAULT_NAMESPACE
    if namespace:
        raise Invalid(f"{kind.resource} have no namespace")
    return ""


def refuse(incoming: Incoming, faults: list[FieldError]) -> None:
    """Raise Invalid if there are any."""
    if faults:
        raise Invalid(f"{incoming.kind.kind} {_shown(incoming.name)} is invalid", _told(faults))


def _told(faults: Sequence[FieldError]) -> Sequence[FieldError]:
    if len(faults) <= FAULTS_TOLD:
        return faults
    return [*faults[:FAULTS_TOLD], FieldError("", f"and {len(faults) - FAULTS_TOLD} more")]


def _namespace(kind: Kind, tree: Tree) -> str:
    """The namespace, which is also written into the tree."""
    metadata = tree["metadata"]
    if kind.namespaced:
        namespace: str = metadata.setdefault("namespace", DEFAULT_NAMESPACE) or DEFAULT_NAMESPACE
        metadata["namespace"] = namespace
        return namespace
    if metadata.pop("namespace", ""):
        raise Invalid(
            f"{kind.kind} is invalid",
            [FieldError("metadata.namespace", f"Forbidden: {kind.resource} have no namespace")],
        )
    return ""


def _uid(kind: Kind, metadata: Tree) -> str:
    uid: str = metadata.get("uid", "")
    if uid and not _UID.fullmatch(uid):
        message = "Invalid value: must be up to 64 letters, digits and hyphens"
        raise Invalid(f"{kind.kind} is invalid", [FieldError("metadata.uid", message)])
    return uid


def _revision(kind: Kind, metadata: Tree) -> int:
    text = metadata.get("resourceVersion", "") or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        message = f'Invalid value: "{text}": must be what the API gave'
        raise Invalid(f"{kind.kind} is invalid", [FieldError("metadata.resourceVersion", message)])
    return int(text)


def _text(tree: Tree, name: str) -> str:
    value = tree.get(name)
    if isinstance(value, str) and value:
        return value
    raise Invalid("the object is invalid", [FieldError(name, "Required value: every object names its kind")])


def _shown(name: str) -> str:
    return msgspec.json.encode(name).decode() if name else "without a name"
