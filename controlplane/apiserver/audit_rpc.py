"""Tells the audit log of every gRPC call, when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from api.errors import ApiError
from component.rpc_server import Context, Ended, Messages, Record
from controlplane.admission.request import Identity
from controlplane.apiserver.audit_calls import parts_of
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.rest.refusals import status_of
from controlplane.audit import notes
from controlplane.audit.log import AuditLog, Circumstances, Part, Start

NOBODY: Final = Identity("")
CLOSED_BY_CLIENT: Final = (499, "ClientClosedRequest")
"""What no standard has a number for; web servers write this one."""

_STREAMS: Final = frozenset({"Watch", "Logs", "Backup", "Session", "Dial"})
"""Those that a client ends by going away."""


def recorder(log: AuditLog, authenticator: Authenticator) -> Record:
    """What tells `log` of the calls of a server."""

    def began(method: str, request: Any, context: Context) -> Ended:
        start, noted = log.start(), notes.begin()
        caller, acting = _callers(authenticator, context)

        def ended(answer: Any, error: BaseException | None) -> None:
            asked = request.first if isinstance(request, Messages) else request
            log.tell(
                caller,
                lambda: _parts(method, asked, answer, error),
                lambda: _about(start, caller, acting, method, asked, context, noted),
            )

        return ended

    return began


def _parts(method: str, request: Any, answer: Any, error: BaseException | None) -> Sequence[Part]:
    parts = parts_of(method, request, answer)
    if error is None:
        return parts
    code, reason = outcome_of(method, error)
    return [replace(part, code=code, reason=reason, answered=None) for part in parts]


def outcome_of(method: str, error: BaseException) -> tuple[int, str]:
    """HTTP status and reason of what a call ended with."""
    if isinstance(error, ApiError):
        status = status_of(error)
        return status["code"], status["reason"]
    if isinstance(error, asyncio.CancelledError):
        return (200, "") if method.rpartition("/")[2] in _STREAMS else CLOSED_BY_CLIENT
    return 500, "InternalError"


def _callers(authenticator: Authenticator, context: Context) -> tuple[Identity, Identity | None]:
    """Who calls, and whom they act as. The check that follows says what is wrong with either."""
    try:
        identity = authenticator.identify(context)
        return (authenticator.shown(context), identity) if identity.impersonator else (identity, None)
    except ApiError:
        pass
    try:
        return authenticator.shown(context), None
    except ApiError:
        return NOBODY, None


def _about(
    start: Start,
    caller: Identity,
    acting: Identity | None,
    method: str,
    request: Any,
    context: Context,
    noted: Mapping[str, str],
) -> Circumstances:
    metadata: Sequence[tuple[str, str | bytes]] = context.invocation_metadata() or ()  # type: ignore[assignment] # untyped there
    agent = next((value for key, value in metadata if key == "user-agent"), "")
    return Circumstances(
        start=start,
        caller=caller,
        acting=acting,
        source=_address(context.peer()),
        user_agent=str(agent),
        manager=getattr(request, "field_manager", ""),
        uri=method,
        dry_run=getattr(request, "dry_run", False),
        notes=noted,
    )


def _address(peer: str) -> str:
    """The address in "ipv4:10.0.0.1:4711" or "ipv6:%5B::1%5D:4711"."""
    _, _, rest = peer.partition(":")
    return rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")
