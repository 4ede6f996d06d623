"""A gRPC client that asks and takes no answer: HTTP/2 by hand, with no window for whatever the server sends."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from component.rpc import API_SERVER_NAME, Tls

_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4
_NO_WINDOW = struct.pack(">HI", 4, 0)


class DeafReader:
    """One connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._stream = -1
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, _NO_WINDOW))

    def ask(self, path: str, message: bytes) -> None:
        """Call a method."""
        self._stream += 2
        headers = {
            ":method": "POST",
            ":scheme": "https",
            ":path": path,
            ":authority": API_SERVER_NAME,
            "te": "trailers",
            "content-type": "application/grpc",
        }
        head = b"".join(_field(name, value) for name, value in headers.items())
        self._writer.write(_frame(_HEADERS, _END_HEADERS, self._stream, head))
        data = struct.pack(">BI", 0, len(message)) + message
        self._writer.write(_frame(_DATA, _END_STREAM, self._stream, data))


@asynccontextmanager
async def deaf_reader(address: str, tls: Tls, folder) -> AsyncIterator[DeafReader]:
    """A connection to a server, cut at the end."""
    context = ssl.create_default_context(cadata=tls.ca_pem.decode())
    cert, key = folder / "deaf.crt", folder / "deaf.key"
    cert.write_bytes(tls.cert_pem)
    key.write_bytes(tls.key_pem)
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["h2"])
    host, port = address.rsplit(":", 1)
    _, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=API_SERVER_NAME)
    try:
        yield DeafReader(writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _field(name: str, value: str) -> bytes:
    """A header, neither compressed nor remembered (RFC 7541, 6.2.2)."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))
