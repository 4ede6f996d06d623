"""The HTTPS port: the Kubernetes-compatible API, what a machine needs before it has a certificate, and health.

A certificate is asked for and must be of the cluster's CA when one is shown. Without, a caller can join, with a token,
and learn version and health.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import structlog
from aiohttp import hdrs, http_exceptions, web, web_protocol

from api import errors
from component.join import CA_PATH, JOIN_PATH, JOIN_REPLICA_PATH, RENEW_PATH
from controlplane.admission.request import MASTERS_GROUP, Identity
from controlplane.apiserver.fairness.doors import HANDSHAKE_SECONDS, IDLE_SECONDS, Doors
from controlplane.apiserver.fairness.vanished import Watchman
from controlplane.apiserver.health import Health
from controlplane.apiserver.join import JoinDesk
from controlplane.apiserver.replica_join import ReplicaJoinDesk
from controlplane.apiserver.rest.api import RestApi
from controlplane.apiserver.rest.auditing import auditing
from controlplane.apiserver.rest.bodies import BODY_SECONDS
from controlplane.apiserver.rest.call import REASON
from controlplane.apiserver.rest.discovery import version_info
from controlplane.audit.log import AuditLog
from controlplane.level import FIRST_LEVEL

log = structlog.get_logger()

Handler = Callable[[Any], Awaitable[web.StreamResponse]]

LARGEST_BODY_BYTES = 64 << 10  # of a join; the API has a limit of its own
LARGEST_LINE_BYTES = 64 << 10  # long selectors and commands stand in the path, tokens in a header
SHUTDOWN_SECONDS = 2.0
DESK_IDENTITY = Identity("system:join-desk", (MASTERS_GROUP,))

STATUSES: Mapping[type[errors.ApiError], int] = {
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Conflict: 409,
    errors.Expired: 410,
    errors.TooLarge: 413,
    errors.TooManyRequests: 429,
    errors.NotReady: 409,
    errors.Failed: 500,
    errors.Unavailable: 503,
    errors.Unknown: 504,
}
"""The HTTP status of each error, as Kubernetes chooses them."""


class HttpsServer:
    """Serves one port until closed."""

    def __init__(
        self,
        desk: JoinDesk,
        replica_desk: ReplicaJoinDesk | None,
        api: RestApi,
        health: Health,
        version: str,
        audit: AuditLog | None = None,
        *,
        idle_seconds: float = IDLE_SECONDS,
        body_seconds: float = BODY_SECONDS,
        handshake_seconds: float = HANDSHAKE_SECONDS,
        watchman: Watchman | None = None,
    ) -> None:
        self._idle_seconds = idle_seconds
        self._body_seconds = body_seconds
        self._handshake_seconds = handshake_seconds
        self._watchman = watchman or Watchman()
        self._watching: asyncio.Task[None] | None = None
        self._desk = desk
        self._api = api
        self._replica_desk = replica_desk
        self._health = health
        self._version = version
        self._recorded = _unrecorded if audit is None else auditing(audit)
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def start(self, host: str, port: int, cert_path: Path, key_path: Path) -> int:
        """Listen and return the port; OSError when the address is taken."""
        context = self._context
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(cert_path, key_path)
        context.load_verify_locations(cadata=self._desk.ca_pem.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        app = web.Application(client_max_size=LARGEST_BODY_BYTES, middlewares=[self._recorded, _answering_errors])
        app.router.add_get(CA_PATH, self._ca)
        app.router.add_post(JOIN_PATH, self._join)
        app.router.add_post(JOIN_REPLICA_PATH, self._join_replica)
        app.router.add_post(RENEW_PATH, self._renew)
        self._health.add_to(app)
        app.router.add_get("/version", self._versions)
        app.router.add_get("/version/", self._versions)
        self._api.add_to(app)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_connection_log(),
            shutdown_timeout=SHUTDOWN_SECONDS,
            handler_cancellation=True,  # a watch must end when its client goes, even if it has nothing to send
            max_line_size=LARGEST_LINE_BYTES,
            max_field_size=LARGEST_LINE_BYTES,
            keepalive_timeout=self._idle_seconds,
        )
        await self._runner.setup()
        server = self._runner.server
        assert server is not None, "made by setup"
        server.request_handler = self._direct(server.request_handler)
        self._listening = await asyncio.get_running_loop().create_server(
            Doors(server, self._api.most_connections, self._watchman),
            host,
            port,
            ssl=context,
            ssl_handshake_timeout=self._handshake_seconds,
            reuse_address=True,
        )
        self._watching = asyncio.ensure_future(self._watchman.run())
        return int(self._listening.sockets[0].getsockname()[1])

    def _direct(self, routed: Handler) -> Handler:
        """Requests for resources, which nearly all are, go past the router: it takes 3 % of what a create takes here."""

        def handle(request: Any) -> Awaitable[web.StreamResponse]:
            if self._api.about_resource(request) and hdrs.EXPECT not in request.headers:  # which the router answers
                return self._recorded(request, self._api.resource)
            return routed(request)

        return handle

    def renew(self, cert_path: Path, key_path: Path) -> None:
        """Show this certificate from the next connection on; those that are there stay. OSError."""
        self._context.load_cert_chain(cert_path, key_path)

    async def close(self) -> None:
        """Stop listening and end open connections."""
        if self._listening is not None:
            self._listening.close()
        self._api.end_watches()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _ca(self, _request: web.Request) -> web.Response:
        return web.json_response({"ca": self._desk.ca_pem.decode()})

    async def _join(self, request: web.Request) -> web.Response:
        return web.json_response(await self._desk.join(DESK_IDENTITY, *await self._newcomer(request)))

    async def _renew(self, request: web.Request) -> web.Response:
        return web.json_response(await self._desk.renew(*await self._newcomer(request)))

    async def _newcomer(self, request: web.Request) -> tuple[str, str, str]:
        """Token, name and certificate request of a node. Invalid."""
        try:
            body = await _body(request, self._body_seconds)
            return str(body["token"]), str(body["name"]), str(body["request"])
        except (ValueError, KeyError, TypeError) as error:
            raise errors.Invalid("the body must be JSON with token, name and request") from error

    async def _join_replica(self, request: web.Request) -> web.Response:
        if self._replica_desk is None:
            raise errors.NotReady("this replica has no raft-ca.key and can let no other in: ask another replica")
        try:
            body = await _body(request, self._body_seconds)
            given = {field: str(body[field]) for field in ("token", "name", "host", "request", "raft_request")}
            level = int(body.get("level", FIRST_LEVEL))
        except (ValueError, KeyError, TypeError) as error:
            raise errors.Invalid("the body must be JSON with token, name, host, request and raft_request") from error
        return web.json_response(await self._replica_desk.join(**given, level=level))

    async def _versions(self, _request: web.Request) -> web.Response:
        return web.json_response(version_info(self._version))


async def _body(request: web.Request, seconds: float) -> Any:
    """What somebody without a certificate sends; HTTPRequestTimeout when it does not come in time."""
    try:
        async with asyncio.timeout(seconds):
            return await request.json()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the body did not arrive within {seconds:g} s") from None


class _ConnectionLog(logging.Handler):
    """What the HTTP library says of connections.

    What is no HTTP, and a body that cannot be unpacked, is its sender's mistake, and no line: whoever reaches the port could fill
    the log.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Log everything else as our own errors are logged."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, (web_protocol.RequestPayloadError, http_exceptions.HttpProcessingError)):
            log.error("http_connection_failed", problem=record.getMessage(), exc_info=error)


def _connection_log() -> logging.Logger:
    made = logging.Logger("connections", logging.WARNING)  # noqa: LOG001 - one for each server, below no other
    made.addHandler(_ConnectionLog())
    return made


@web.middleware
async def _unrecorded(request: web.Request, handler: Handler) -> web.StreamResponse:
    return await handler(request)


@web.middleware
async def _answering_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except errors.ApiError as error:
        request[REASON] = error.reason
        return _error(STATUSES[type(error)], error.reason, str(error))
    except web.HTTPException as error:
        return _error(error.status, error.reason.replace(" ", ""), error.text or error.reason)
    except Exception:
        log.exception("request_failed", path=request.path)
        return _error(500, "InternalError", "internal error; the server's log has the cause")


def _error(status: int, reason: str, message: str) -> web.Response:
    tree = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return web.json_response({**tree, "reason": reason, "message": message, "code": status}, status=status)
