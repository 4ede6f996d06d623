"""Messages between the Raft processes of a cluster: one live session per peer over mutual TLS.

`send` only queues; `flush` writes, so that the caller decides what must be durable first. The transport checks who
the peer is and that messages parse; it must not know what they mean.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError

from api.v1 import raft_pb2
from component.env import Env
from controlplane.raft import frames
from controlplane.raft.config import resolve
from controlplane.raft.door import Door
from controlplane.raft.frames import FrameError
from controlplane.raft.membership import Membership
from controlplane.raft.poller import READ, Poller
from controlplane.raft.session import PeerSession
from controlplane.raft.tls import TlsContexts

log = structlog.get_logger()

MAX_BACKLOG_BYTES = 32 << 20  # of one peer; a peer that takes nothing loses its session and starts anew
_MAX_UNKNOWN_SESSIONS = 16  # accepted, but not yet identified
_MAX_REMEMBERED_REFUSALS = 100
LOWER_PATIENCE = 5.0  # retry times until the lower id dials too: the other may not know of this replica yet


class PeerTransport(Protocol):
    """What the Raft node needs of the network. All calls and callbacks happen in one thread."""

    on_message: Callable[[str, raft_pb2.RaftMessage], None]
    on_part: Callable[[str], None]
    on_connected: Callable[[str], None]
    on_disconnected: Callable[[str], None]

    def send(self, peer: str, message: raft_pb2.RaftMessage) -> bool:
        """Queue a message; False when there is no session with the peer."""

    def backlog_bytes(self, peer: str) -> int:
        """How much is queued or waits for the socket."""

    def connected(self, peer: str) -> bool:
        """Whether there is a live session with the peer."""

    def set_membership(self, latest: Membership, committed: Membership) -> None:
        """Who takes part now, and who does by what is committed: sessions with others end."""


class TlsTransport:
    """Sessions with all members. The replica with the higher id dials; the other one too when that does not work.

    Without `tls` only for tests in one process. Raises ValueError or OSError for an address that does not resolve.
    """

    def __init__(
        self,
        replica: str,
        cluster_uid: str,
        first: Membership,
        listener: socket.socket,
        tls: TlsContexts | None,
        poller: Poller,
        env: Env,
        *,
        retry_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._door = Door(replica, cluster_uid, first)
        self._addresses = {address: resolve(address) for address in self._door.peers.values()}
        self._listener = listener
        self._tls = tls
        self._poller = poller
        self._env = env
        self._retry_seconds = retry_seconds
        self._timeout_seconds = timeout_seconds
        self._live: dict[str, PeerSession] = {}
        self._opening: dict[str, PeerSession] = {}
        self._unknown: list[PeerSession] = []
        self._queues: dict[str, list[raft_pb2.RaftMessage]] = {}
        self._refusals: set[tuple[str, str]] = set()
        self._replica = replica
        self._next_dial_time: dict[str, float] = {}
        self.on_message: Callable[[str, raft_pb2.RaftMessage], None] = lambda _peer, _message: None
        self.on_part: Callable[[str], None] = lambda _peer: None
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

    def set_membership(self, latest: Membership, committed: Membership) -> None:
        """Dial and let in who belongs to them from now on; sessions with those who did and do not any more end."""
        before = self._door.welcome
        self._door.set_membership(latest, committed)
        for peer, _ in before - self._door.welcome:
            if peer in self._live:
                self._live[peer].close("is no member any more")

    def backlog_bytes(self, peer: str) -> int:
        """How much waits for the peer's socket."""
        session = self._live.get(peer)
        return session.backlog_bytes if session is not None else 0

    def connected(self, peer: str) -> bool:
        """Whether there is a live session with the peer."""
        return peer in self._live

    def flush(self, *, appends_only: bool = False) -> None:
        """Write what is queued; with `appends_only` each peer's leading appends, which may go before a sync."""
        for peer, queue in list(self._queues.items()):
            session = self._live.get(peer)
            if session is None:
                del self._queues[peer]
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
        for peer, address in self._door.peers.items():
            if peer in self._live or peer in self._opening:
                continue
            patience = 1.0 if self._replica > peer else LOWER_PATIENCE
            if peer not in self._next_dial_time:
                self._next_dial_time[peer] = now + (patience - 1.0) * self._retry_seconds
            if now >= self._next_dial_time[peer]:
                jitter = self._env.rng.uniform(0.5, 1.5)
                self._next_dial_time[peer] = now + patience * self._retry_seconds * jitter
                self._dial(peer, address)

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

    def _dial(self, peer: str, where: str) -> None:
        try:
            address = self._addresses[where] if where in self._addresses else resolve(where)
        except (OSError, ValueError) as error:
            self._log_refusal(peer, str(error))
            return
        self._addresses[where] = address
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
            on_part=self._part,
            on_closed=self._closed,
        )

    def _ready(self, session: PeerSession) -> None:
        """The TLS handshake is done: the dialling side says who it is; the other answers only to a member."""
        if session.dialled is None:
            return
        if session.identities is not None and session.dialled not in session.identities:
            session.close(f"its certificate says {', '.join(sorted(session.identities)) or 'nothing'}")
            return
        self._say_hello(session)

    def _say_hello(self, session: PeerSession) -> None:
        session.write(frames.encode(raft_pb2.RaftMessage(hello=self._door.hello())))
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

    def _part(self, session: PeerSession) -> None:
        if session.peer is not None and self._live.get(session.peer) is session:
            self.on_part(session.peer)

    def _identify(self, session: PeerSession, message: raft_pb2.RaftMessage) -> None:
        hello = message.hello
        if message.HasField("farewell") and session.dialled is not None:
            self._door.check_incarnation(session.dialled, message.farewell.incarnation)
            session.close("says that this replica was removed from the cluster")
        elif not message.HasField("hello") or hello.replica == self._replica:
            session.close("does not say who it is")
        elif session.identities is not None and hello.replica not in session.identities:
            names = ", ".join(sorted(session.identities)) or "none"
            session.close(f"says it is {hello.replica}, its certificate says {names}")
        elif session.dialled is not None and hello.replica != session.dialled:
            session.close(f"is {hello.replica}, not {session.dialled}")
        elif objection := self._door.objection(hello):
            self._refuse(session, hello, objection)
        else:
            self._take_over(session, hello.replica)
            if session.dialled is None:
                self._say_hello(session)

    def _refuse(self, session: PeerSession, hello: raft_pb2.Hello, objection: str) -> None:
        """Only who proved to be of this cluster, by certificate, is told why."""
        farewell = self._door.farewell(hello)
        if farewell is not None and session.dialled is None and session.identities is not None:
            session.write(frames.encode(raft_pb2.RaftMessage(farewell=farewell)))
            session.flush()
        session.close(objection)

    def _take_over(self, session: PeerSession, peer: str) -> None:
        """Make this the one live session of the peer; an older one ends before this one delivers anything."""
        old = self._live.get(peer)
        if old is not None:
            old.close("replaced by a newer session")
        session.peer = peer
        self._forget_opening(session)
        self._live[peer] = session
        self._queues[peer] = []
        self._refusals = {(known, reason) for known, reason in self._refusals if known != peer}
        log.info("peer_connected", peer=peer)
        self.on_connected(peer)

    def _closed(self, session: PeerSession, reason: str) -> None:
        self._forget_opening(session)
        peer = session.peer
        if peer is not None and self._live.get(peer) is session:
            del self._live[peer]
            self._queues.pop(peer, None)
            self._next_dial_time.pop(peer, None)
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
