"""Errors every component may raise or receive.

ApiError
├─ Invalid           the request can never succeed as sent; lists the fields
├─ Unauthenticated   who is asking cannot be told
├─ Forbidden         this caller may not
├─ NotFound
├─ AlreadyExists
├─ Conflict          stale resource version or uid: read again, then retry
├─ Expired           list or watch start is compacted: list again
├─ TooLarge          over a stated limit: size, quota, queue
├─ TooManyRequests   the caller has too much under way here, nothing was changed: wait a second, then retry
├─ NotReady          right request, wrong state: the container has not started
├─ Failed            what has to be asked outside, an admission webhook, failed; nothing was changed
├─ Unavailable       no leader or quorum, nothing was changed: back off, then retry
└─ Unknown           the outcome cannot be told: read before retrying
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RETRY_SECONDS = 1
"""How long a caller with too much under way should wait."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One reason why a field cannot be accepted.

    `path` is written as Kubernetes writes it: `spec.template.spec.containers[0].image`.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ApiError(Exception):
    """Base; `reason` is the one-word CamelCase cause sent to clients.

    `fields` names what the error is about where it is about fields: all bad ones of an Invalid, in document order; of a
    Conflict those that others own.
    """

    def __init__(self, message: str = "", fields: Sequence[FieldError] = ()) -> None:
        super().__init__(message)
        self.fields = tuple(fields)

    @property
    def reason(self) -> str:
        """The class's name, which is what travels."""
        return type(self).__name__


class Invalid(ApiError):
    """Never right as sent. `fields` names every bad field, in document order."""

    def __str__(self) -> str:
        message = str(self.args[0])
        if not self.fields:
            return message
        return f"{message}: " + "; ".join(str(field) for field in self.fields)


class Unauthenticated(ApiError):
    """Who is asking cannot be told."""


class Forbidden(ApiError):
    """This caller may not do this."""


class NotFound(ApiError):
    """No such object, or no such kind."""


class AlreadyExists(ApiError):
    """The name is taken."""


class Conflict(ApiError):
    """A precondition does not hold any more: read again, then retry; or, with `fields`, others own these (`api.managed_fields`)."""


class Expired(ApiError):
    """The revision asked for is not kept any more: list again."""


class TooLarge(ApiError):
    """Over a stated limit; the message names it."""


class TooManyRequests(ApiError):
    """The caller has too much under way here and nothing was changed: wait `RETRY_SECONDS`, then retry."""


class NotReady(ApiError):
    """The request is right but the object is not in the state for it yet."""


class Failed(ApiError):
    """Something outside that has a say, an admission webhook, could not be asked or answered nonsense; nothing was changed."""


class Unavailable(ApiError):
    """Nobody can serve this now and nothing was changed: back off, then retry."""


class Unknown(ApiError):
    """A write's outcome cannot be told in time: read before retrying."""


ERRORS: dict[str, type[ApiError]] = {
    error.__name__: error
    for error in (
        Invalid,
        Unauthenticated,
        Forbidden,
        NotFound,
        AlreadyExists,
        Conflict,
        Expired,
        TooLarge,
        TooManyRequests,
        NotReady,
        Failed,
        Unavailable,
        Unknown,
    )
}
