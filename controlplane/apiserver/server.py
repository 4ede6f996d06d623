"""The gRPC server of a replica: options, TLS, health, reflection, and the guards around every handler."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from component.rpc import MESSAGE_OPTIONS, Tls
from component.rpc_server import CheckedCalls
from controlplane.apiserver import authz
from controlplane.apiserver.audit_rpc import recorder
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.fairness.rpc import entering
from controlplane.apiserver.handlers import SERVICE_NAME, method_handlers
from controlplane.apiserver.service import ApiService, JoinTokens, StatusSource
from controlplane.apiserver.stream_calls import NodeStreams, StreamCalls
from controlplane.apiserver.watch_calls import WatchCalls
from controlplane.audit.log import AuditLog

STOP_SECONDS: Final = 2.0
READINESS_SECONDS: Final = 0.1

SERVER_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    *MESSAGE_OPTIONS,
    # Bursts of more than about 1,000 new calls are cancelled otherwise.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
    ("grpc.max_concurrent_streams", 100_000),
    # Packed messages are not unpacked: a megabyte could become a gigabyte. None of our clients packs.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.server_handshake_timeout_ms", 30_000),
    # Two replicas on one port by mistake must fail, not share it.
    ("grpc.so_reuseport", 0),
    # A node or client that vanished without a word frees its streams within 20 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Our clients ping every 3 s, even while they say nothing else.
    ("grpc.http2.min_ping_interval_without_data_ms", 2_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 2_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.max_pings_without_data", 0),
)

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_READINESS_SERVICES: Final = ("", SERVICE_NAME, "api.v1.NodeService")
_SERVICES: Final = (
    SERVICE_NAME,
    "api.v1.NodeService",
    "api.v1.ReplicaLink",
    health.SERVICE_NAME,
    reflection.SERVICE_NAME,
)


class ApiServer:
    """Serves `ApiService`, health and reflection. Further services are added to `server` before `start`.

    Peers need a certificate of the CA in `tls`; without `tls` nobody can be told apart and every call is refused.
    `renew` changes the certificate while it serves.
    """

    def __init__(
        self,
        core: ApiCore,
        streams: NodeStreams,
        tokens: JoinTokens,
        status: StatusSource,
        authenticator: Authenticator,
        tls: Tls | None,
        audit: AuditLog | None = None,
    ) -> None:
        self._core = core
        self._objects = ApiService(core, tokens, status, authenticator)
        self._streams = StreamCalls(core, streams, authenticator)
        self._watches = WatchCalls(core.reads, authenticator)
        self._authenticator = authenticator
        self._tls = self._told_tls = tls
        self._record = None if audit is None else recorder(audit, authenticator)
        self._health = health.aio.HealthServicer()

    @cached_property
    def server(self) -> grpc.aio.Server:
        """The server; must first be asked for inside the running loop."""
        check = authz.check_of(self._authenticator, self._core.authorize)
        checked = CheckedCalls(check, self._record, entering(self._core.gate, self._authenticator, self._core.costs))
        server = grpc.aio.server(interceptors=[checked], options=SERVER_OPTIONS)
        behaviours = self._objects.behaviours() | self._streams.behaviours() | self._watches.behaviours()
        handlers = grpc.method_handlers_generic_handler(SERVICE_NAME, method_handlers(behaviours))
        server.add_generic_rpc_handlers((handlers,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(_SERVICES, server)
        return server

    def listen_locally(self, path: Path) -> None:
        """Serve at a Unix socket, too, without TLS; before `start`. OSError when it cannot be had."""
        try:
            self.server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise OSError(f"cannot listen on {path}: {error}") from error

    async def start(self, address: str) -> int:
        """Listen on `address` ("host:port") and serve; returns the port. OSError when it cannot be had."""
        await self._tell_health(ready=False)
        try:
            if self._tls is None:
                port = self.server.add_insecure_port(address)
            else:
                credentials = grpc.dynamic_ssl_server_credentials(
                    _configuration(self._tls),
                    self._newer_configuration,  # type: ignore[arg-type] # gRPC documents None for "no change"
                    require_client_authentication=True,
                )
                port = self.server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: is another server running there? ({error})") from error
        await self.server.start()
        return port

    def renew(self, tls: Tls) -> None:
        """Show this certificate from the next connection on; those that are there stay."""
        self._tls = tls

    async def follow_readiness(self, ready: Callable[[], bool]) -> None:
        """Keep the health service telling the truth, until cancelled."""
        told: bool | None = None
        while True:
            if told != (now := ready()):
                told = now
                await self._tell_health(ready=now)
            await asyncio.sleep(READINESS_SECONDS)

    async def close(self) -> None:
        """Take no more calls, end watches, give calls under way two seconds, and cancel the rest."""
        await self._health.enter_graceful_shutdown()
        self._watches.end_watches()
        await self.server.stop(STOP_SECONDS)

    def _newer_configuration(self) -> grpc.ServerCertificateConfiguration | None:
        """What changed since it last asked; gRPC asks before every handshake, on threads of its own."""
        tls = self._tls
        if tls is None or tls is self._told_tls:
            return None
        self._told_tls = tls
        return _configuration(tls)

    async def _tell_health(self, *, ready: bool) -> None:
        for service in _READINESS_SERVICES:
            await self._health.set(service, _SERVING if ready else _NOT_SERVING)


def _configuration(tls: Tls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(tls.key_pem, tls.cert_pem)], tls.ca_pem)
