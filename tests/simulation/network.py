"""The network between hosts: packets wait behind a cut as in TCP, or are lost with their connection.

Connections keep their order, calls do not; a cut has a direction. It must not know what is sent.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from api import errors
from tests.simulation.loop import ProcessLoop, Simulator

QUICK_SECONDS = (0.0002, 0.0015)
LATE_SECONDS = 0.05  # as long as a leader is silent at most


class Lost(Exception):
    """The connection broke after the request left: nobody knows what became of it."""


class NobodyListens(errors.Unavailable):
    """No process is there to take the connection."""


class Network:
    """`cut` and `slow` are sets of directed pairs of hosts; use `change` to alter them. `counts` says what came of them."""

    def __init__(self, simulator: Simulator, counts: Counter[str]) -> None:
        self.simulator = simulator
        self.counts = counts
        self.cut: set[tuple[str, str]] = set()
        self.slow: dict[tuple[str, str], tuple[float, float]] = {}
        self.on_change: list[Callable[[], None]] = []
        self.messages = 0
        self._rngs: dict[tuple[str, str], Any] = {}
        self._held: dict[tuple[str, str], list[tuple[Callable[..., None], tuple[Any, ...]]]] = {}

    def passes(self, source: str, target: str) -> bool:
        return (source, target) not in self.cut

    def delay(self, source: str, target: str) -> float:
        """What the next packet takes."""
        link = (source, target)
        rng = self._rngs.get(link)
        if rng is None:
            rng = self._rngs[link] = self.simulator.rng(f"link {source} {target}")
        seconds: float = rng.uniform(*self.slow.get(link, QUICK_SECONDS))
        self.counts["messages late"] += seconds > LATE_SECONDS
        return seconds

    def post(self, source: str, target: str, arrive: Callable[..., None], *arguments: Any) -> None:
        """Call `arrive` when a packet got through; behind a cut it waits, and `heal` decides what becomes of it."""
        self.messages += 1
        if (source, target) in self.cut:
            self._hold(source, target, arrive, arguments)
            return
        self.simulator.world.call_later(self.delay(source, target), self._arrive, source, target, arrive, arguments)

    def _arrive(self, source: str, target: str, arrive: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if (source, target) in self.cut:
            self._hold(source, target, arrive, arguments)
        else:
            arrive(*arguments)

    def _hold(self, source: str, target: str, arrive: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._held.setdefault((source, target), []).append((arrive, arguments))
        one_way = (target, source) not in self.cut
        self.counts["messages behind a one-way cut" if one_way else "messages behind a partition"] += 1

    def change(self, *, cut: set[tuple[str, str]], keep_held: bool) -> None:
        """Set what is cut. What waited behind a healed cut goes on, or is lost when its connections did not last."""
        healed = sorted(self.cut - cut)
        self.cut = cut
        for link in healed:
            held = self._held.pop(link, [])
            if keep_held:
                for arrive, arguments in held:
                    self.post(*link, arrive, *arguments)
            else:
                self.counts["messages dropped"] += len(held)
        for changed in self.on_change:
            changed()


class Server:
    """Where calls arrive: what of a host serves now, if anything does."""

    def __init__(self) -> None:
        self.loop: ProcessLoop | None = None
        self.api: Any = None
        self.open: dict[int, Callable[[Exception], None]] = {}

    def up(self, loop: ProcessLoop, api: Any) -> None:
        self.loop, self.api = loop, api

    def down(self) -> None:
        """The process is gone; who waits for it learns that its connection broke."""
        self.loop = self.api = None
        calls, self.open = self.open, {}
        for fail in calls.values():
            fail(Lost("connection reset"))


class Rpc:
    """Calls and streams between hosts over a network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.servers: dict[str, Server] = {}
        self._numbers = itertools.count(1)

    async def call(  # noqa: C901 - the steps of one call share its state
        self, source: str, target: str, work: Callable[[Any], Coroutine[Any, Any, Any]]
    ) -> Any:
        """Run `work(api)` at the target. Unavailable: nobody listened. Lost: who knows. Cancelling cancels it there."""
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        number = next(self._numbers)
        server = self.servers[target]
        tasks: list[asyncio.Task[Any]] = []

        def settle(result: Any, error: BaseException | None) -> None:
            if answer.done():
                return
            if error is not None:
                loop.call_soon(_fail, answer, error)
            else:
                loop.call_soon(_succeed, answer, result)

        def reply(result: Any, error: BaseException | None) -> None:
            self._network.post(target, source, settle, result, error)

        def finished(task: asyncio.Task[Any]) -> None:
            if server.open.pop(number, None) is None:
                return
            if task.cancelled():
                reply(None, Lost("cancelled there"))
            else:
                reply(None if task.exception() else task.result(), task.exception())

        def start() -> None:
            if server.loop is None:
                reply(None, NobodyListens("connection refused"))
                return
            server.open[number] = lambda error: reply(None, error)
            task = server.loop.create_task(work(server.api))
            tasks.append(task)
            task.add_done_callback(finished)

        self._network.post(source, target, start)
        try:
            return await answer
        except asyncio.CancelledError:
            self._network.post(source, target, lambda: tasks and tasks[0].cancel())
            raise

    async def stream(  # noqa: C901 - as `call`
        self, source: str, target: str, follow: Callable[[Any], AsyncGenerator[Any]]
    ) -> AsyncGenerator[Any]:
        """Yield what `follow(api)` yields at the target, one item under way at a time."""
        loop = asyncio.get_running_loop()
        number = next(self._numbers)
        server = self.servers[target]
        arrived: asyncio.Queue[tuple[Any, BaseException | None]] = asyncio.Queue()
        tasks: list[asyncio.Task[Any]] = []
        taken: list[asyncio.Future[None]] = []

        def put(item: Any, error: BaseException | None) -> None:
            loop.call_soon(arrived.put_nowait, (item, error))

        async def serve() -> None:
            try:
                generator = follow(server.api)
                try:
                    async for item in generator:
                        credit = asyncio.get_running_loop().create_future()
                        taken.append(credit)
                        self._network.post(target, source, put, item, None)
                        await credit
                finally:
                    await generator.aclose()
            except errors.ApiError as error:
                self._network.post(target, source, put, None, error)
            finally:
                server.open.pop(number, None)

        def start() -> None:
            if server.loop is None:
                self._network.post(target, source, put, None, NobodyListens("connection refused"))
                return
            server.open[number] = lambda error: self._network.post(target, source, put, None, error)
            tasks.append(server.loop.create_task(serve()))

        def credit() -> None:
            future = taken.pop()
            if not future.done():
                future.get_loop().call_soon(_succeed, future, None)

        self._network.post(source, target, start)
        try:
            while True:
                item, error = await arrived.get()
                if error is not None:
                    raise error
                yield item
                self._network.post(source, target, credit)
        finally:
            self._network.post(source, target, lambda: tasks and tasks[0].cancel())


def _succeed(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
