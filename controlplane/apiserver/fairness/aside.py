"""Work on large objects, beside the loop: one thread does one piece at a time, and users take turns at it.

Decoding, completing and judging an object of a megabyte takes up to half a second. In a thread the loop gets its turn
every few milliseconds meanwhile. The work must not touch what belongs to the loop: it is given a copy of the state.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from controlplane.admission.escalation import Rights
from controlplane.admission.request import Identity
from controlplane.apiserver.fairness.gate import Gate, Turn, let_run
from controlplane.apiserver.fairness.queue import Bounds, FairQueue, Flow
from controlplane.rbac.attributes import Attributes
from controlplane.rbac.rules import Rule

LARGE_BYTES: Final = 32 << 10
"""Of an object's JSON; less of it holds the loop for at most some milliseconds."""

UNITS_PER_SECOND: Final = 2_000
"""Of the CPU, in calls: an ordinary one takes half a millisecond."""

_ONE_AT_A_TIME: Final = Bounds(
    calls=1, bytes=1, user_calls=1, user_bytes=1, alone_calls=1, alone_bytes=1, waiting_calls=None
)

LOOP_SECONDS: Final = 10.0
"""How long the thread waits for the loop: only one that ends answers nothing."""

T = TypeVar("T")
P = ParamSpec("P")


class Aside:
    """The thread of one replica. What its work takes is charged to the user who asked for it."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._queue: FairQueue[Turn] = FairQueue(_ONE_AT_A_TIME)
        self._flows: dict[str, Flow[Turn]] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ident = 0  # of the thread

    async def run(self, identity: Identity, size: int, work: Callable[[], T]) -> T:
        """Return what `work` on an object of `size` bytes returns, or raise what it raises; at once unless it is large."""
        if size < LARGE_BYTES:
            return work()
        flow = await self._turn(identity.impersonator or identity.user)
        seconds = [0.0]

        def timed() -> T:
            began = time.thread_time()
            try:
                return work()
            finally:
                seconds[0] = time.thread_time() - began

        try:
            self._loop = asyncio.get_running_loop()
            running = self._loop.run_in_executor(self._made_thread(), timed)
        except BaseException:
            self._end(flow)
            raise

        def over(done: asyncio.Future[T]) -> None:
            if not done.cancelled():
                done.exception()  # nobody may be left to take it
            units = int(seconds[0] * UNITS_PER_SECOND)
            self._queue.charge(flow, units)
            self._gate.charge(identity, units)
            self._end(flow)

        running.add_done_callback(over)  # not before: whoever gives up waiting does not stop the thread
        return await asyncio.shield(running)

    def on_loop(self, function: Callable[P, T]) -> Callable[P, T]:
        """A function that touches what belongs to the loop, for work that may be in the thread: the loop runs it."""

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if threading.get_ident() != self._ident or self._loop is None:
                return function(*args, **kwargs)
            found: Future[T] = Future()

            def answer() -> None:
                try:
                    found.set_result(function(*args, **kwargs))
                except Exception as error:  # noqa: BLE001 - it is the caller's, in the other thread
                    found.set_exception(error)

            self._loop.call_soon_threadsafe(answer)
            return found.result(LOOP_SECONDS)

        return call

    async def _turn(self, user: str) -> Flow[Turn]:
        """Wait until this user's piece is the one that runs."""
        flow = self._flows.setdefault(user, Flow(user))
        if self._queue.begin(flow, 0):
            return flow
        turn = Turn()
        let_run(self._queue.wait(flow, 0, turn))
        try:
            await turn.future
        except BaseException:
            if turn.came:
                self._end(flow)
            else:
                let_run(self._queue.forget(flow, 0, turn))
                self._drop_idle(flow)
            raise
        return flow

    def _end(self, flow: Flow[Turn]) -> None:
        let_run(self._queue.end(flow, 0))
        self._drop_idle(flow)

    def _drop_idle(self, flow: Flow[Turn]) -> None:
        if not flow.running and not flow.waiting:
            self._flows.pop(flow.user, None)

    def _made_thread(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="large-objects", initializer=self._note_thread)
        return self._thread

    def _note_thread(self) -> None:
        self._ident = threading.get_ident()


class RightsOnLoop:
    """Rights, which are remembered by the loop, for work that may be in the thread."""

    def __init__(self, rights: Rights, aside: Aside) -> None:
        self._allows = aside.on_loop(rights.allows)
        self._rules_of = aside.on_loop(rights.rules_of)

    def allows(self, identity: Identity, asked: Attributes) -> bool:
        """Whether the request may be made."""
        return self._allows(identity, asked)

    def rules_of(self, identity: Identity, namespace: str) -> Sequence[Rule]:
        """What somebody may do in a namespace; in "" what they may do everywhere."""
        return self._rules_of(identity, namespace)
