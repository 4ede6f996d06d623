"""Virtual time and a deterministic event loop: every simulated process has one of its own, all share one order.

Handles run one after the other, by time and then in the order in which they were made; nothing else decides. What
cannot be repeated is not there: executors, sockets and signals raise, and so do `asyncio.wait` and `TaskGroup`, which
walk sets of tasks. It must not know what the processes do.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import heapq
import random
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

LIVELOCK_HANDLES = 50_000  # at one instant: somebody spins


class Livelock(AssertionError):
    """Handles make each other run without time going on."""


class Forbidden(AssertionError):
    """Product code calls what a simulation cannot repeat."""


class Simulator:
    """The clock, the order of everything, the seeded chance, and the trace's hash."""

    def __init__(self, seed: int | str) -> None:
        self.seed = seed
        self.now = 0.0
        self.steps = 0
        self.log: Callable[[str], None] | None = None
        self.problems: list[str] = []  # what callbacks raised
        self._ready: deque[tuple[ProcessLoop, asyncio.Handle]] = deque()
        self._timers: list[tuple[float, int, ProcessLoop, asyncio.TimerHandle]] = []
        self._number = 0
        self._at_instant = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._loops: list[ProcessLoop] = []
        self.world = self.process("world")

    def rng(self, name: str) -> random.Random:
        """A source of chance of its own, so that one part's draws do not change another's."""
        return random.Random(f"{self.seed}/{name}")

    def process(self, name: str) -> ProcessLoop:
        loop = ProcessLoop(self, name)
        self._loops.append(loop)
        return loop

    def trace(self, *facts: object) -> None:
        """Make facts part of what a repeated run must repeat."""
        line = f"{self.now:.9f} {self.steps} {facts}"
        self._hash.update(line.encode())
        if self.log is not None:
            self.log(line)

    @property
    def trace_hash(self) -> str:
        return self._hash.hexdigest()

    def soon(self, loop: ProcessLoop, handle: asyncio.Handle) -> None:
        self._ready.append((loop, handle))

    def at(self, loop: ProcessLoop, handle: asyncio.TimerHandle) -> None:
        self._number += 1
        heapq.heappush(self._timers, (handle.when(), self._number, loop, handle))

    def run_until(self, done: Callable[[], bool], limit_seconds: float) -> bool:
        """Run handles until `done` says so or the time is up; whether it was done."""
        end = self.now + limit_seconds
        with self._running():
            while not done():
                if not self._ready and (not self._timers or self._timers[0][0] > end):
                    self.now = max(self.now, end)
                    return done()
                self._step()
        return True

    def run_task(self, work: Coroutine[Any, Any, Any], limit_seconds: float) -> Any:
        """Run a coroutine of the world to its end."""
        task = self.world.create_task(work)
        if not self.run_until(task.done, limit_seconds):
            raise AssertionError(f"not done after {limit_seconds} simulated seconds")
        return task.result()

    def _step(self) -> None:
        if self._ready:
            loop, handle = self._ready.popleft()
        else:
            when, _, loop, handle = heapq.heappop(self._timers)
            if handle.cancelled():
                return
            if when > self.now:
                self.now = when
                self._at_instant = 0
        self._at_instant += 1
        if self._at_instant > LIVELOCK_HANDLES:
            raise Livelock(f"{loop.name}: {handle}")
        if handle.cancelled():
            return
        if loop.frozen or loop.dead:
            loop.stalled.append(handle)
            return
        self.steps += 1
        asyncio._set_running_loop(loop)
        handle._run()
        asyncio._set_running_loop(None)

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        before = sys.get_asyncgen_hooks()
        collecting = gc.isenabled()
        gc.disable()  # collections would end generators at moments that no seed decides
        sys.set_asyncgen_hooks(firstiter=None, finalizer=self._end_generator)
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            with forbidden():
                yield
        finally:
            asyncio._set_running_loop(running)
            sys.set_asyncgen_hooks(*before)
            if collecting:
                gc.enable()

    def _end_generator(self, generator: Any) -> None:
        loop = asyncio._get_running_loop() or self.world
        loop.create_task(generator.aclose())

    def close(self) -> None:
        """End every task that is left, without a trace, so that nothing is destroyed while pending."""
        self.log = None
        self._timers.clear()
        for loop in self._loops:
            loop.dead, loop.closing = False, True
            loop.thaw()
        with self._running():
            for _ in range(20):
                left = [task for loop in self._loops for task in loop.tasks if not task.done()]
                if not left:
                    break
                for task in left:
                    task.cancel()
                for _ in range(100_000):
                    if not self._ready:
                        break
                    self._step()
            self._ready.clear()
            self._timers.clear()


class ProcessLoop(asyncio.AbstractEventLoop):
    """One process: its handles stop for good when it is killed, and wait while it is frozen."""

    def __init__(self, simulator: Simulator, name: str) -> None:
        self.simulator = simulator
        self.name = name
        self.dead = False
        self.frozen = False
        self.closing = False
        self.stalled: deque[asyncio.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []  # held, so that a killed process's are not destroyed while pending
        self._prune_at = 200
        self.connect_unix: Callable[[Any, str], Any] | None = None

    def kill(self) -> None:
        """As SIGKILL: nothing of it runs any more, not even a `finally`."""
        self.dead = True

    def freeze(self) -> None:
        """As SIGSTOP."""
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        stalled, self.stalled = self.stalled, deque()
        for handle in stalled:
            self.simulator.soon(self, handle)

    # What asyncio needs

    def time(self) -> float:
        return self.simulator.now

    def call_soon(self, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        self.simulator.soon(self, handle)
        return handle

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self.simulator.now + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self.simulator.at(self, handle)
        return handle

    def _timer_handle_cancelled(self, handle) -> None:
        """It is skipped when its time comes."""

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coro, *, name=None, context=None):
        task = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        self.tasks.append(task)
        if len(self.tasks) > self._prune_at:
            self.tasks = [each for each in self.tasks if not each.done()]
            self._prune_at = 2 * len(self.tasks) + 200
        return task

    async def create_unix_connection(self, protocol_factory, path=None, **_):
        if self.connect_unix is None:
            raise ConnectionRefusedError(path)
        return self.connect_unix(protocol_factory, str(path))

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context) -> None:
        if not (self.dead or self.closing):
            error = context.get("exception")
            self.simulator.problems.append(f"{self.name}: {context.get('message')}: {error!r}")

    def default_exception_handler(self, context) -> None:
        self.call_exception_handler(context)


@contextlib.contextmanager
def forbidden() -> Iterator[None]:
    """While this holds, what walks sets of tasks or leaves the loop raises instead of making runs differ."""

    def refuse(name: str) -> Callable[..., Any]:
        def refused(*_args: Any, **_named: Any) -> Any:
            raise Forbidden(f"asyncio.{name} cannot be repeated: see DESIGN, simulation")

        return refused

    before = {name: getattr(asyncio, name) for name in ("wait", "TaskGroup", "to_thread", "as_completed")}
    for name in before:
        setattr(asyncio, name, refuse(name))
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(asyncio, name, value)


def sleep_forever() -> Awaitable[Any]:
    return asyncio.get_running_loop().create_future()
