"""Tells the audit log of every HTTPS request, when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web
from msgspec import structs

from controlplane.admission.request import Identity
from controlplane.apiserver.rest import negotiation
from controlplane.apiserver.rest.access import ACTING, CALLER
from controlplane.apiserver.rest.call import ANSWERED, ASKED, DRY_RUN, MANAGER, REASON, SENT, SUBJECT
from controlplane.audit import notes
from controlplane.audit.log import AuditLog, Circumstances, Part, Start
from controlplane.audit.record import Document
from controlplane.rbac.attributes import Attributes, on_path

NOBODY: Final = Identity("")
CLOSED_BY_CLIENT: Final = (499, "ClientClosedRequest")
_OF_MANY: Final = frozenset({"list", "watch", "deletecollection"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def auditing(log: AuditLog) -> Any:
    """The middleware; it belongs outside of everything that turns errors into answers."""

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        start, noted = log.start(), notes.begin()
        code, reason = 500, "InternalError"
        try:
            response = await handler(request)
            code, reason = response.status, request.get(REASON, "")
        except asyncio.CancelledError:
            code, reason = (200, "") if _ends_so(request.get(ASKED)) else CLOSED_BY_CLIENT
            raise
        finally:
            caller = request.get(CALLER, NOBODY)
            log.tell(caller, lambda: (_part(request, code, reason),), lambda: _about(start, caller, request, noted))
        return response

    return record


def _part(request: web.Request, code: int, reason: str) -> Part:
    asked: Attributes | None = request.get(ASKED)
    if asked is None:
        return Part(on_path(request.method.lower(), request.path), code=code, reason=reason)
    subject = request.get(SUBJECT)
    if subject is not None and subject.name and not asked.name:
        asked = structs.replace(asked, name=subject.name)  # of what was created, as its body says
    sent, answered = request.get(SENT), request.get(ANSWERED)
    shown = answered is not None and asked.verb not in _OF_MANY
    return Part(
        asked,
        Document(sent, _form(request)) if sent else None,
        Document(answered) if shown and answered else None,
        code,
        reason,
    )


def _ends_so(asked: Attributes | None) -> bool:
    """Whether it is the client that ends such an answer, by going away: a watch, or a log that is followed."""
    return asked is not None and (asked.verb == "watch" or asked.combined == "pods/log")


def _form(request: web.Request) -> str:
    media = request.headers.get("Content-Type", "").lower()
    if negotiation.PROTOBUF in media:
        return "protobuf"
    return "yaml" if "yaml" in media else "json"


def _about(start: Start, caller: Identity, request: web.Request, noted: Mapping[str, str]) -> Circumstances:
    acting = request.get(ACTING, caller)
    return Circumstances(
        start=start,
        caller=caller,
        acting=acting if acting.impersonator else None,
        source=request.remote or "",
        user_agent=request.headers.get("User-Agent", ""),
        manager=request.get(MANAGER, ""),
        uri=request.path,
        dry_run=request.get(DRY_RUN, request.query.get("dryRun", "") == "All"),
        notes=noted,
    )
