"""Patterns of schemas: Go's regular expressions, as Kubernetes has them, found by RE2, which never goes back over a text.

RE2 takes time in proportion to the length of the text, at worst times the size of the pattern, so both are bounded here for
one object together. It must not know schemas.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Final, TypeVar

import re2

SEARCH_STEPS: Final = 20_000_000
"""Characters times instructions of the pattern, for one text: 0.1 to 0.3 s if a pattern is made for it, else microseconds."""

OBJECT_SECONDS: Final = 0.2
"""CPU time for all patterns of one object, or of one definition."""

PATTERN_BYTES: Final = 1 << 20
"""What RE2 may take for one pattern."""

KEPT: Final = 128
"""Patterns that stay compiled."""

_MESSAGE_CHARACTERS: Final = 200

T = TypeVar("T")


class BadPattern(ValueError):
    """The pattern is not of the language, or too large; the message says why."""


class TooCostly(Exception):
    """The object has used up its time."""


class _Effort:
    """The CPU time that is left."""

    def __init__(self, seconds: float) -> None:
        self._left_seconds = seconds

    def spend(self, work: Callable[[], T]) -> T:
        if self._left_seconds < 0:
            raise TooCostly
        began = time.thread_time()
        try:
            return work()
        finally:
            self._left_seconds -= time.thread_time() - began


_EFFORT: ContextVar[_Effort | None] = ContextVar("effort", default=None)


@contextmanager
def one_object(seconds: float = OBJECT_SECONDS) -> Iterator[None]:
    """All patterns inside share the time of one object, the outermost's; otherwise every use of one has as much."""
    token = _EFFORT.set(_EFFORT.get() or _Effort(seconds))
    try:
        yield
    finally:
        _EFFORT.reset(token)


def check(written: str) -> None:
    """Raise BadPattern for what is not of the language, TooCostly when it is one too many."""
    _effort().spend(lambda: _compiled(written))


def found_in(written: str, text: str) -> bool:
    """Whether some part of the text matches. Raises BadPattern, TooCostly."""
    return _effort().spend(lambda: _search(written, text))


def _search(written: str, text: str) -> bool:
    pattern = _compiled(written)
    if len(text) * pattern.programsize > SEARCH_STEPS:
        raise TooCostly
    return pattern.search(text) is not None


def _effort() -> _Effort:
    return _EFFORT.get() or _Effort(OBJECT_SECONDS)


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True  # nobody asks which group matched what
    options.max_mem = PATTERN_BYTES
    return options


@lru_cache(KEPT)
def _compiled(written: str) -> Any:
    try:
        return re2.compile(written, _options())
    except re2.error as error:
        message = error.args[0].decode(errors="replace")
        raise BadPattern(message[:_MESSAGE_CHARACTERS]) from None
    except UnicodeEncodeError:
        raise BadPattern("it holds half a character") from None
