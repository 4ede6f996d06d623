"""Messages between the Raft processes of a cluster: one live session per peer over mutual TLS.

`send` only queues; `flush` writes, so that the caller decides what must be durable first. The transport checks who
the peer is and that messages parse; it must not know what they mean.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError

from api.v1 import raft_pb2
from component.env import Env
from controlplane.raft import frames
from controlplane.raft.frames import FrameError
from controlplane.raft.poller import READ, Poller
from controlplane.raft.session import PeerSession
from controlplane.raft.tls import TlsContexts

log = structlog.get_logger()

MAX_BACKLOG_BYTES = 32 << 20  # of one peer; a peer that takes nothing loses its session and starts anew
_MAX_UNKNOWN_SESSIONS = 16  # accepted, but not yet identified
_MAX_REMEMBERED_REFUSALS = 100

Address = tuple[str, int]


class PeerTransport(Protocol):
    """What the Raft node needs of the network. All calls and callbacks happen in one thread."""

    on_message: Callable[[str, raft_pb2.RaftMessage], None]
    on_connected: Callable[[str], None]
    on_disconnected: Callable[[str], None]

    def send(self, peer: str, message: raft_pb2.RaftMessage) -> bool:
        """Queue a message; False when there is no session with the peer."""

    def backlog_bytes(self, peer: str) -> int:
        """How much is queued or waits for the socket."""

    def connected(self, peer: str) -> bool:
        """Whether there is a live session with the peer."""


class TlsTransport:
    """Sessions with all peers. The replica with the higher id dials. Without `tls` only for tests in one process."""

    def __init__(
        self,
        replica: str,
        cluster_uid: str,
        peers: Mapping[str, Address],
        listener: socket.socket,
        tls: TlsContexts | None,
        poller: Poller,
        env: Env,
        *,
        retry_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._hello = raft_pb2.RaftMessage(hello=raft_pb2.Hello(replica=replica, cluster_uid=cluster_uid))
        self._replica = replica
        self._cluster_uid = cluster_uid
        self._peers = dict(peers)
        self._listener = listener
        self._tls = tls
        self._poller = poller
        self._env = env
        self._retry_seconds = retry_seconds
        self._timeout_seconds = timeout_seconds
        self._live: dict[str, PeerSession] = {}
        self._opening: dict[str, PeerSession] = {}
        self._unknown: list[PeerSession] = []
        self._queues: dict[str, list[raft_pb2.RaftMessage]] = {peer: [] for peer in peers}
        self._refusals: set[tuple[str, str]] = set()
        self._next_dial_time = dict.fromkeys(peers, 0.0)
        self.on_message: Callable[[str, raft_pb2.RaftMessage], None] = lambda _peer, _message: None
        self.on_connected: Callable[[str], None] = lambda _peer: None
        self.on_disconnected: Callable[[str], None] = lambda _peer: None
        listener.setblocking(False)
        poller.watch(listener.fileno(), READ, self._accept)

    def send(self, peer: str, message: raft_pb2.RaftMessage) -> bool:
        """Queue a message; False when there is no session with the peer."""
        if peer not in self._live:
            return False
        self._queues[peer].append(message)
        return True

    def backlog_bytes(self, peer: str) -> int:
        """How much waits for the peer's socket."""
        session = self._live.get(peer)
        return session.backlog_bytes if session is not None else 0

    def connected(self, peer: str) -> bool:
        """Whether there is a live session with the peer."""
        return peer in self._live

    def flush(self, *, appends_only: bool = False) -> None:
        """Write what is queued; with `appends_only` each peer's leading appends, which may go before a sync."""
        for peer, queue in self._queues.items():
            session = self._live.get(peer)
            if session is None:
                queue.clear()
                continue
            count = _leading_appends(queue) if appends_only else len(queue)
            if count == 0:
                continue
            for message in queue[:count]:
                session.write(frames.encode(message))
            del queue[:count]
            if session.backlog_bytes > MAX_BACKLOG_BYTES:
                session.close(f"takes nothing: {session.backlog_bytes} bytes wait")
            else:
                session.flush()

    def tick(self) -> None:
        """Dial peers without a session and drop sessions that do not get ready in time."""
        now = self._env.monotonic()
        for session in (*self._unknown, *self._opening.values()):
            if now - session.start_time > self._timeout_seconds:
                session.close("did not get ready in time")
        for peer in self._peers:
            due = now >= self._next_dial_time[peer]
            if self._replica > peer and due and peer not in self._live and peer not in self._opening:
                self._next_dial_time[peer] = now + self._retry_seconds * self._env.rng.uniform(0.5, 1.5)
                self._dial(peer)

    def close(self) -> None:
        """Close every session and the listener."""
        self._poller.forget(self._listener.fileno())
        self._listener.close()
        for session in (*self._live.values(), *self._opening.values(), *self._unknown):
            session.close("shutting down")

    # Sessions ---------------------------------------------------------------------------------------------------

    def _accept(self, _events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # the client is gone again, or no descriptor is free: it will try again
            return
        if len(self._unknown) >= _MAX_UNKNOWN_SESSIONS:
            self._unknown[0].close("made room for a newer one")
        self._configure(connection)
        context = self._tls.server() if self._tls else None
        self._unknown.append(self._session(connection, context, dialled=None))

    def _dial(self, peer: str) -> None:
        address = self._peers[peer]
        connection = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self._configure(connection)
        try:
            connection.connect(address)
        except BlockingIOError:
            pass
        except OSError:  # refused at once; tried again after the retry time
            connection.close()
            return
        self._opening[peer] = self._session(connection, self._tls.client() if self._tls else None, dialled=peer)

    def _configure(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._timeout_seconds * 1000))

    def _session(
        self, connection: socket.socket, context: ssl.SSLContext | None, *, dialled: str | None
    ) -> PeerSession:
        return PeerSession(
            connection,
            context,
            self._poller,
            dialled,
            self._env.monotonic(),
            on_ready=self._ready,
            on_frame=self._frame,
            on_closed=self._closed,
        )

    def _ready(self, session: PeerSession) -> None:
        """The TLS handshake is done: the dialling side says who it is; the other answers only to a member."""
        if session.dialled is None:
            return
        if session.identities is not None and session.dialled not in session.identities:
            session.close(f"its certificate says {', '.join(sorted(session.identities)) or 'nothing'}")
            return
        session.write(frames.encode(self._hello))
        session.flush()

    def _frame(self, session: PeerSession, body: bytes) -> None:
        try:
            message = raft_pb2.RaftMessage.FromString(body)
        except DecodeError:
            raise FrameError("a message that does not parse") from None
        if session.peer is None:
            self._identify(session, message)
        elif self._live.get(session.peer) is session:
            self.on_message(session.peer, message)

    def _identify(self, session: PeerSession, message: raft_pb2.RaftMessage) -> None:
        hello = message.hello
        if not message.HasField("hello") or hello.replica not in self._peers:
            refusal = f"is no member of this cluster: {hello.replica!r}"
        elif session.identities is not None and hello.replica not in session.identities:
            refusal = (
                f"says it is {hello.replica}, its certificate says {', '.join(sorted(session.identities)) or 'none'}"
            )
        elif session.dialled is not None and hello.replica != session.dialled:
            refusal = f"is {hello.replica}, not {session.dialled}"
        elif hello.cluster_uid != self._cluster_uid:
            refusal = f"belongs to another cluster: {hello.cluster_uid!r}"
        else:
            self._take_over(session, hello.replica)
            if session.dialled is None:
                session.write(frames.encode(self._hello))
                session.flush()
            return
        session.close(refusal)

    def _take_over(self, session: PeerSession, peer: str) -> None:
        """Make this the one live session of the peer; an older one ends before this one delivers anything."""
        old = self._live.get(peer)
        if old is not None:
            old.close("replaced by a newer session")
        session.peer = peer
        self._forget_opening(session)
        self._live[peer] = session
        self._queues[peer].clear()
        self._refusals = {(known, reason) for known, reason in self._refusals if known != peer}
        log.info("peer_connected", peer=peer)
        self.on_connected(peer)

    def _closed(self, session: PeerSession, reason: str) -> None:
        self._forget_opening(session)
        peer = session.peer
        if peer is not None and self._live.get(peer) is session:
            del self._live[peer]
            self._queues[peer].clear()
            log.info("peer_disconnected", peer=peer, reason=reason)
            self.on_disconnected(peer)
        else:
            self._log_refusal(session.dialled or "unknown", reason)

    def _log_refusal(self, peer: str, reason: str) -> None:
        """Say why a session did not come about; once, not at each of ten tries a second."""
        if (peer, reason) in self._refusals:
            return
        if len(self._refusals) >= _MAX_REMEMBERED_REFUSALS:
            self._refusals.clear()
        self._refusals.add((peer, reason))
        log.warning("peer_refused" if peer == "unknown" else "peer_unreachable", peer=peer, reason=reason)

    def _forget_opening(self, session: PeerSession) -> None:
        if session in self._unknown:
            self._unknown.remove(session)
        if session.dialled is not None and self._opening.get(session.dialled) is session:
            del self._opening[session.dialled]


def _leading_appends(queue: list[raft_pb2.RaftMessage]) -> int:
    """How many messages at the head are appends: only these may overtake a sync, and the order stays."""
    for count, message in enumerate(queue):
        if not message.HasField("append_entries"):
            return count
    return len(queue)
