"""Health as Kubernetes tells it: `ok`, every check with `?verbose`, one check below the path. Pure but for the answer.

Livez says that the process answers; readyz and healthz that it can serve. It must not know what is checked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

PING: Final = "ping"
"""The check that answering is."""


class Health:
    """Answers about health. `problems` gives what is wrong by the name of each check, "" if nothing is."""

    def __init__(self, problems: Callable[[], Mapping[str, str]]) -> None:
        self._problems = problems

    def add_to(self, app: web.Application) -> None:
        """Serve the paths."""
        for name, checks in (("livez", dict), ("readyz", self._problems), ("healthz", self._problems)):
            app.router.add_get(f"/{name}", self._answering(name, checks))
            app.router.add_get(f"/{name}/{{check}}", self._answering(name, checks))

    def _answering(
        self, name: str, checks: Callable[[], Mapping[str, str]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            found = {PING: "", **checks()}
            only = request.match_info.get("check", "")
            if only and only not in found:
                raise web.HTTPNotFound(text=f"there is no check {only}; there is: {', '.join(found)}")
            left_out = request.query.getall("exclude", [])
            wanted = {each: why for each, why in found.items() if each not in left_out and only in {"", each}}
            code, text = report(name, wanted, verbose="verbose" in request.query)
            return web.Response(status=code, text=text)

        return answer


def report(name: str, problems: Mapping[str, str], *, verbose: bool) -> tuple[int, str]:
    """The status and the text of an answer: of what is well `ok`, unless every check is asked for."""
    failed = any(problems.values())
    if not failed and not verbose:
        return 200, "ok"
    lines = [f"[-]{each} failed: {why}" if why else f"[+]{each} ok" for each, why in problems.items()]
    return (503 if failed else 200), "\n".join([*lines, f"{name} check {'failed' if failed else 'passed'}\n"])
