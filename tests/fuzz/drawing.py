"""Draws requests with schemathesis in a process of its own: drawing one takes longer than ten answers.

What was drawn is kept, and drawn from again with changes, so that the one who sends never waits.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import random
import signal
import warnings
from collections.abc import Iterator
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisWarning, Unsatisfiable
from schemathesis.generation import GenerationMode

CASES_OF_ONE_DRAW = 2
WAITING = 200  # drawn and not yet sent
KEPT_OF_ONE = 30  # of one operation
POOR_NICENESS = 5  # below whoever sends
PARTS = ("path_parameters", "headers", "cookies", "query", "body", "media_type")

warnings.simplefilter("ignore", HypothesisWarning)


def operations(documents: list[dict[str, Any]]) -> list[Any]:
    """Every operation of some OpenAPI documents."""
    return [
        made.ok() for document in documents for made in schemathesis.openapi.from_dict(document).get_all_operations()
    ]


class Drawer:
    """The process, and what came from it. Closed with `close`."""

    def __init__(self, documents: list[dict[str, Any]], rng: random.Random) -> None:
        self._rng = rng
        self._kept: dict[str, list[dict[str, Any]]] = {}
        self.drawn = 0
        context = multiprocessing.get_context("spawn")
        self._queue: Any = context.Queue(WAITING)
        self._process = context.Process(
            target=_draw_for_ever, args=(documents, rng.getrandbits(64), self._queue), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """Whose processor time is the fuzzer's, too."""
        return self._process.pid or 0

    def fresh(self) -> tuple[str, dict[str, Any]] | None:
        """One that was not sent yet: the operation's label, the parts; None when none is ready."""
        try:
            label, parts = self._queue.get_nowait()
        except queue.Empty:
            return None
        self.drawn += 1
        kept = self._kept.setdefault(label, [])
        if len(kept) < KEPT_OF_ONE:
            kept.append(parts)
        else:
            kept[self._rng.randrange(KEPT_OF_ONE)] = parts
        return label, json.loads(json.dumps(parts))

    def kept(self, label: str = "") -> tuple[str, dict[str, Any]] | None:
        """A copy of one that was sent before, of this operation or any."""
        if not self._kept or (label and label not in self._kept):
            return None
        label = label or self._rng.choice(list(self._kept))
        return label, json.loads(json.dumps(self._rng.choice(self._kept[label])))

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()
        self._queue.cancel_join_thread()
        self._queue.close()


def _draw_for_ever(documents: list[dict[str, Any]], first: int, out: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(POOR_NICENESS)
    rng = random.Random(first)
    found = operations(documents)
    strategies: dict[tuple[str, GenerationMode], Any] = {}
    while True:
        rng.shuffle(found)
        for operation in found:
            mode = rng.choice(list(GenerationMode))
            key = (operation.label, mode)
            if key not in strategies:
                strategies[key] = operation.as_strategy(generation_mode=mode)
            for case in _cases(strategies[key], rng):
                parts = _plain(case)
                if parts is not None:
                    out.put((operation.label, parts))


def _cases(strategy: Any, rng: random.Random) -> Iterator[Any]:
    drawn: list[Any] = []

    @seed(rng.getrandbits(64))
    @settings(
        max_examples=CASES_OF_ONE_DRAW,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=strategy)
    def collect(case: Any) -> None:
        drawn.append(case)

    try:
        collect()
    except Unsatisfiable:
        return
    yield from drawn


def _plain(case: Any) -> dict[str, Any] | None:
    """The parts of a case that can travel; None for those that no JSON has."""
    parts = {}
    for name in PARTS:
        value = getattr(case, name)
        if type(value).__name__ == "NotSet":
            continue
        if name == "headers":
            value = dict(value or {})
        parts[name] = value
    try:
        return dict(json.loads(json.dumps(parts)))
    except (TypeError, ValueError):
        return None
