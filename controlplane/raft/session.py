"""One connection to a peer: non-blocking connect, TLS handshake, frames in, bytes out.

It must not know who peers are or what frames say; `TlsTransport` decides that.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from typing import Literal

from controlplane.raft.frames import FrameError, FrameReader
from controlplane.raft.poller import READ, WRITE, Poller, broken
from controlplane.raft.tls import identities

_READ_BYTES = 256 << 10
_RECORD_BYTES = 16 << 10  # of TLS, at most; a read returns one
_MAX_READS_PER_TURN = 64  # of at most one record each, so that one peer cannot keep the loop
_WRITE_BYTES = 256 << 10


class PeerSession:
    """`peer` is None until the hello named it; `identities` is None without TLS.

    `on_closed` runs exactly once, with the reason; `on_part` whenever bytes came and a frame is not complete with them.
    """

    def __init__(
        self,
        connection: socket.socket,
        context: ssl.SSLContext | None,
        poller: Poller,
        dialled: str | None,
        start_time: float,
        *,
        on_ready: Callable[[PeerSession], None],
        on_frame: Callable[[PeerSession, bytes], None],
        on_part: Callable[[PeerSession], None],
        on_closed: Callable[[PeerSession, str], None],
    ) -> None:
        self.dialled = dialled
        self.start_time = start_time
        self.peer: str | None = None
        self.identities: set[str] | None = None
        self._connection = connection
        self._context = context
        self._poller = poller
        self._on_ready = on_ready
        self._on_frame = on_frame
        self._on_part = on_part
        self._on_closed = on_closed
        self._state: Literal["connecting", "handshaking", "open", "closed"] = "connecting" if dialled else "handshaking"
        self._reader = FrameReader()
        self._out = bytearray()
        self._events = 0
        if not dialled:
            self._wrap()
        self._want(READ | WRITE)

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait for the socket."""
        return len(self._out)

    def write(self, content: bytes) -> None:
        """Queue bytes; `flush` sends them."""
        self._out += content

    def flush(self) -> None:
        """Send as much as the socket takes; the rest follows by itself."""
        if self._state == "open":
            try:
                self._send()
            except OSError as error:
                self.close(_reason(error))

    def close(self, reason: str) -> None:
        """End the session; harmless when it has ended."""
        if self._state == "closed":
            return
        self._state = "closed"
        self._poller.forget(self._connection.fileno())
        self._connection.close()
        self._on_closed(self, reason)

    def _want(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._poller.watch(self._connection.fileno(), events, self._turn)

    def _wrap(self) -> None:
        if self._context is not None:
            self._connection = self._context.wrap_socket(
                self._connection, server_side=self.dialled is None, do_handshake_on_connect=False
            )

    def _turn(self, events: int) -> None:
        try:
            if self._state == "connecting":
                self._connect()
            if self._state == "handshaking":
                self._handshake()
            elif self._state == "open":
                if events & READ or broken(events):
                    self._receive()
                if self._state == "open" and self._out:
                    self._send()
        except OSError as error:
            self.close(_reason(error))
        except FrameError as error:
            self.close(str(error))

    def _connect(self) -> None:
        error = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        self._poller.forget(self._connection.fileno())  # wrapping replaces the socket object
        self._events = 0
        self._wrap()
        self._state = "handshaking"

    def _handshake(self) -> None:
        if isinstance(self._connection, ssl.SSLSocket):
            try:
                self._connection.do_handshake()
            except ssl.SSLWantReadError:
                self._want(READ)
                return
            except ssl.SSLWantWriteError:
                self._want(READ | WRITE)
                return
            self.identities = identities(self._connection)
        self._state = "open"
        self._want(READ)
        self._on_ready(self)
        if self._state == "open":
            self._receive()

    def _receive(self) -> None:
        for _ in range(_MAX_READS_PER_TURN):
            try:
                received = self._connection.recv(_READ_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                return
            if not received:
                self.close("closed by the peer")
                return
            for body in self._reader.feed(received):
                self._on_frame(self, body)
                if self._state != "open":
                    return
            if self._reader.within_frame:
                self._on_part(self)
                if self._state != "open":
                    return
            if len(received) < _RECORD_BYTES:
                return  # mostly all there is: another read would only say so, and the poller tells of more

    def _send(self) -> None:
        while self._out:
            try:
                with memoryview(self._out)[:_WRITE_BYTES] as chunk:
                    sent = self._connection.send(chunk)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                break
            del self._out[:sent]
        self._want(READ | WRITE if self._out else READ)


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
