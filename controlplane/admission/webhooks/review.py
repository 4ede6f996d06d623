"""AdmissionReview, admission.k8s.io/v1: the question that a webhook is asked, and what its answer says."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from api import errors
from api.errors import ApiError, Failed
from api.object import Tree, canonical
from controlplane.admission.request import groups_of
from controlplane.admission.webhooks.attributes import Attributes

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
JSON_PATCH: Final = "JSONPatch"

WARNING_CHARACTERS: Final = 256
WARNINGS_CHARACTERS: Final = 4_096
"""Of one warning, and of all that a webhook sends; as in Kubernetes the rest is not told."""

NOTE_CHARACTERS: Final = 4_096  # of one audit annotation
NOTES: Final = 64

_DENIALS: Final[Mapping[int, type[ApiError]]] = {
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    410: errors.Expired,
    413: errors.TooLarge,
    429: errors.TooLarge,
}


class BadAnswer(Exception):
    """Why what a webhook sent is no answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a webhook said. `denial` is None when it allows the request; `patch` is a list of operations, None for no change.

    `warnings` are for the caller, `notes` for the audit log.
    """

    denial: ApiError | None = None
    patch: Any = None
    warnings: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


def request_of(asked: Attributes, version: str) -> Tree:
    """The request in a review, in one version of its resource; its uid is added when it is sent."""
    shown_kind = asked.kind
    if asked.subresource in {"", "status"}:  # others are written as kinds of their own
        shown_kind = (_api_version(asked.group, version), asked.kind[1])
    request: Tree = {
        "kind": _kind(shown_kind),
        "resource": {"group": asked.group, "version": version, "resource": asked.resource},
        "requestKind": _kind(asked.kind),
        "requestResource": {"group": asked.group, "version": asked.version, "resource": asked.resource},
        "operation": asked.operation,
        "userInfo": {"username": asked.identity.user, "groups": list(groups_of(asked.identity))},
        "object": in_version(asked.tree, shown_kind[0]),
        "oldObject": in_version(asked.old, shown_kind[0]),
        "dryRun": asked.dry_run,
        "options": asked.options,
    }
    if asked.subresource:
        request |= {"subResource": asked.subresource, "requestSubResource": asked.subresource}
    if asked.name:
        request["name"] = asked.name
    if asked.namespace:
        request["namespace"] = asked.namespace
    return request


def in_version(tree: Tree | None, api_version: str) -> Tree | None:
    """An object as another version of its kind shows it: versions differ in name only."""
    return tree if tree is None or tree.get("apiVersion") == api_version else {**tree, "apiVersion": api_version}


def review_of(request: Tree, uid: str) -> bytes:
    """The body that is sent."""
    return canonical({"apiVersion": API_VERSION, "kind": KIND, "request": {"uid": uid, **request}})


class _Status(msgspec.Struct):
    code: int | None = None
    message: str | None = None
    reason: str | None = None


class _Response(msgspec.Struct, rename="camel"):
    uid: str = ""
    allowed: bool = False
    status: _Status | None = None
    patch: str | None = None
    patch_type: str | None = None
    warnings: list[str] | None = None
    audit_annotations: dict[str, str] | None = None


class _Review(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    response: _Response | None = None


_read = msgspec.json.Decoder(_Review).decode


def verdict_of(name: str, body: bytes, uid: str, *, mutating: bool) -> Verdict:
    """Return what the answer to the review `uid` says. BadAnswer."""
    try:
        review = _read(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"it is no AdmissionReview: {error}") from None
    if (review.api_version, review.kind) != (API_VERSION, KIND):
        raise BadAnswer(
            f"expected webhook response of {API_VERSION}, Kind={KIND}, got {review.api_version}, Kind={review.kind}"
        )
    response = review.response
    if response is None:
        raise BadAnswer("webhook response was absent")
    if response.uid != uid:
        raise BadAnswer(f'expected response.uid="{uid}", got "{response.uid}"')
    patch = _patch(response) if mutating else None
    notes = sorted((response.audit_annotations or {}).items())[:NOTES]
    return Verdict(
        denial=None if response.allowed else _denial(name, response.status or _Status()),
        patch=patch,
        warnings=_bounded(response.warnings or ()),
        notes=tuple((f"{name}/{key}", value[:NOTE_CHARACTERS]) for key, value in notes),
    )


def _patch(response: _Response) -> Any:
    if not response.patch:
        if response.patch_type:
            raise BadAnswer("webhook returned response.patchType but not response.patch")
        return None
    if not response.patch_type:
        raise BadAnswer("webhook returned response.patch but not response.patchType")
    if response.patch_type != JSON_PATCH:
        raise BadAnswer(f'webhook returned invalid response.patchType of "{response.patch_type}"')
    try:
        return msgspec.json.decode(base64.b64decode(response.patch, validate=True))
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError) as error:
        raise BadAnswer(f"its patch is no JSON in base64: {error}") from None


def _denial(name: str, status: _Status) -> ApiError:
    """The refusal in Kubernetes' words; a code that means no error is a 400, one that no error here has the nearest."""
    told = status.message or status.reason
    denied = f'admission webhook "{name}" denied the request'
    message = f"{denied}: {told}" if told else f"{denied} without explanation"
    code = status.code or 400
    return _DENIALS.get(code, Failed if code >= 500 else errors.Invalid)(message)


def _bounded(warnings: Sequence[str]) -> tuple[str, ...]:
    kept, room = [], WARNINGS_CHARACTERS
    for warning in warnings:
        text = warning[:WARNING_CHARACTERS]
        room -= len(text)
        if room < 0:
            break
        kept.append(text)
    return tuple(kept)


def _api_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


def _kind(kind: tuple[str, str]) -> Tree:
    group, _, version = kind[0].rpartition("/")
    return {"group": group, "version": version, "kind": kind[1]}
