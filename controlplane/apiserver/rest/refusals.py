"""Errors as Kubernetes' Status objects: code, reason, details and causes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from api import errors
from api.errors import FieldError
from api.object import Tree
from controlplane.apiserver.rest.paths import Target

TOO_MANY: Final = 429

RETRY_SECONDS: Final = errors.RETRY_SECONDS
"""What clients are told to wait when they have too much under way, nobody leads or an outcome is not known."""


class Refusal(Exception):
    """A request that is wrong as HTTP or as Kubernetes' API, before the core would see it."""

    def __init__(self, code: int, reason: str, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.cause = cause


def bad_request(message: str) -> Refusal:
    """What is said does not fit together, or is not understood."""
    return Refusal(400, "BadRequest", message)


def not_allowed(what: str) -> Refusal:
    """The path is right, the method is not."""
    return Refusal(405, "MethodNotAllowed", f"{what} is not supported here")


_CODES: Final[Mapping[type[errors.ApiError], tuple[int, str]]] = {
    errors.Invalid: (422, "Invalid"),
    errors.Unauthenticated: (401, "Unauthorized"),
    errors.Forbidden: (403, "Forbidden"),
    errors.NotFound: (404, "NotFound"),
    errors.AlreadyExists: (409, "AlreadyExists"),
    errors.Conflict: (409, "Conflict"),
    errors.Expired: (410, "Expired"),
    errors.TooLarge: (413, "RequestEntityTooLarge"),
    errors.TooManyRequests: (TOO_MANY, "TooManyRequests"),
    errors.NotReady: (400, "BadRequest"),
    errors.Failed: (500, "InternalError"),
    errors.Unavailable: (503, "ServiceUnavailable"),
    errors.Unknown: (504, "Timeout"),
}
OWNED: Final = "FieldManagerConflict"
_RETRIED: Final = frozenset({TOO_MANY, 503, 504})

_CAUSES: Final = (
    ("Required value", "FieldValueRequired"),
    ("Duplicate value", "FieldValueDuplicate"),
    ("Not found", "FieldValueNotFound"),
    ("Unsupported value", "FieldValueNotSupported"),
    ("Forbidden", "FieldValueForbidden"),
    ("Too long", "FieldValueTooLong"),
    ("Too many", "FieldValueTooMany"),
    ("expected", "FieldValueTypeInvalid"),
)


def status_of(error: errors.ApiError | Refusal, target: Target | None = None) -> Tree:
    """The Status object that tells of an error; its `code` is the HTTP status."""
    if isinstance(error, Refusal):
        code, reason = error.code, error.reason
    else:
        code, reason = next(_CODES[each] for each in type(error).__mro__ if each in _CODES)
    causes: list[Tree] = []
    if isinstance(error, errors.Invalid):
        if not error.fields:
            code, reason = 400, "BadRequest"
        causes = [_cause(field) for field in error.fields]
    elif isinstance(error, errors.Conflict):
        causes = [{"reason": OWNED, "message": field.message, "field": field.path} for field in error.fields]
    elif isinstance(error, Refusal) and error.cause:
        causes = [{"reason": error.cause, "message": str(error)}]
    details = _details(target, kind=code == 422)
    if causes:
        details["causes"] = causes
    if code in _RETRIED:
        details["retryAfterSeconds"] = RETRY_SECONDS
    return _status("Failure", code, reason=reason, message=str(error), details=details)


def success(target: Target, uid: str = "", *, code: int = 200) -> Tree:
    """The Status object of a request that was done and has nothing else to show."""
    return _status("Success", code, details=_details(target) | ({"uid": uid} if uid else {}))


def internal_error() -> Tree:
    """What is told of our own bug: nothing."""
    message = "internal error; the server's log has the cause"
    return _status("Failure", 500, reason="InternalError", message=message)


def _status(outcome: str, code: int, **rest: Any) -> Tree:
    given = {name: value for name, value in rest.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": outcome, **given, "code": code}


def _details(target: Target | None, *, kind: bool = False) -> Tree:
    """What the error is about; `kind` in a 422 is the kind itself, elsewhere, as in Kubernetes, the resource."""
    if target is None:
        return {}
    shown = target.kind.kind if kind and target.kind else target.plural
    found = {"name": target.name, "group": target.group, "kind": shown}
    return {name: value for name, value in found.items() if value}


def _cause(field: FieldError) -> Tree:
    reason = next((reason for start, reason in _CAUSES if field.message.startswith(start)), "FieldValueInvalid")
    return {"reason": reason, "message": field.message, "field": field.path}
