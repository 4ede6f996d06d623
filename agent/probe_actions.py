"""How one probe or hook is performed: a command, an HTTP request, a TCP connection, a gRPC health check, a pause.

Pod addresses are reachable from their node, so nothing here enters a network namespace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

import aiohttp
import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agent.probes import Answer
from agent.runtime.protocol import ContainerRuntime, RuntimeFailure
from api.core import Container, ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction
from api.meta import IntOrString

MESSAGE_BYTES = 10_240  # of a probe's answer that is read (as Kubernetes)
SHOWN_CHARACTERS = 400
REDIRECTS = 10
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})


GRPC_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
"""Each question is asked on a connection of its own, straight to the pod: no failure of an earlier one delays it."""


class ProbeActions:
    """Performs probes and hooks for all pods of the node; shares one HTTP session."""

    def __init__(self, runtime: ContainerRuntime, version: str) -> None:
        self._runtime = runtime
        self._version = version
        self._session: aiohttp.ClientSession | None = None

    async def probe(self, container_id: str, spec: Container, probe: Probe, ip: str) -> Answer:
        """Ask once, within the probe's time-out."""
        seconds = float(probe.timeout_seconds or 1)
        if probe.exec is not None:
            return await self._exec(container_id, probe.exec, seconds)
        try:
            async with asyncio.timeout(seconds):
                if probe.http_get is not None:
                    return await self._http(probe.http_get, spec, ip)
                if probe.tcp_socket is not None:
                    return await self._tcp(probe.tcp_socket, spec, ip)
                if probe.grpc is not None:
                    return await self._grpc(probe.grpc, ip)
        except TimeoutError:
            return Answer(ok=False, message=f"no answer within {seconds:g}s")
        return Answer(ok=False, message="the probe has no action")

    async def hook(self, container_id: str, spec: Container, hook: LifecycleHandler, ip: str, seconds: float) -> Answer:
        """Run a postStart or preStop hook to its end or the time-out."""
        if hook.exec is not None:
            return await self._exec(container_id, hook.exec, seconds)
        try:
            async with asyncio.timeout(seconds):
                if hook.sleep is not None:
                    await asyncio.sleep(hook.sleep.seconds)
                    return Answer(ok=True)
                if hook.http_get is not None:
                    return await self._http(hook.http_get, spec, ip)
        except TimeoutError:
            return Answer(ok=False, message=f"did not end within {seconds:g}s")
        return Answer(ok=False, message="the hook has no action that is supported")

    async def close(self) -> None:
        """Close idle connections."""
        if self._session is not None:
            await self._session.close()

    async def _exec(self, container_id: str, action: ExecAction, seconds: float) -> Answer:
        try:
            result = await self._runtime.exec_sync(container_id, action.command, seconds)
        except TimeoutError:
            return Answer(ok=False, message=f"command timed out: {' '.join(action.command)!r} after {seconds:g}s")
        except RuntimeFailure as error:
            return Answer(ok=False, message=str(error))
        text = result.output.decode(errors="replace").strip()[:SHOWN_CHARACTERS]
        return Answer(ok=result.exit_code == 0, message=text or f"exit code {result.exit_code}")

    async def _http(self, action: HTTPGetAction, spec: Container, ip: str) -> Answer:
        port = port_number(action.port, spec)
        if port is None:
            return Answer(ok=False, message=f"couldn't find port {action.port!r} in container {spec.name}")
        scheme = (action.scheme or "HTTP").lower()
        path = action.path or "/"
        url = f"{scheme}://{action.host or ip}:{port}{path if path.startswith('/') else '/' + path}"
        headers = {"User-Agent": f"kube-probe/{self._version}", "Accept": "*/*"}
        headers |= {header.name: header.value for header in action.http_headers}
        try:
            return await self._get(url, headers)
        except (aiohttp.ClientError, ValueError, OSError) as error:
            return Answer(ok=False, message=f'Get "{url}": {error or type(error).__name__}')

    async def _get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Follows redirects on the same host only; where they lead elsewhere, or nowhere, the server works."""
        target = url
        for _ in range(REDIRECTS + 1):
            # A certificate is not checked: the probe asks whether the server works, not who it is (as Kubernetes).
            get = self._http_session().get(target, headers=headers, ssl=False, allow_redirects=False)
            async with get as response:
                body = await response.content.read(MESSAGE_BYTES)
            shown = body.decode(errors="replace")[:SHOWN_CHARACTERS]
            if response.status not in range(200, 400):
                return Answer(ok=False, message=f"HTTP probe failed with statuscode: {response.status} {shown}")
            if response.status < 300:
                return Answer(ok=True)
            location = response.headers.get("Location", "") if response.status in REDIRECT_STATUSES else ""
            following = urljoin(target, location)
            if not location or urlsplit(following).hostname != urlsplit(url).hostname:
                break
            target = following
        return Answer(ok=True, warning=f"Probe terminated redirects, Response body: {shown}")

    def _http_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        return self._session

    async def _tcp(self, action: TCPSocketAction, spec: Container, ip: str) -> Answer:
        port = port_number(action.port, spec)
        if port is None:
            return Answer(ok=False, message=f"couldn't find port {action.port!r} in container {spec.name}")
        try:
            _, writer = await asyncio.open_connection(action.host or ip, port)
        except OSError as error:
            return Answer(ok=False, message=f"dial tcp {action.host or ip}:{port}: {error.strerror or error}")
        writer.transport.abort()
        return Answer(ok=True)

    async def _grpc(self, action: GRPCAction, ip: str) -> Answer:
        try:
            async with grpc.aio.insecure_channel(f"{ip}:{action.port}", GRPC_OPTIONS) as channel:
                request = health_pb2.HealthCheckRequest(service=action.service or "")
                reply = await health_pb2_grpc.HealthStub(channel).Check(request)
        except grpc.aio.AioRpcError as error:
            return Answer(ok=False, message=f"gRPC health check: {error.code().name}: {error.details()}")
        ok = reply.status == health_pb2.HealthCheckResponse.SERVING
        return Answer(ok=ok, message="" if ok else "service unhealthy: not SERVING")


def port_number(port: IntOrString, spec: Container) -> int | None:
    """The number of a port given as one, as digits or as the name of a container port."""
    if isinstance(port, int):
        return port
    named = {each.name: each.container_port for each in spec.ports}
    if port in named:
        return named[port]
    return int(port) if port.isdigit() else None
