"""Structured logs: one JSON object per line, or coloured text on a terminal.

The event is a constant in the past tense; facts are fields. Log a state change where it happens, an error where
it is handled, once each.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

LogFormat = Literal["auto", "json", "console"]

# Without the variables of each frame, which structlog shows by default: some of them hold Secrets, tokens and keys.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def configure(component: str, *, level: str = "info", log_format: LogFormat = "auto") -> None:
    """Set up logging of this process to standard error and bind its component's name."""
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    tail: list[structlog.types.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [_TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *tail,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(component=component)
