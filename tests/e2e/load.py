"""Constant HTTP load with a new connection per request, from any network namespace, and what became of each request."""

from __future__ import annotations

import collections
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.waiting import DEADLINE_SECONDS, wait_until

TIMEOUT_SECONDS = 3.0
STALLED_SECONDS = 0.9  # the first repetition of a lost SYN comes after 1 s
PROGRAM = Path(__file__).with_name("load_program.py")


@dataclass(frozen=True, slots=True)
class Request:
    """One request: when it began on the machine's monotonic clock, how long it took, the answer or why there is none."""

    began: float
    seconds: float
    answer: str
    problem: str


CALM_REQUESTS = 50


class Load:
    """Sends requests from `enter`'s namespace to http://address:port/ until the block is left; then they are counted.

    Each of `workers` pauses for `interval_seconds` between its requests and gives one up after `timeout_seconds`.
    """

    def __init__(
        self,
        enter: Sequence[str],
        address: str,
        port: int = 80,
        *,
        interval_seconds: float = 0.01,
        timeout_seconds: float = TIMEOUT_SECONDS,
        workers: int = 1,
    ) -> None:
        self._enter = list(enter)
        self._arguments = [address, *map(str, (port, interval_seconds, timeout_seconds, workers))]
        self._file = tempfile.NamedTemporaryFile("w+", prefix="timonier-load-", suffix=".jsonl")  # noqa: SIM115
        self._program: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [*self._enter, sys.executable, "-I", str(PROGRAM), *self._arguments]
        self._program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._file)
        wait_until(lambda: self.requests() or self._program.poll() is not None, explain=lambda: "the load sent nothing")
        assert self._program.poll() is None, f"the load did not start: {' '.join(command)}"
        return self

    def __exit__(self, *_raised: object) -> None:
        assert self._program is not None
        with contextlib.suppress(ProcessLookupError):
            self._program.send_signal(signal.SIGTERM)
        self._program.wait(DEADLINE_SECONDS)
        self._done = self.requests()
        self._file.close()

    def requests(self) -> list[Request]:
        """All that are finished by now."""
        if self._file.closed:
            return self._done
        lines = Path(self._file.name).read_text(encoding="utf-8").split("\n")[:-1]
        return [Request(*json.loads(line)) for line in lines]

    def total(self) -> int:
        """How many are finished by now."""
        return len(self.requests())

    @property
    def failures(self) -> list[Request]:
        """Those without a complete answer."""
        return [request for request in self.requests() if request.problem]

    def outage(self) -> list[Request]:
        """The first failures, up to the first `CALM_REQUESTS` answers in a row, in the order of their beginnings.

        While a share of the requests goes to endpoints that are gone, so many answers in a row do not happen: of three
        endpoints one dead, once in 10^9. Failures after them have another cause, such as a machine that stood still.
        """
        failed: list[Request] = []
        calm = 0
        for each in sorted(self.requests(), key=lambda each: each.began):
            if each.problem:
                failed.append(each)
                calm = 0
            elif failed and (calm := calm + 1) == CALM_REQUESTS:
                break
        return failed

    @property
    def stalled(self) -> list[Request]:
        """Those that were answered only after a repetition by TCP."""
        return [each for each in self.requests() if not each.problem and each.seconds > STALLED_SECONDS]

    def answers(self, after: float = 0.0) -> collections.Counter[str]:
        """How often each answer was given to requests that began after an instant of the monotonic clock."""
        return collections.Counter(each.answer for each in self.requests() if not each.problem and each.began > after)

    def report(self, title: str) -> str:
        """One line for the person who reads the output."""
        requests = self.requests()
        longest = max((each.seconds for each in requests), default=0.0)
        problems = dict(collections.Counter(each.problem for each in self.failures))
        return (
            f"{title}: {len(requests)} requests, {len(self.failures)} lost {problems or ''}, "
            f"{len(self.stalled)} stalled, longest {longest * 1000:.0f} ms"
        )
