"""Health and metrics of the agent, on loopback only: nodes listen on nothing that others could reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web


class HealthServer:
    """`/healthz` answers 200 or 503 with the reasons, `/metrics` Prometheus' text format."""

    def __init__(
        self, port: int, problems: Callable[[], list[str]], metrics: Callable[[], Mapping[str, float]]
    ) -> None:
        self._port = port
        self._problems = problems
        self._metrics = metrics
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._show_metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    @property
    def port(self) -> int:
        """The port that is listened on, also when 0 was asked for."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        problems = self._problems()
        return web.Response(text="\n".join(problems) or "ok", status=503 if problems else 200)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        lines = [f"timonier_agent_{name} {value:g}\n" for name, value in sorted(self._metrics().items())]
        return web.Response(text="".join(lines), headers={"Content-Type": "text/plain; version=0.0.4"})
