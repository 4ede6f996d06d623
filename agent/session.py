"""The agent's end of the session with the control plane: one stream to one replica, another replica when it breaks.

Carries messages and keeps time; what they mean is the `SessionSide`'s business. A lost control plane changes nothing
on the node: this module only keeps trying.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import grpc
import grpc.aio
import structlog

from agent.inputs import BrokenChain
from agent.reports import ReportBook
from api.v1 import node_pb2, node_pb2_grpc
from component.env import Env
from component.handshake import Obstacle
from component.rpc import error_of
from component.tasks import cancelled_elsewhere_as, run_until_one_ends

log = structlog.get_logger()

HEARTBEAT_SECONDS = 1.0
REGISTER_SECONDS = 3.0
"""To connect and be registered; registering is a write, so it may have to wait for an election."""

SILENT_SECONDS = 2.5
"""Every heartbeat is answered; a replica that is silent this long is given up."""

BATCH_SECONDS = 0.010
REPORTS_IN_FLIGHT = 8
REPORT_RETRY_SECONDS = 0.2
STEADY_SECONDS = 5.0
"""A session that ends sooner counts as a failed attempt, so that one that always breaks is not retried in a circle."""

PAUSE_FIRST_SECONDS = 0.05
PAUSE_MAX_SECONDS = 1.0
REFUSED_PAUSE_SECONDS = 5.0
TOLD_AGAIN_SECONDS = 60.0
"""How often the same trouble with the same replica is logged while no session comes about."""

MAX_TOLD = 100

Explain = Callable[[str], Awaitable[Obstacle | None]]
"""Endpoint -> what keeps us from connecting to it; gRPC does not tell a wrong certificate from a closed port."""

Call = grpc.aio.StreamStreamCall[node_pb2.AgentMessage, node_pb2.ServerMessage]


class Refused(Exception):
    """The other side is not our cluster, or an older session of ours; the message says which."""


class SessionSide(Protocol):
    """What a session is held for. `status_changed` is set when a heartbeat should not wait for its second."""

    status_changed: asyncio.Event

    def endpoints(self) -> Sequence[str]:
        """Addresses of replicas, host:port, at least one."""

    def register(self) -> node_pb2.Register:
        """Who we are."""

    async def registered(self, message: node_pb2.Registered) -> None:
        """A replica took us. Raises Refused to hang up."""

    async def endpoints_changed(self, message: node_pb2.Endpoints) -> None:
        """The replicas have other addresses now."""

    async def inputs(self, message: node_pb2.Inputs) -> None:
        """New inputs; returns when they are safe. Raises BrokenChain when a full set is needed."""

    def node_status(self) -> str:
        """The node's status now, as JSON."""

    def unknown(self, uids: Sequence[str]) -> None:
        """Pods that were reported and do not exist."""

    def open_stream(self, channel: grpc.aio.Channel, message: node_pb2.OpenStream) -> None:
        """A client wants logs or a command; dial back on the channel."""

    def close_stream(self, stream_id: str) -> None:
        """The client has gone."""

    def disconnected(self, reason: str, *, refused: bool) -> None:
        """The session ended, or none came about; another one is being tried. `refused`: by one side's decision."""


class Session:
    """Holds one session after the other until cancelled."""

    def __init__(
        self,
        side: SessionSide,
        reports: ReportBook,
        connect: Callable[[str], grpc.aio.Channel],
        env: Env,
        explain: Explain | None = None,
    ) -> None:
        self._side = side
        self._explain = explain
        self._reports = reports
        self._connect = connect
        self._env = env
        self._writing = asyncio.Lock()
        self._next_report = 1
        self._in_flight = 0
        self._answered = asyncio.Event()
        self._sent_status = ""
        self._last_message_time = 0.0
        self._informed = asyncio.Event()
        self._told_times: dict[tuple[str, str], float] = {}
        self.channel: grpc.aio.Channel | None = None  # to the replica that has registered us

    async def run(self) -> None:
        """Keep a session."""
        turn = self._env.rng.randrange(1 << 16)
        failures = 0
        while True:
            endpoints = self._side.endpoints()
            endpoint = endpoints[turn % len(endpoints)]
            turn += 1
            began_time = self._env.monotonic()
            try:
                refused = await self._serve(endpoint)
            except Exception:  # the outermost loop of the session: pods need the next one more than we need this one
                log.exception("session_crashed", endpoint=endpoint)
                refused = False
            lasted_seconds = self._env.monotonic() - began_time
            failures = 0 if lasted_seconds > STEADY_SECONDS else failures + 1
            # One quick round over all replicas: usually just one of them is gone.
            rounds, rest = divmod(failures, len(endpoints))
            if refused:
                await asyncio.sleep(REFUSED_PAUSE_SECONDS)
            elif failures and rest == 0:
                longest = min(PAUSE_FIRST_SECONDS * 2**rounds, PAUSE_MAX_SECONDS)
                await asyncio.sleep(longest * self._env.rng.uniform(0.5, 1.0))

    async def _serve(self, endpoint: str) -> bool:
        """One session from connect to its end; returns whether it was refused."""
        refused = False
        reason = "the stream ended"
        try:
            with cancelled_elsewhere_as(OSError("the call was cancelled")):
                await self._hold(endpoint)
        except grpc.aio.AioRpcError as error:
            refused = error.code() is grpc.StatusCode.FAILED_PRECONDITION
            reason = str(error_of(error))
            if error.code() is grpc.StatusCode.UNAVAILABLE and self._explain is not None:
                obstacle = await self._explain(endpoint)
                if obstacle is not None and obstacle.lasting:
                    refused, reason = True, obstacle.text
        except (Refused, BrokenChain) as error:
            refused, reason = isinstance(error, Refused), str(error)
        except TimeoutError:
            reason = "no answer in time"
        except (OSError, asyncio.InvalidStateError, grpc.aio.UsageError) as error:
            reason = str(error)
        finally:
            self._reports.lost()
            self._in_flight = 0
        self._side.disconnected(reason, refused=refused)
        self._tell("session_refused" if refused else "session_lost", endpoint, reason)
        return refused

    async def _hold(self, endpoint: str) -> None:
        """Register, then talk until something ends that."""
        async with self._connect(endpoint) as channel:
            stub: Any = node_pb2_grpc.NodeServiceStub(channel)  # type: ignore[no-untyped-call] # generated
            call: Call = stub.Session()
            try:
                async with asyncio.timeout(REGISTER_SECONDS):
                    await self._register(call)
                log.info("session_registered", endpoint=endpoint)
                self._told_times.clear()
                self.channel = channel
                await self._talk(channel, call)
            finally:
                self.channel = None
                call.cancel()

    def _tell(self, event: str, endpoint: str, reason: str) -> None:
        """Log how a session ended; attempts that keep failing alike fill no disk."""
        now, trouble = self._env.monotonic(), (endpoint, reason)
        if now - self._told_times.get(trouble, float("-inf")) < TOLD_AGAIN_SECONDS:
            return
        if len(self._told_times) >= MAX_TOLD:
            self._told_times.clear()
        self._told_times[trouble] = now
        log.warning(event, endpoint=endpoint, error=reason)

    async def _register(self, call: Call) -> None:
        register = self._side.register()
        self._sent_status = register.node_status
        await self._write(call, node_pb2.AgentMessage(register=register))
        message = await call.read()
        if not isinstance(message, node_pb2.ServerMessage):
            await call.code()  # the status tells why
            raise Refused(await call.details() or "the replica ended the session")
        if message.WhichOneof("message") != "registered":
            raise Refused("the replica did not register us first")
        await self._side.registered(message.registered)

    async def _talk(self, channel: grpc.aio.Channel, call: Call) -> None:
        """Run the parts of a session; the first that ends it ends all."""
        self._last_message_time = self._env.monotonic()
        self._informed.clear()
        await run_until_one_ends(self._read(channel, call), self._heartbeat(call), self._report(call))

    async def _read(self, channel: grpc.aio.Channel, call: Call) -> None:
        while True:
            message = await call.read()
            if not isinstance(message, node_pb2.ServerMessage):
                await self._raise_status(call)
                return
            self._last_message_time = self._env.monotonic()
            match message.WhichOneof("message"):
                case "inputs":
                    await self._side.inputs(message.inputs)
                    self._informed.set()
                case "report_result":
                    self._settle(message.report_result)
                case "endpoints":
                    await self._side.endpoints_changed(message.endpoints)
                case "open_stream":
                    self._side.open_stream(channel, message.open_stream)
                case "close_stream":
                    self._side.close_stream(message.close_stream.stream_id)
                case _:
                    pass  # an answered heartbeat, or something newer than we are

    async def _raise_status(self, call: Call) -> None:
        code = await call.code()
        if code is not grpc.StatusCode.OK:
            details, initial, trailing = (
                await call.details(),
                await call.initial_metadata(),
                await call.trailing_metadata(),
            )
            raise grpc.aio.AioRpcError(code, initial, trailing, details)

    async def _heartbeat(self, call: Call) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._side.status_changed.wait()
            self._side.status_changed.clear()
            if self._env.monotonic() - self._last_message_time > SILENT_SECONDS:
                raise TimeoutError
            status = self._side.node_status()
            news = status if status != self._sent_status else ""
            self._sent_status = status
            await self._write(call, node_pb2.AgentMessage(heartbeat=node_pb2.Heartbeat(node_status=news)))

    async def _report(self, call: Call) -> None:
        """Send news at once when there were none for a while, else gathered for a moment.

        The first only when it was heard what the control plane holds: after a boot it may know more than the node.
        """
        await self._informed.wait()
        sent_time = 0.0
        while True:
            await self._reports.changed.wait()
            pause = sent_time + BATCH_SECONDS - self._env.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            while self._in_flight >= REPORTS_IN_FLIGHT:
                self._answered.clear()
                await self._answered.wait()
            report = self._reports.take(self._next_report)
            if report is None:
                continue
            self._next_report += 1
            self._in_flight += 1
            sent_time = self._env.monotonic()
            await self._write(call, node_pb2.AgentMessage(report=report))

    def _settle(self, result: node_pb2.ReportResult) -> None:
        self._in_flight = max(0, self._in_flight - 1)
        self._answered.set()
        if result.unknown_uids:
            self._side.unknown(result.unknown_uids)
        if result.retry:
            asyncio.get_running_loop().call_later(REPORT_RETRY_SECONDS, self._reports.lost, result.id)
        else:
            self._reports.settle(result.id)

    async def _write(self, call: Call, message: node_pb2.AgentMessage) -> None:
        async with self._writing:
            # A replica that stopped reading fills its window; it must not hold us for ever.
            async with asyncio.timeout(SILENT_SECONDS):
                with contextlib.suppress(asyncio.InvalidStateError):
                    await call.write(message)
