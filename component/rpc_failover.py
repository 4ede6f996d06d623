"""One set of replicas seen as one server: calls go to the replica that answered last and move on when it cannot.

It decides what may be sent twice. It knows methods only by name and no object's meaning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import grpc
import grpc.aio

from api import errors
from api.v1 import apiserver_pb2_grpc
from component import rpc
from component.env import Env

if TYPE_CHECKING:  # asked only when nothing else works
    from component.handshake import Obstacle

CONNECT_SECONDS = 1.0
"""How long a replica may take to accept a connection before the next one is tried."""

UNREACHABLE_SECONDS = 10.0
"""After so long without any connection there is nobody to wait for, whatever time the call has left."""

ATTEMPT_SECONDS = 10.0
"""How long one replica may take to answer what can safely be asked of another."""

SILENT_SECONDS = 0.25
"""After so long without an answer to what may be sent twice, a replica is asked for a sign of life."""

SIGN_SECONDS = 0.5
"""How long that may take; twice as long after each replica left for its silence, lest slowness be taken for death."""

UNSERVED_SECONDS = 15.0
"""After so long a failed attempt is the last one: a majority that is only electing a leader needs far less."""

FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5

_SIGN_OF_LIFE = "/grpc.health.v1.Health/Check"

Repeat = Literal["read", "once", "write", "safe", "never"]
"""May a call whose outcome is unknown be sent again? "write": yes, its `sending` says that it is the same one.

"safe": yes, being done twice does no harm. "once": a read that each replica is asked for once, since waiting for an
election is what it wants to avoid.
"""

Verdict = Literal["final", "later", "elsewhere", "doubtful"]
"""Of a failed call: never right, or right after a while, or another replica may serve it, or it may have been done."""

Metadata = tuple[tuple[str, str], ...]
"""Of calls: names in small letters."""

Warn = Callable[[str], None]
"""Told what a replica warned of in a call that was done."""

Explain = Callable[[str], Awaitable["Obstacle | None"]]
"""Address -> why no connection to it comes about; `component.handshake` knows."""


class WithMetadata:
    """A stub whose every call carries `metadata`, such as the name of the user that it is made as."""

    def __init__(self, stub: Any, metadata: Metadata) -> None:
        self._stub = stub
        self._metadata = metadata

    def __getattr__(self, method: str) -> Any:
        return partial(getattr(self._stub, method), metadata=self._metadata)


class Replica:
    """One replica's channel and stub; connects when first used."""

    def __init__(self, address: str, tls: rpc.Tls | None, metadata: Metadata = ()) -> None:
        self.address = address
        self._channel = rpc.channel(address, tls)
        stub: Any = apiserver_pb2_grpc.ApiServerStub(self._channel)  # type: ignore[no-untyped-call] # generated
        self.stub: Any = WithMetadata(stub, metadata) if metadata else stub
        self._check: Any = self._channel.unary_unary(_SIGN_OF_LIFE)
        self._asking: asyncio.Task[bool] | None = None

    async def connect(self, timeout_seconds: float) -> bool:
        """Whether there is a connection, waiting for one at most so long and not after a refusal."""
        try:
            async with asyncio.timeout(timeout_seconds):
                state = self._channel.get_state(try_to_connect=True)
                while state is not grpc.ChannelConnectivity.READY:
                    if state in {grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN}:
                        return False
                    await self._channel.wait_for_state_change(state)
                    state = self._channel.get_state(try_to_connect=True)
        except TimeoutError:
            return False
        return True

    async def alive(self, timeout_seconds: float) -> bool:
        """Whether it answers anything at all in time; what it says does not matter.

        Whoever asks while somebody else does gets the same answer: a busy replica must not be asked by each of
        thousands of callers.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._answers(timeout_seconds))
        return await asyncio.shield(self._asking)

    async def _answers(self, timeout_seconds: float) -> bool:
        try:
            await self._check(b"", timeout=timeout_seconds)
        except grpc.aio.AioRpcError as failure:
            return failure.code() not in {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
        return True

    async def close(self) -> None:
        """Cancel what is under way and disconnect."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._channel.close(None)


class Attempt:
    """One call at one replica, which is given up when the replica shows no sign of life.

    A link that is cut, or a machine that stopped, refuses nothing: without this only the connection's keepalive
    would tell, after seconds.
    """

    def __init__(self, replica: Replica, call: Any, sign_seconds: float) -> None:
        self._replica = replica
        self._call = call
        self._sign_seconds = sign_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        self._silent = False

    async def answer(self, warn: Warn | None = None) -> Any:
        """The call's answer; Silent, or what the call raises. Warnings come before it."""
        self._ask_later()
        try:
            return await _with_warnings(self._call, warn) if warn is not None else await self._call
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._silent or (task is not None and task.cancelling()):
                raise
            raise Silent(f"{self._replica.address} does not answer") from None
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._asking is not None:
                self._asking.cancel()

    def _ask_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SILENT_SECONDS, self._start_asking)

    def _start_asking(self) -> None:
        self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        if await self._replica.alive(self._sign_seconds):
            self._ask_later()
        else:
            self._silent = True
            self._call.cancel()


async def _with_warnings(call: Any, warn: Warn) -> Any:
    answer = await call
    for key, value in await call.trailing_metadata() or ():
        if key == rpc.WARNING_KEY:
            warn(value.decode(errors="replace"))
    return answer


class Silent(errors.Unavailable):
    """A replica gave no sign of life: what it was asked may have been done."""


class Patience:
    """When to give up, and how long to wait between rounds: doubling, with jitter, up to half a second."""

    def __init__(self, env: Env, timeout_seconds: float) -> None:
        self._env = env
        self._timeout_seconds = timeout_seconds
        self.restart()

    def restart(self) -> None:
        """Something worked: the whole time is there again."""
        self._end = self._env.monotonic() + self._timeout_seconds
        self._pause_seconds = FIRST_PAUSE_SECONDS

    @property
    def remaining_seconds(self) -> float:
        """Time left, 0 when there is none."""
        return max(0.0, self._end - self._env.monotonic())

    async def pause(self, at_least_seconds: float = 0.0) -> None:
        """Wait before the next round."""
        seconds = at_least_seconds + self._pause_seconds * self._env.rng.uniform(0.5, 1.0)
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        await asyncio.sleep(min(seconds, self.remaining_seconds))


class Replicas:
    """All replicas of a cluster; remembers which one is good.

    `explain` is asked when no replica can be reached: what waiting cannot mend is raised as Unauthenticated.
    `metadata` goes with every call. `warn`, once set, is told what replicas warn of.
    """

    warn: Warn | None = None

    def __init__(
        self,
        endpoints: Sequence[str],
        tls: rpc.Tls | None,
        env: Env,
        explain: Explain | None = None,
        metadata: Metadata = (),
    ) -> None:
        if not endpoints:
            raise errors.Invalid("no API server address is given")
        self._env = env
        self._explain = explain
        self._replicas = [Replica(address, tls, metadata) for address in endpoints]
        self._current = 0

    async def connected(self, patience: Patience, last: errors.ApiError | None = None) -> Replica:
        """A replica with a connection, the current one first. Unavailable when patience ends, telling of `last`."""
        give_up_time = self._env.monotonic() + UNREACHABLE_SECONDS
        tried: str | None = None
        while True:
            for _ in self._replicas:
                replica = self._replicas[self._current]
                if await replica.connect(min(CONNECT_SECONDS, patience.remaining_seconds)):
                    return replica
                self.leave(replica)
            if tried is None:
                tried = await self._obstacles()
            if not patience.remaining_seconds or self._env.monotonic() >= give_up_time:
                raise last or errors.Unavailable(f"no API server can be reached (tried {tried})")
            await patience.pause()

    def __len__(self) -> int:
        return len(self._replicas)

    def turn(self) -> None:
        """Use the next one from now on."""
        self._current = (self._current + 1) % len(self._replicas)

    def leave(self, replica: Replica) -> None:
        """Use the next one from now on, unless that happened already."""
        if self._replicas[self._current] is replica:
            self._current = (self._current + 1) % len(self._replicas)

    async def call(self, method: str, request: Any, timeout_seconds: float, repeat: Repeat) -> Any:
        """Make a unary call wherever it can be served; Unknown when a write's outcome is and it must not be repeated."""
        patience = Patience(self._env, timeout_seconds)
        last_attempt_time = self._env.monotonic() + UNSERVED_SECONDS
        last: errors.ApiError | None = None
        doubtful = False
        sign_seconds = SIGN_SECONDS
        left = len(self._replicas) if repeat == "once" else -1
        while True:
            try:
                replica = await self.connected(patience, last)
            except errors.Unavailable as error:
                raise _final(error, repeat, doubtful=doubtful) from None
            if doubtful and repeat == "write":
                request.sending.repeated = True
            seconds = patience.remaining_seconds
            send = getattr(replica.stub, method)
            try:
                if repeat == "never":
                    return await send(request, timeout=seconds)
                attempt = Attempt(replica, send(request, timeout=min(seconds, ATTEMPT_SECONDS)), sign_seconds)
                return await attempt.answer(self.warn)
            except grpc.aio.AioRpcError as failure:
                verdict, last = judge(failure)
            except Silent as silence:
                verdict, last = "doubtful", silence
                sign_seconds *= 2
            if verdict == "later" and patience.remaining_seconds > errors.RETRY_SECONDS:
                self.leave(replica)  # it may serve so slowly because it is cut off
                await patience.pause(at_least_seconds=errors.RETRY_SECONDS)
                continue
            doubtful = doubtful or verdict == "doubtful"
            left -= 1
            over = not left or not patience.remaining_seconds or self._env.monotonic() >= last_attempt_time
            if verdict in {"final", "later"} or (doubtful and repeat == "never") or over:
                raise _final(last, repeat, doubtful=doubtful)
            self.leave(replica)
            await patience.pause()

    async def close(self) -> None:
        """Disconnect from all."""
        for replica in self._replicas:
            await replica.close()

    async def _obstacles(self) -> str:
        """The addresses, each with what is in the way. Unauthenticated for what waiting will not mend."""
        addresses = [replica.address for replica in self._replicas]
        if self._explain is None:
            return ", ".join(addresses)
        found = await asyncio.gather(*map(self._explain, addresses))
        for obstacle in found:
            if obstacle is not None and obstacle.lasting:
                raise errors.Unauthenticated(obstacle.text)
        return ", ".join(
            f"{address}: {obstacle.text}" if obstacle else address
            for address, obstacle in zip(addresses, found, strict=True)
        )


def judge(failure: grpc.aio.AioRpcError) -> tuple[Verdict, errors.ApiError]:
    """What a failed call means for trying again, and the error it is."""
    error = rpc.error_of(failure)
    if rpc.answered(failure):
        if isinstance(error, errors.TooManyRequests):
            return "later", error
        if isinstance(error, errors.Unavailable):
            return "elsewhere", error
        return ("doubtful" if isinstance(error, errors.Unknown) else "final"), error
    return ("doubtful" if isinstance(error, errors.Unavailable | errors.Unknown) else "final"), error


def _final(error: errors.ApiError, repeat: Repeat, *, doubtful: bool) -> errors.ApiError:
    """The error to raise. Once a write's outcome is in doubt, only an answer of the API to a repetition settles it."""
    if not doubtful or not isinstance(error, errors.Unavailable | errors.Unknown):
        return error
    if repeat in {"read", "once"}:
        return errors.Unavailable(str(error))
    return errors.Unknown(f"the connection broke while this was written; read before trying again ({error})")
