"""One line of the audit log, in the form of Kubernetes' audit.k8s.io/v1 Event. Pure.

What is secret never gets into a line: of Secrets, ConfigMaps and tokens nothing is shown beyond who asked for what, whatever
the policy says; queries of paths, error messages and what streams carry are shown of nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from api import manifest, protobuf_objects
from api.errors import Invalid
from api.object import Tree
from controlplane.admission.request import Identity
from controlplane.audit.policy import COMPLETE, Level
from controlplane.rbac.attributes import Attributes

SHOWN_BYTES: Final = 64 << 10
"""Of an object; a larger one is left out."""

TEXT_CHARACTERS: Final = 512
"""Of what callers can make as long as they like: names, paths, user agents."""

SECRET_RESOURCES: Final = frozenset({"secrets", "configmaps", "tokenreviews", "serviceaccounts/token"})
_SECRET_KINDS: Final = frozenset(
    {"secret", "secretlist", "configmap", "configmaplist", "tokenrequest", "tokenreview", "list"}
)
_PREFIX: Final = "timonier.dev/"

TOO_LARGE: Final = "too large"
NOT_SHOWN: Final = "never shown"
UNREADABLE: Final = "does not parse"


class Document(msgspec.Struct, frozen=True):
    """An object as it was sent or answered; `form` is "json", "yaml" or "protobuf"."""

    data: bytes
    form: str = "json"


class Event(msgspec.Struct, frozen=True):
    """A request that is over. `code` is an HTTP status on either transport, `uri` a path without its query.

    `notes` are annotations of parts that served it. `caller` is who showed a certificate or token, `acting` whom it acted as, if anybody. `part` counts the writes of one
    request that makes several.
    """

    audit_id: str
    received_time: float
    latency_seconds: float
    level: Level
    caller: Identity
    asked: Attributes
    code: int
    uri: str
    reason: str = ""
    acting: Identity | None = None
    source: str = ""
    user_agent: str = ""
    manager: str = ""
    dry_run: bool = False
    part: int | None = None
    notes: Mapping[str, str] = {}
    sent: Document | None = None
    answered: Document | None = None

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        return 2_048 + sum(len(each.data) for each in (self.sent, self.answered) if each is not None)


def is_secret(asked: Attributes) -> bool:
    """Whether objects of this request may never be shown: what is secret, and what is no object of the API."""
    return bool(asked.path) or not {asked.resource, asked.combined}.isdisjoint(SECRET_RESOURCES)


def shown(document: Document | None) -> Document | None:
    """The document if it is small enough to be shown; a stub without content of one that is not."""
    if document is None or len(document.data) <= SHOWN_BYTES:
        return document
    return Document(b"", TOO_LARGE)


def line_of(event: Event) -> bytes:
    """Return the line, with its end."""
    asked, notes = event.asked, _notes(event)
    level = min(event.level, Level.METADATA) if is_secret(asked) else event.level
    tree: Tree = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": level.title,
        "auditID": event.audit_id,
        "stage": COMPLETE,
        "requestURI": _bounded(asked.path or event.uri),
        "verb": asked.verb,
        "user": _user(event.caller),
    }
    if event.acting is not None:
        tree["impersonatedUser"] = _user(event.acting)
    if event.source:
        tree["sourceIPs"] = [event.source]
    if event.user_agent:
        tree["userAgent"] = _bounded(event.user_agent)
    if not asked.path:
        tree["objectRef"] = _reference(asked)
    tree["responseStatus"] = {"code": event.code} | ({"reason": event.reason} if event.reason else {})
    if level >= Level.REQUEST:
        _show(tree, notes, "requestObject", event.sent)
    if level >= Level.REQUEST_RESPONSE:
        _show(tree, notes, "responseObject", event.answered)
    tree["requestReceivedTimestamp"] = micro_time(event.received_time)
    tree["stageTimestamp"] = micro_time(event.received_time + event.latency_seconds)
    tree["annotations"] = notes
    return msgspec.json.encode(tree) + b"\n"


def micro_time(seconds: float) -> str:
    """Format seconds since the epoch as "2025-01-15T08:30:00.000000Z"."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _notes(event: Event) -> dict[str, str]:
    notes = {key: _bounded(text) for key, text in event.notes.items()}
    notes |= {_PREFIX + "latency-ms": f"{event.latency_seconds * 1e3:.3f}"}
    if event.dry_run:
        notes[_PREFIX + "dry-run"] = "true"
    if event.manager:
        notes[_PREFIX + "field-manager"] = _bounded(event.manager)
    if event.part is not None:
        notes[_PREFIX + "part"] = str(event.part)
    return notes


def _user(identity: Identity) -> Tree:
    groups = [_bounded(group) for group in identity.groups]
    return {"username": _bounded(identity.user)} | ({"groups": groups} if groups else {})


def _reference(asked: Attributes) -> Tree:
    found = {
        "resource": asked.resource,
        "namespace": asked.namespace,
        "name": asked.name,
        "apiGroup": asked.group,
        "subresource": asked.subresource,
    }
    return {name: _bounded(value) for name, value in found.items() if value}


def _bounded(text: str) -> str:
    """What a line can hold: no half characters, and an end."""
    return text[:TEXT_CHARACTERS].encode(errors="replace").decode()


def _show(tree: Tree, notes: dict[str, str], name: str, document: Document | None) -> None:
    if document is None:
        return
    found, why = _decoded(document)
    if why:
        notes[f"{_PREFIX}{name}-omitted"] = why
    else:
        tree[name] = found


def _decoded(document: Document) -> tuple[Any, str]:
    """The tree to show, or why there is none."""
    if document.form == TOO_LARGE:
        return None, TOO_LARGE
    try:
        match document.form:
            case "yaml":
                found = manifest.load_value(document.data, "body")
            case "protobuf":
                found = protobuf_objects.decode(document.data)
            case _:
                found = msgspec.json.decode(document.data)
        msgspec.json.encode(found)
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError, Invalid):
        return None, UNREADABLE
    return (None, NOT_SHOWN) if _holds_secrets(found) else (found, "")


def _holds_secrets(tree: Any) -> bool:
    """Whether an object that may not be shown is anywhere inside, under another one's name or path."""
    left = [tree]
    while left:
        match left.pop():
            case dict() as found:
                kind = found.get("kind")
                if isinstance(kind, str) and kind.lower() in _SECRET_KINDS:
                    return True
                left += found.values()
            case list() as found:
                left += found
    return False
