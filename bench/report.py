"""What every part of the benchmarks prints, and how parts are run: settings, tables, figures with their aims, JSON.

A part is a module with `bench(report, quick)`; `run_part` is its main(). Figures are what the JSON holds and what an
aim is checked against; tables are for people.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from bench.awake import awake_cores
from bench.processes import cpu_time

FSYNC_PROBES = 100


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `peer` is the same of its peer or floor in this run; `aim` the most it should be, or the `least`.

    `spread` is the lowest and the highest round where the value is a median of them; `beside` what else to compare it with.
    """

    name: str
    value: float
    unit: str
    peer: float | None = None
    peer_name: str = ""
    aim: float | None = None
    least: bool = False
    spread: tuple[float, float] | None = None
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def missed(self) -> bool:
        return self.aim is not None and (self.value < self.aim if self.least else self.value > self.aim)

    @property
    def spread_text(self) -> str:
        """The lowest and the highest round, "" where there was but one."""
        if self.spread is None or self.spread[0] == self.spread[1]:
            return ""
        return f" ({self.spread[0]:,.4g} to {self.spread[1]:,.4g})"

    def line(self) -> str:
        text = f"{self.name:<46} {self.value:>10,.4g} {self.unit:<9}"
        text += self.spread_text
        for name, value in self.beside.items():
            text += f" {name}: {value:,.4g}"
        if self.peer is not None:
            ratio = f"{self.value / self.peer:.2f} x" if self.peer else ""
            text += f" {self.peer_name}: {self.peer:,.4g} {ratio}"
        if self.aim is not None:
            text += f"  aim {self.aim:g}: {'MISSED' if self.missed else 'met'}"
        return text.rstrip()


class Report:
    """Prints as it goes and keeps figures and settings."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.settings: list[str] = []
        self.figures: list[Figure] = []
        self.tables: list[dict[str, Any]] = []
        self._began = cpu_time()

    def setting(self, text: str) -> None:
        """One line on how it was measured."""
        self.settings.append(text)
        print(f"  {text}", flush=True)

    def say(self, text: str) -> None:
        """A line that is not a figure."""
        print(text, flush=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print aligned columns."""
        self.tables.append({"columns": list(columns), "rows": [list(row) for row in rows]})
        cells = [list(columns), *([_cell(each) for each in row] for row in rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
        for row in cells:
            aligned = [
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            print("  " + "  ".join(aligned).rstrip(), flush=True)

    def figure(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        peer: float | None = None,
        peer_name: str = "",
        aim: float | None = None,
        least: bool = False,
        spread: tuple[float, float] | None = None,
        beside: Mapping[str, float] | None = None,
    ) -> None:
        """Record and print a number."""
        figure = Figure(name, value, unit, peer, peer_name, aim, least, spread, beside or {})
        self.figures.append(figure)
        print(f"  {figure.line()}", flush=True)

    def as_json(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "settings": self.settings,
            "figures": [asdict(figure) | {"missed": figure.missed} for figure in self.figures],
            "tables": self.tables,
            "stolen": self.stolen,
        }

    @property
    def stolen(self) -> float:
        """The share, 0 to 1, of the machine's CPU time so far that its host gave to others: what was measured is slower by it."""
        return cpu_time().stolen_since(self._began)


def run_part(part: str, description: str, bench: Callable[[Report, bool], Any]) -> None:
    """`main()` of a part: `--quick` for fewer rounds, `--json FILE` for the figures. SIGTERM cleans up like Ctrl-C."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{part}", description=description.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds: for a look, not for figures")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    report = Report(part)
    report.say(f"== {part}: {description.splitlines()[0]}")
    report.setting(machine())
    began = time.perf_counter()
    try:
        with awake_cores() as awake:
            if awake:
                report.setting(f"a virtual machine: a loop at idle priority keeps each of {awake} cores from sleeping")
            _outcome(bench(report, options.quick))
    except KeyboardInterrupt:
        sys.exit(130)
    seconds, load = time.perf_counter() - began, os.getloadavg()[0]
    report.say(
        f"  ({seconds:.0f} s, load now {load:.1f}, {report.stolen:.0%} of the CPU given to others by the host)\n"
    )
    if options.json:
        Path(options.json).write_text(json.dumps(report.as_json(), indent=1), encoding="utf-8")


def _outcome(result: object) -> None:
    """Wait for what a part does, if it has a loop."""
    if inspect.iscoroutine(result):
        import uvloop  # noqa: PLC0415 - parts without a loop need none

        uvloop.run(result)


def interrupted(*_: object) -> None:
    """Handler of SIGINT and SIGTERM: clean up, once, whatever the shell said about signals and however often it is sent."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def machine() -> str:
    """The machine and what else goes on there."""
    processes = len(list(Path("/proc").glob("[0-9]*")))
    return (
        f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f}, {processes} processes"
    )


def fsync_ms(folder: Path) -> float:
    """The disk's own floor: p50 of a 1 KB write and fdatasync."""
    seconds = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(FSYNC_PROBES):
            began = time.perf_counter()
            file.write(bytes(1024))
            os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1e3


def percentile(values: Sequence[float], fraction: float) -> float:
    """By nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))]


def own_cpu_seconds() -> float:
    """CPU time of this process: the load generator's."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def version_of(*command: str) -> str:
    """The first line a program prints about itself."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().splitlines()[0]


def sleep_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for the condition; SystemExit naming what did not happen."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"bench: after {seconds:g} s still not so: {what}")
        time.sleep(0.01)


async def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Await the condition until it is true and return it; SystemExit naming what did not happen."""
    end = time.monotonic() + seconds
    while True:
        if found := await condition():
            return found
        if time.monotonic() > end:
            sys.exit(f"bench: after {seconds:g} s still not so: {what}")
        await asyncio.sleep(0.02)


def _cell(value: object) -> str:
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )
