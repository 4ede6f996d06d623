"""Mutual TLS between Raft processes: TLS 1.3, both certificates required, identities instead of addresses.

A peer is who its certificate says: a URI or DNS name, or the common name, `raft:<replica id>`, signed by the Raft
CA. It must not know what is said over the connection.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IDENTITY_PREFIX = "raft:"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. `ca` may hold two certificates while the CA is rotated."""

    cert: Path
    key: Path
    ca: Path


class TlsContexts:
    """Contexts for both directions, read again when a file changes, so that renewed certificates need no restart."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamp: tuple[int, ...] = ()
        self._client: ssl.SSLContext
        self._server: ssl.SSLContext
        self._refresh()

    def client(self) -> ssl.SSLContext:
        """The context for dialling a peer."""
        self._refresh()
        return self._client

    def server(self) -> ssl.SSLContext:
        """The context for accepting a peer."""
        self._refresh()
        return self._server

    def _refresh(self) -> None:
        """Load the files if they changed; a half-replaced set is tried again at the next connection."""
        try:
            stamp = tuple(path.stat().st_mtime_ns for path in (self._files.cert, self._files.key, self._files.ca))
            if stamp == self._stamp:
                return
            client, server = self._load(ssl.PROTOCOL_TLS_CLIENT), self._load(ssl.PROTOCOL_TLS_SERVER)
        except OSError as error:  # ssl.SSLError is one
            if self._stamp:
                return
            files = f"certificate {self._files.cert}, key {self._files.key}, CA {self._files.ca}"
            raise OSError(f"cannot load the TLS files ({files}): {error}") from error
        self._client, self._server, self._stamp = client, server, stamp

    def _load(self, protocol: ssl._SSLMethod) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.check_hostname = False  # the identity is a replica id, checked by `identities`
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self._files.ca)
        context.load_cert_chain(self._files.cert, self._files.key)
        if protocol is ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0  # sessions live for days: resumption would save nothing
        return context


def identities(connection: ssl.SSLSocket) -> set[str]:
    """The replica ids that the peer's verified certificate speaks for."""
    certificate: dict[str, Any] = dict(connection.getpeercert() or {})
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in {"URI", "DNS"}]
    for attributes in certificate.get("subject", ()):
        names.extend(value for name, value in attributes if name == "commonName")
    return {name.removeprefix(IDENTITY_PREFIX) for name in names if name.startswith(IDENTITY_PREFIX)}
