"""The Raft node of one replica: pysyncobj's voting and commit rules, with everything around them replaced.

The only importer of pysyncobj, pinned to the version whose private names are used here (docs/adr/0001). What the
library gets wrong is closed by a filter in front of its message handler, a log that refuses to undo commits, and
terms on every message. The node knows entries as bytes; it must not know sockets, files or what entries mean.

`_SyncObj__x` is the library's private `x`: the interpreter's own name mangling, used on purpose.
"""

from __future__ import annotations

from typing import Any

import structlog
from pysyncobj import SyncObj, SyncObjConf, syncobj
from pysyncobj.node import Node
from pysyncobj.version import VERSION

from api.v1 import raft_pb2
from component.env import Env
from controlplane.raft import messages
from controlplane.raft.append_rules import Accept, Extend, LogView, Reject, decide
from controlplane.raft.config import NodeSettings
from controlplane.raft.frames import FrameError
from controlplane.raft.library import Journal, Outlet
from controlplane.raft.liveness import ApiLiveness
from controlplane.raft.log import DurableLog
from controlplane.raft.poller import Poller
from controlplane.raft.pre_vote import Claim, PreVote, grants
from controlplane.raft.protocol import RaftStatus, Role
from controlplane.raft.reads import ReadDone, ReadRounds
from controlplane.raft.sender import PeerSender
from controlplane.raft.snapshots import SnapshotFolder
from controlplane.raft.transport import PeerTransport

assert VERSION == "0.3.17", "controlplane.raft.node is written against the private names of pysyncobj 0.3.17"

log = structlog.get_logger()

MAX_PEER_BACKLOG_BYTES = 4 << 20  # then only heartbeats until the socket drains
SNAPSHOT_BACKLOG_BYTES = 1 << 20

_FOLLOWER, _CANDIDATE, _LEADER = 0, 1, 2
_ROLES: dict[int, Role] = {_FOLLOWER: "follower", _CANDIDATE: "candidate", _LEADER: "leader"}

# The library looks both factories up in its module when a node is built: hand our objects through.
syncobj.createJournal = lambda journal: journal
syncobj.createPoller = lambda poller: poller


class RaftNode(SyncObj):  # type: ignore[misc] # it has no types
    """One member of the cluster; everything happens in the thread that calls `step`.

    It leads only while its API process is alive; the link reports that to `api`.
    """

    _SyncObj__transferInProgress: bool

    def __init__(
        self,
        settings: NodeSettings,
        durable_log: DurableLog,
        snapshots: SnapshotFolder,
        transport: PeerTransport,
        poller: Poller | Any,
        env: Env,
    ) -> None:
        self._settings = settings
        self._log = durable_log
        self._snapshots = snapshots
        self._network = transport
        self._env = env
        self._nodes = {peer: Node(peer) for peer in settings.peers}
        self._rounds = ReadRounds()
        self._answering_round = 0
        self._append_due = False
        self._sender = PeerSender(durable_log, snapshots)
        self._api = ApiLiveness(env, settings.api_silence_seconds)
        self._pre_vote = PreVote(len(settings.peers) + 1)
        self._electable_peers: set[str] = set()
        self._election_deadline = 0.0
        self._may_campaign = False
        self._contact_time = float("-inf")
        self._votes: set[str] = set()
        self._transfer_time = float("-inf")
        self._hand_over_deadline: float | None = None
        self._transfer_sent = False
        # One clock and one source of chance: the library reads both from its module.
        syncobj.monotonicTime, syncobj.random = env.monotonic, env.rng
        conf = SyncObjConf(
            autoTick=False,
            appendEntriesUseBatch=True,
            appendEntriesPeriod=settings.append_period_seconds,
            raftMinTimeout=settings.election_min_seconds,
            raftMaxTimeout=settings.election_max_seconds,
            leaderFallbackTimeout=settings.election_max_seconds,
            connectionTimeout=max(5.0, settings.election_max_seconds),
            dynamicMembershipChange=False,
            useFork=False,
            journalFile=Journal(durable_log),
            pollerType=poller,
        )
        super().__init__(
            Node(settings.replica), list(self._nodes.values()), conf, transport=Outlet(self._send_library_message)
        )
        self._SyncObj__raftCommitIndex = self._SyncObj__raftLastApplied = max(1, durable_log.commit_index)
        self._election_deadline = env.monotonic() + env.rng.uniform(0.02, 0.15)
        transport.on_message = self._receive
        transport.on_connected = self._peer_connected
        transport.on_disconnected = self._peer_disconnected

    # For the link ---------------------------------------------------------------------------------------------

    def step(self, limit_seconds: float) -> None:
        """One turn: elections, commits, appends, then sleep in the poller for at most `limit_seconds`."""
        self._watch_api()
        self._guard_election()
        self.doTick(self._sleep_seconds(limit_seconds))

    def status(self) -> RaftStatus:
        """Role, term and indexes; `leading` is left to the link, which knows what was delivered."""
        leader = self._SyncObj__raftLeader
        return RaftStatus(
            _ROLES[self._SyncObj__raftState],
            self._SyncObj__raftCurrentTerm,
            leader.id if leader is not None else "",
            self._SyncObj__raftCommitIndex,
            self._log.last_index,
        )

    def no_op_index(self) -> int:
        """The index of the no-op of this leader's term; 0 while it does not lead or is about to stop."""
        return int(self._SyncObj__noopIDx) if self.leads() and self._hand_over_deadline is None else 0

    def deliverable_index(self) -> int:
        """Entries up to here are committed and durable on this replica."""
        return min(int(self._SyncObj__raftCommitIndex), self._log.durable_index)

    def propose(self, data: bytes, term: int) -> int | None:
        """Append at this leader in exactly `term`; returns the index, or None: certainly not appended."""
        if not self.leads() or term != self._SyncObj__raftCurrentTerm or self._hand_over_deadline is not None:
            return None
        index = self._log.last_index + 1
        self._log.add(messages.COMMAND + data, index, term)
        self._append_due = True
        return index

    def read_index(self, done: ReadDone) -> None:
        """Call `done` with the index a read starting now must have applied, or None when this is no leader."""
        if self.leads():
            self._rounds.add(done)
        else:
            done(None)

    @property
    def api(self) -> ApiLiveness:
        """Where the link reports what it sees of the API process."""
        return self._api

    def hand_over(self, reason: str) -> None:
        """Give up leadership: to a caught-up peer if there is one, else to nobody. Harmless on a follower."""
        if self.leads() and self._hand_over_deadline is None:
            self._hand_over_deadline = self._env.monotonic() + self._settings.election_min_seconds
            self._transfer_sent = False
            log.info("leadership_handed_over", reason=reason, term=self._SyncObj__raftCurrentTerm)

    def close(self) -> None:
        """Close snapshot files being sent; everything else belongs to the caller."""
        self._sender.close()

    # Leadership and the API process -----------------------------------------------------------------------------

    def leads(self) -> bool:
        """Whether this replica believes that it leads; another one may already lead in a higher term."""
        return bool(self._SyncObj__raftState == _LEADER)

    def _electable(self) -> bool:
        """Whether a leadership of this replica would be of use at once."""
        return self._api.electable(self._SyncObj__raftCommitIndex)

    def _watch_api(self) -> None:
        interruption = self._api.interruption()
        if not self.leads():
            return
        if interruption:
            self.hand_over(interruption)
        if self._hand_over_deadline is None:
            return
        self._transfer()
        if self._env.monotonic() >= self._hand_over_deadline or not self._nodes:
            self._SyncObj__setState(_FOLLOWER)
            self._SyncObj__raftLeader = None
            self._election_deadline = self._env.monotonic() + self._settings.election_max_seconds

    def _transfer(self) -> None:
        """Tell the best caught-up peer to campaign now; tried every turn until one is caught up."""
        ready = [
            peer
            for peer, node in self._nodes.items()
            if peer in self._electable_peers
            and self._network.connected(peer)
            and self._SyncObj__raftMatchIndex[node] == self._log.last_index
        ]
        if ready and not self._transfer_sent:
            self._transfer_sent = self._send(min(ready), raft_pb2.RaftMessage(timeout_now=raft_pb2.TimeoutNow()))

    def _guard_election(self) -> None:
        """Let the library campaign only after a won pre-vote, and never without a useful API process."""
        now = self._env.monotonic()
        self._may_campaign = False
        if self.leads() or self._election_deadline >= now:
            return
        if now - self._transfer_time > self._settings.election_min_seconds:
            self._SyncObj__transferInProgress = False
        transferring = self._SyncObj__transferInProgress
        if not self._electable():
            self._election_deadline = now + (0.002 if transferring else self._env.rng.uniform(0.005, 0.05))
            return
        if transferring or self._pre_vote.won or not self._nodes:
            self._pre_vote.won = False
            self._votes = set()
            self._may_campaign = True
            return
        first = 0.3 if self._contact_time < 0 else 1.0  # nobody leads for certain: ask again sooner
        self._election_deadline = now + first * self._SyncObj__generateRaftTimeout()
        request = raft_pb2.VoteRequest(
            candidate_term=self._SyncObj__raftCurrentTerm + 1,
            last_index=self._log.last_index,
            last_term=self._log[-1][2],
            round=self._pre_vote.start(now),
        )
        for peer in self._nodes:
            self._send(peer, raft_pb2.RaftMessage(pre_vote_request=request))

    def _sleep_seconds(self, limit_seconds: float) -> float:
        if self._append_due or self._pre_vote.won:
            return 0.0
        due = self._SyncObj__newAppendEntriesTime if self.leads() else self._election_deadline
        return min(limit_seconds, max(0.0, due - self._env.monotonic()) + 0.0005)

    @property
    def _SyncObj__raftElectionDeadline(self) -> float:  # noqa: N802 - the library's name
        """The library campaigns when this has passed: never, unless `_guard_election` allowed it in this turn."""
        return self._election_deadline if self._may_campaign else float("inf")

    @_SyncObj__raftElectionDeadline.setter
    def _SyncObj__raftElectionDeadline(self, deadline: float) -> None:  # noqa: N802 - the library's name
        self._election_deadline = deadline

    # The library's steps, replaced --------------------------------------------------------------------------------

    def _checkCommandsToApply(self) -> None:  # noqa: N802 - the library's name
        if not self.leads():
            return
        commit_index = self._SyncObj__raftCommitIndex
        if commit_index >= self._SyncObj__noopIDx and self._rounds.start(commit_index):
            self._append_due = True
        self._rounds.finish(len(self._nodes) + 1)
        if self._append_due:
            self._SyncObj__sendAppendEntries()

    def _SyncObj__applyLogEntries(self) -> bool:  # noqa: N802 - the library's name
        """Nothing is applied here: the API process applies what the link delivers."""
        if self._SyncObj__raftLastApplied < self._SyncObj__raftCommitIndex:
            self._SyncObj__raftLastApplied = int(self._SyncObj__raftCommitIndex)
            self._append_due = self.leads()  # tell followers the new commit index at once
        return False

    def _SyncObj__tryLogCompaction(self) -> None:  # noqa: N802 - the library's name
        """The API process writes snapshots; see `compact`."""

    def _SyncObj__setState(self, state: int) -> None:  # noqa: N802 - the library's name
        old = self._SyncObj__raftState
        super()._SyncObj__setState(state)
        term = self._SyncObj__raftCurrentTerm
        if state == _LEADER and old != _LEADER:
            self._append_due = True
            self._hand_over_deadline = None
            self._electable_peers.clear()
            log.info("elected", term=term, last_index=self._log.last_index)
        if old == _LEADER and state != _LEADER:
            self._hand_over_deadline = None
            self._append_due = False
            self._rounds.fail()
            self._sender.close()
            log.info("stepped_down", term=term)

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802 - the library's name
        self._SyncObj__newAppendEntriesTime = self._env.monotonic() + self._settings.append_period_seconds
        self._append_due = False
        self._sender.begin_turn()
        for peer in self._nodes:
            if self._network.connected(peer):
                self._append_to(peer)

    def _SyncObj__sendNextNodeIdx(  # noqa: N802 - the library's name
        self,
        node: Node,
        reset: bool = False,
        nextNodeIdx: int | None = None,  # noqa: N803 - the library's name
        success: bool = False,
    ) -> None:
        next_index = nextNodeIdx if nextNodeIdx is not None else self._log.last_index + 1
        reply = raft_pb2.AppendReply(
            next_index=next_index,
            success=success,
            reset=reset,
            round=self._answering_round,
            electable=self._electable(),
        )
        self._send(node.id, raft_pb2.RaftMessage(append_reply=reply))

    # Leader: sending ----------------------------------------------------------------------------------------------

    def _append_to(self, peer: str) -> None:
        node = self._nodes[peer]
        next_index = self._SyncObj__raftNextIndex[node]
        if next_index <= self._log.first_index:
            self._send_snapshot_piece(peer)
            return
        self._sender.drop(peer)
        if self._network.backlog_bytes(peer) > MAX_PEER_BACKLOG_BYTES:
            return  # what waits in the socket is contact enough
        message = self._sender.append(next_index, self._SyncObj__raftCommitIndex, self._rounds.round)
        self._send(peer, message)
        next_index += len(message.append_entries.entries)
        self._SyncObj__raftNextIndex[node] = next_index
        if next_index <= self._log.last_index:
            self._append_due = True

    def _send_snapshot_piece(self, peer: str) -> None:
        if self._network.backlog_bytes(peer) >= SNAPSHOT_BACKLOG_BYTES:
            return
        piece = self._sender.snapshot_piece(peer, self._rounds.round)
        if piece.offset == 0:
            log.info("snapshot_sending", peer=peer, index=piece.index)
        self._send(peer, raft_pb2.RaftMessage(snapshot_chunk=piece))
        if piece.last:
            self._SyncObj__raftNextIndex[self._nodes[peer]] = piece.index + 1
        else:
            self._append_due = True

    def _send(self, peer: str, message: raft_pb2.RaftMessage) -> bool:
        message.term = self._SyncObj__raftCurrentTerm
        return self._network.send(peer, message)

    def _send_library_message(self, node: Node, message: dict[str, Any]) -> None:
        self._send(node.id, messages.from_library(message))

    # Receiving ------------------------------------------------------------------------------------------------------

    def _peer_connected(self, peer: str) -> None:
        self._SyncObj__onNodeConnected(self._nodes[peer])
        self._sender.drop(peer)
        if self.leads():  # what was under way is lost with the old session
            node = self._nodes[peer]
            matched = self._SyncObj__raftMatchIndex[node]
            self._SyncObj__raftNextIndex[node] = (matched or self._log.last_index) + 1
            self._append_due = True

    def _peer_disconnected(self, peer: str) -> None:
        self._SyncObj__onNodeDisconnected(self._nodes[peer])
        self._sender.drop(peer)
        self._electable_peers.discard(peer)
        leader = self._SyncObj__raftLeader
        if leader is not None and leader.id == peer and not self.leads():
            # The leader's socket died: do not wait for the timer, but not in step with the others either.
            self._contact_time = float("-inf")
            soon = self._env.monotonic() + self._env.rng.uniform(0.005, 0.06)
            self._election_deadline = min(self._election_deadline, soon)

    def _deliver(self, peer: str, message: dict[str, Any]) -> None:
        self._SyncObj__onMessageReceived(self._nodes[peer], message)

    def _receive(self, peer: str, message: raft_pb2.RaftMessage) -> None:
        kind = message.WhichOneof("message")
        current = self._SyncObj__raftCurrentTerm
        if kind in {"append_reply", "vote_reply", "pre_vote_reply", "higher_term"}:
            if message.term > current:
                self._adopt_term(message.term)
            elif message.term == current or kind == "pre_vote_reply":  # those are matched by their round
                self._receive_reply(peer, message)
            return
        if message.term < current and kind != "pre_vote_request":  # whose reply carries the higher term
            self._send(peer, raft_pb2.RaftMessage(higher_term=raft_pb2.HigherTerm()))
            return
        match kind:
            case "append_entries":
                self._receive_append(peer, message.term, message.append_entries)
            case "snapshot_chunk":
                self._receive_snapshot_piece(peer, message.term, message.snapshot_chunk)
            case "vote_request":
                self._deliver(peer, messages.vote_request(message.term, message.vote_request))
            case "pre_vote_request":
                self._receive_pre_vote_request(peer, message.pre_vote_request)
            case "timeout_now":
                self._transfer_time = self._env.monotonic()
                self._deliver(peer, {"type": "timeout_now", "term": message.term})
            case _:
                raise FrameError(f"a message without meaning here: {kind}")

    def _adopt_term(self, term: int) -> None:
        """Somebody is in a higher term: whatever this replica was, it follows now (section 5.1)."""
        self._SyncObj__setCurrentTerm(term, None)
        self._SyncObj__setState(_FOLLOWER)
        self._SyncObj__raftLeader = None

    def _receive_reply(self, peer: str, message: raft_pb2.RaftMessage) -> None:
        """A reply to a message of this very term; to a pre-vote request, which binds nobody, also from a lower one."""
        if message.HasField("append_reply"):
            if self.leads():
                self._receive_append_reply(peer, message.append_reply)
        elif message.HasField("vote_reply"):
            if message.vote_reply.granted and peer not in self._votes:
                self._votes.add(peer)
                self._deliver(peer, {"type": "response_vote", "term": message.term})
        elif message.HasField("pre_vote_reply"):
            reply = message.pre_vote_reply
            if reply.granted and not self.leads() and self._pre_vote.granted(peer, reply.round):
                self._election_deadline = 0.0

    def _receive_append_reply(self, peer: str, reply: raft_pb2.AppendReply) -> None:
        if reply.success and reply.next_index > self._log.last_index + 1:
            raise FrameError(f"an acknowledgement of entry {reply.next_index - 1}, which does not exist")
        self._rounds.echo(peer, reply.round)
        if reply.electable:
            self._electable_peers.add(peer)
        else:
            self._electable_peers.discard(peer)
        reset = reply.reset and self._sender.follow_reset(
            peer, reply.next_index, self._env.monotonic(), self._settings.append_period_seconds
        )
        node = self._nodes[peer]
        self._deliver(peer, messages.append_reply(reply, reset=reset))
        if reset or self._SyncObj__raftNextIndex[node] <= self._log.last_index:
            self._append_due = True

    def _receive_append(self, peer: str, term: int, append: raft_pb2.AppendEntries) -> None:
        entries = messages.entries(append)
        self._heard_from_leader(append.round)
        view = LogView(self._log.first_index, self._log.last_index, self._SyncObj__raftCommitIndex, self._log.term_at)
        match decide(view, append.prev_index, append.prev_term, [entry[2] for entry in entries]):
            case Accept(matched_index):
                self._follow(peer, term, min(append.commit_index, matched_index))
                self._SyncObj__sendNextNodeIdx(self._nodes[peer], nextNodeIdx=matched_index + 1, success=True)
            case Reject(next_index):
                self._follow(peer, term, 0)
                self._SyncObj__sendNextNodeIdx(self._nodes[peer], nextNodeIdx=next_index, reset=True)
            case Extend(prev_index, prev_term, skip):
                following = entries[skip:]
                self._deliver(
                    peer, messages.append_entries(term, append.commit_index, prev_index, prev_term, following)
                )

    def _heard_from_leader(self, number: int) -> None:
        self._contact_time = self._env.monotonic()
        self._answering_round = number
        self._pre_vote.void()

    def _follow(self, peer: str, term: int, commit_index: int) -> None:
        """Contact with the leader of `term`, and everything up to `commit_index` is committed; the log stays."""
        commit_index = max(commit_index, self._SyncObj__raftCommitIndex)
        self._deliver(peer, messages.contact(term, commit_index))

    def _receive_snapshot_piece(self, peer: str, term: int, piece: raft_pb2.SnapshotChunk) -> None:
        self._heard_from_leader(piece.round)
        node, index = self._nodes[peer], piece.index
        known = self._log.first_index <= index <= self._log.last_index and self._log.term_at(index) == piece.index_term
        self._follow(peer, term, index if known else 0)
        commit_index = self._SyncObj__raftCommitIndex
        if index <= commit_index:  # installing it would undo what is committed here
            self._SyncObj__sendNextNodeIdx(node, nextNodeIdx=commit_index + 1, success=True, reset=True)
            return
        if not self._snapshots.receive(index, piece.index_term, piece.offset, piece.data):
            raise FrameError("a piece of a snapshot out of order")
        if not piece.last:
            self._SyncObj__sendNextNodeIdx(node)  # only a sign of life
            return
        snapshot = self._snapshots.finish(piece.size_bytes, piece.crc32)
        if snapshot is None:
            raise FrameError(f"a snapshot at index {index} with a wrong checksum")
        self._log.reset(index, piece.index_term)
        self._SyncObj__raftCommitIndex = self._SyncObj__raftLastApplied = int(index)
        log.info("snapshot_installed", index=index, term=piece.index_term, size_bytes=piece.size_bytes)
        self._SyncObj__sendNextNodeIdx(node, nextNodeIdx=index + 1, success=True)

    def _receive_pre_vote_request(self, peer: str, request: raft_pb2.VoteRequest) -> None:
        """Would this replica vote for the peer? Not while it hears a leader (dissertation, section 9.6)."""
        now, settings = self._env.monotonic(), self._settings
        leaderless = not self.leads() and now - self._contact_time >= settings.election_min_seconds
        own = Claim(self._log[-1][2], self._log.last_index, settings.replica)
        claim = Claim(request.last_term, request.last_index, peer)
        asking = now - self._pre_vote.asked_time < settings.append_period_seconds
        later = request.candidate_term > self._SyncObj__raftCurrentTerm
        granted = leaderless and later and grants(own, claim, asking=asking)
        if granted:  # give it the time to win
            self._pre_vote.void()
            self._election_deadline = max(self._election_deadline, now + settings.append_period_seconds)
        reply = raft_pb2.VoteReply(granted=granted, round=request.round)
        self._send(peer, raft_pb2.RaftMessage(pre_vote_reply=reply))
