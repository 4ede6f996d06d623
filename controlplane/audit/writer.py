"""From the loop to the file: a bounded queue and a thread behind it, so that no request ever waits for a disk."""

from __future__ import annotations

import contextvars
import queue
import threading
from typing import Final, Protocol

import structlog

from controlplane.audit.record import Event, line_of

log = structlog.get_logger()

QUEUE_BYTES: Final = 32 << 20
"""Of events in memory that are not in the file yet; more are lost, and counted."""

GATHER_SECONDS: Final = 0.1
"""How long lines are gathered after a write: one write for many requests, and one wake-up of the thread."""

BATCH_BYTES: Final = 1 << 20


class LineFile(Protocol):
    """Takes whole lines."""

    def append(self, data: bytes) -> None:
        """Write lines, all of them or none. OSError."""

    def close(self) -> None:
        """Let go of the file."""


class AuditWriter:
    """Writes events in their order. What there is no room for, in memory or on disk, is lost, counted and told once.

    `lost` is the number so far.
    """

    def __init__(
        self, file: LineFile, *, queue_bytes: int = QUEUE_BYTES, gather_seconds: float = GATHER_SECONDS
    ) -> None:
        self._file = file
        self._queue_bytes = queue_bytes
        self._gather_seconds = gather_seconds
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._waiting_bytes = 0
        self._stopping = threading.Event()
        self._reason = ""  # of the outage that lasts
        self._lost_before = 0
        self.lost = 0
        context = contextvars.copy_context()  # the log's fields, such as the replica
        self._thread = threading.Thread(target=lambda: context.run(self._run), name="audit", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, event: Event) -> None:
        """Take an event; never waits. Any thread may call it until `close`."""
        size = event.size_bytes
        with self._guard:
            room = self._waiting_bytes + size <= self._queue_bytes
            if room:
                self._waiting_bytes += size
        if room:
            self._queue.put(event)
        else:
            self._lose(1, "the disk is too slow for so many requests")

    def close(self, timeout_seconds: float) -> None:
        """Write what was taken and let go of the file; what a stuck disk keeps for longer is given up."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        ended = False
        while not ended:
            try:
                ended = self._write_batch()
            except Exception:  # the outermost loop of the thread: the next lines may do better
                log.exception("audit_writer_failed")
            self._stopping.wait(self._gather_seconds)
        self._file.close()

    def _write_batch(self) -> bool:
        """Wait for an event and write it with those behind it; returns whether it was the end."""
        lines: list[bytes] = []
        size = taken = 0
        event = self._queue.get()
        try:
            while event is not None:
                taken += event.size_bytes
                lines.append(line_of(event))
                size += len(lines[-1])
                if size >= BATCH_BYTES:
                    break
                try:
                    event = self._queue.get_nowait()
                except queue.Empty:
                    break
            self._append(lines)
        finally:
            with self._guard:
                self._waiting_bytes -= taken
        return event is None

    def _append(self, lines: list[bytes]) -> None:
        if not lines:
            return
        try:
            self._file.append(b"".join(lines))
        except OSError as error:
            self._lose(len(lines), f"{error.filename or ''} {error.strerror}".strip())
        else:
            self._recovered()

    def _lose(self, count: int, reason: str) -> None:
        with self._guard:
            self.lost += count
            told, self._reason = self._reason, reason
        if not told:
            log.error("audit_lines_lost", reason=reason, lost=self.lost)

    def _recovered(self) -> None:
        with self._guard:
            told, self._reason = self._reason, ""
            since, self._lost_before = self.lost - self._lost_before, self.lost
        if told:
            log.warning("audit_log_written_again", lost=since)
