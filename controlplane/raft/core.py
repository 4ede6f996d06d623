"""pysyncobj's voting and commit rules behind plain names; everything around them is replaced.

The only importer of pysyncobj, pinned to the version whose private names are used here (docs/adr/0001). What the
library gets wrong is closed by what stands in front of its message handler, by a log that refuses to undo commits,
and by terms on every message. It must not know sockets, files, when to campaign or what entries mean.

`_SyncObj__x` is the library's private `x`: the interpreter's own name mangling, used on purpose.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Protocol

from pysyncobj import SyncObj, SyncObjConf, syncobj
from pysyncobj.node import Node
from pysyncobj.version import VERSION

from api.v1 import raft_pb2
from component.env import Env
from controlplane.raft import messages
from controlplane.raft.config import NodeSettings
from controlplane.raft.library import Journal, Outlet
from controlplane.raft.log import DurableLog, LogEntry
from controlplane.raft.membership import Membership, MembershipHistory
from controlplane.raft.poller import Poller
from controlplane.raft.protocol import Role
from controlplane.raft.transport import PeerTransport

assert VERSION == "0.3.17", "controlplane.raft.core is written against the private names of pysyncobj 0.3.17"

_FOLLOWER, _CANDIDATE, _LEADER = 0, 1, 2
_ROLES: dict[int, Role] = {_FOLLOWER: "follower", _CANDIDATE: "candidate", _LEADER: "leader"}

# The library looks both factories up in its module when a node is built: hand our objects through.
syncobj.createJournal = lambda journal: journal
syncobj.createPoller = lambda poller: poller


class Steps(Protocol):
    """What the core leaves to the node."""

    def lead(self) -> None:
        """A leader's part of every turn, before the sleep."""

    def send_appends(self) -> None:
        """It is time to send every peer what it misses, or a sign of life."""

    def acknowledge(self, peer: str, next_index: int, *, success: bool, reset: bool) -> None:
        """Answer an append: the log matches the leader's below `next_index`, or must be compared from there."""

    def commit_advanced(self) -> None:
        """More is committed than a turn ago."""

    def leadership_changed(self, *, leading: bool) -> None:
        """This replica became the leader or is it no longer."""

    def membership_changed(self) -> None:
        """Another membership is in force."""


class RaftCore(SyncObj):  # type: ignore[misc] # it has no types
    """The state of one member by the Raft paper's figure 2, and the library's rules on it.

    The library campaigns only in a turn for which `may_campaign` was set, once `election_deadline` has passed.
    """

    _SyncObj__transferInProgress: bool

    def __init__(
        self,
        settings: NodeSettings,
        durable_log: DurableLog,
        network: PeerTransport,
        poller: Poller | Any,
        env: Env,
        steps: Steps,
    ) -> None:
        self._log = durable_log
        self._network = network
        self._env = env
        self._steps = steps
        self._append_period_seconds = settings.append_period_seconds
        self._replica = settings.replica
        self._own = settings.own
        self._members = MembershipHistory(settings.first)
        self._peers: frozenset[str] = frozenset()
        self._voters: frozenset[str] = frozenset()
        self._nodes: dict[str, Node] = {}
        self._votes: set[str] = set()
        self.election_deadline = 0.0
        self.may_campaign = False
        self._SyncObj__newAppendEntriesTime = 0.0  # the library reads every property before it sets this one
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
            journalFile=Journal(durable_log, self._entry_added, self._entries_truncated),
            pollerType=poller,
        )
        super().__init__(Node(settings.replica), [], conf, transport=Outlet(self._send_library_message))
        self._SyncObj__raftCommitIndex = self._SyncObj__raftLastApplied = max(1, durable_log.commit_index)

    # State --------------------------------------------------------------------------------------------------------

    @property
    def membership(self) -> Membership:
        """Who takes part: the newest membership in the log, committed or not."""
        return self._members.latest

    def membership_at(self, index: int) -> Membership:
        """Who takes part for a reader of the log up to `index`."""
        return self._members.at(index)

    @property
    def peers(self) -> Collection[str]:
        """The other members, learners too."""
        return self._peers

    @property
    def voters(self) -> Collection[str]:
        """The other members that vote."""
        return self._voters

    @property
    def votes(self) -> bool:
        """Whether this replica is a voter: only then it may campaign."""
        return self.membership.vote_of(self._own)

    @property
    def role(self) -> Role:
        """What this member believes to be."""
        return _ROLES[self._SyncObj__raftState]

    @property
    def leads(self) -> bool:
        """Whether it believes that it leads; another one may already lead in a higher term."""
        return bool(self._SyncObj__raftState == _LEADER)

    @property
    def term(self) -> int:
        """The current term."""
        return int(self._SyncObj__raftCurrentTerm)

    @property
    def leader(self) -> str:
        """The leader of the current term, "" while unknown."""
        leader = self._SyncObj__raftLeader
        return leader.id if leader is not None else ""

    @property
    def commit_index(self) -> int:
        """Entries up to here are committed, as far as this member knows."""
        return int(self._SyncObj__raftCommitIndex)

    @property
    def no_op_index(self) -> int:
        """On a leader, the index of its term's first entry; 0 before this replica ever led."""
        return int(self._SyncObj__noopIDx or 0)

    @property
    def transferring(self) -> bool:
        """Whether the leader asked this member to campaign at once."""
        return self._SyncObj__transferInProgress

    @transferring.setter
    def transferring(self, transferring: bool) -> None:
        self._SyncObj__transferInProgress = transferring

    @property
    def append_time(self) -> float:
        """When a leader's next sign of life is due."""
        return float(self._SyncObj__newAppendEntriesTime)

    def next_index(self, peer: str) -> int:
        """On a leader, the first entry the peer was not sent yet."""
        return int(self._SyncObj__raftNextIndex[self._node(peer)])

    def set_next_index(self, peer: str, index: int) -> None:
        """Send the peer entries from `index` on."""
        self._SyncObj__raftNextIndex[self._node(peer)] = index

    def match_index(self, peer: str) -> int:
        """On a leader, up to where the peer's log is known to equal its own and to be durable."""
        return int(self._SyncObj__raftMatchIndex[self._node(peer)])

    def random_election_seconds(self) -> float:
        """A wait before campaigning, different at each call and replica."""
        return float(self._SyncObj__generateRaftTimeout())

    # Changes ------------------------------------------------------------------------------------------------------

    def tick(self, sleep_seconds: float) -> None:
        """One turn: elections, commits, appends, then sleep in the poller."""
        self.doTick(sleep_seconds)

    def adopt_term(self, term: int) -> None:
        """Somebody is in a higher term: whatever this replica was, it follows now (section 5.1)."""
        self._SyncObj__setCurrentTerm(term, None)
        self.step_down()

    def step_down(self) -> None:
        """Follow nobody in particular."""
        self._SyncObj__setState(_FOLLOWER)
        self._SyncObj__raftLeader = None

    def forget_leader(self) -> None:
        """Nobody has led for an election time, as far as this replica sees."""
        self._SyncObj__raftLeader = None

    def allow_campaign(self) -> None:
        """Let the library campaign in this turn."""
        self._votes = set()
        self.may_campaign = True

    def installed(self, index: int, membership: Membership | None) -> None:
        """The log starts anew after a snapshot at `index`, where `membership` was in force; None: the first one."""
        self._SyncObj__raftCommitIndex = self._SyncObj__raftLastApplied = index
        self._members.installed(membership)
        self._enforce()

    def recover(self, membership: Membership | None) -> None:
        """At the start: take up the membership of the latest snapshot (None: the first one) and those of the log."""
        self._members.installed(membership)
        for entry in self._log[:]:
            found = messages.membership_in(entry)
            if found is not None and found.index > self.membership.index:
                self._members.appended(found)
        self._members.covered(self.commit_index)
        self._enforce()

    def append_membership(self, membership: Membership) -> None:
        """On a leader: put it in force with the next entry."""
        index = self._log.last_index + 1
        membership = replace(membership, index=index)
        data = messages.configuration_entry(membership)
        self._log.add(data, index, self.term)
        self._entry_added((data, index, self.term))

    def covered(self, index: int) -> None:
        """There is a snapshot at `index`."""
        self._members.covered(index)

    def peer_connected(self, peer: str) -> None:
        """There is a session with the peer."""
        self._SyncObj__onNodeConnected(self._node(peer))

    def peer_disconnected(self, peer: str) -> None:
        """There is none any more."""
        self._SyncObj__onNodeDisconnected(self._node(peer))

    # Membership ---------------------------------------------------------------------------------------------------

    def _entry_added(self, entry: LogEntry) -> None:
        membership = messages.membership_in(entry)
        if membership is not None:
            self._members.appended(membership)
            self._enforce()

    def _entries_truncated(self, index: int) -> None:
        if self.membership.index >= index:
            self._members.truncated(index)
            self._enforce()

    def _enforce(self) -> None:
        """Give the library its lists: voters count in majorities, learners are what it calls read-only nodes."""
        membership = self.membership
        self._voters = membership.voters - {self._replica}
        self._peers = self._voters | membership.learners - {self._replica}
        self._SyncObj__otherNodes = {self._node(peer) for peer in self._voters}
        self._SyncObj__readonlyNodes = {self._node(peer) for peer in self._peers - self._voters}
        if self.leads:
            self._enforce_progress()
        self._admit()
        self._steps.membership_changed()

    def _admit(self) -> None:
        self._network.set_membership(self.membership, self.membership_at(self.commit_index))

    def _enforce_progress(self) -> None:
        """On a leader: what was known of a member that left must not count for a later one of the same id."""
        progress = (
            (self._SyncObj__raftNextIndex, self._log.last_index + 1),
            (self._SyncObj__raftMatchIndex, 0),
            (self._SyncObj__lastResponseTime, self._env.monotonic()),
        )
        present = {self._node(peer) for peer in self._peers}
        for known, value in progress:
            for gone in known.keys() - present:
                del known[gone]
            for node in present:
                known.setdefault(node, value)

    def _node(self, peer: str) -> Node:
        """The library's name for a replica, a member or not: one that is behind may hear from members it does not know."""
        return self._nodes.setdefault(peer, Node(peer))

    # Messages -----------------------------------------------------------------------------------------------------

    def send(self, peer: str, message: raft_pb2.RaftMessage) -> bool:
        """Queue a message of the current term; False when there is no session."""
        message.term = self._SyncObj__raftCurrentTerm
        return self._network.send(peer, message)

    def receive_contact(self, peer: str, term: int, commit_index: int) -> None:
        """The leader of `term` lives, and everything up to `commit_index` is committed; the log stays as it is."""
        self._deliver(peer, messages.contact(term, max(commit_index, self.commit_index)))

    def receive_entries(
        self, peer: str, term: int, commit_index: int, prev_index: int, prev_term: int, entries: list[LogEntry]
    ) -> None:
        """Replace what follows `prev_index`, where the logs match, and acknowledge."""
        self._deliver(peer, messages.append_entries(term, commit_index, prev_index, prev_term, entries))

    def receive_append_reply(self, peer: str, reply: raft_pb2.AppendReply, *, reset: bool) -> None:
        """An answer to an append of this very term."""
        self._deliver(peer, messages.append_reply(reply, reset=reset))

    def receive_vote_request(self, peer: str, term: int, request: raft_pb2.VoteRequest) -> None:
        """The peer campaigns."""
        self._deliver(peer, messages.vote_request(term, request))

    def receive_vote(self, peer: str, term: int) -> None:
        """The peer's vote; it counts once, and only a voter's."""
        if peer in self._voters and peer not in self._votes:
            self._votes.add(peer)
            self._deliver(peer, {"type": "response_vote", "term": term})

    def receive_timeout_now(self, peer: str, term: int) -> None:
        """The leader wants this replica to campaign at once."""
        self._deliver(peer, {"type": "timeout_now", "term": term})

    def _deliver(self, peer: str, message: dict[str, Any]) -> None:
        self._SyncObj__onMessageReceived(self._node(peer), message)

    def _send_library_message(self, node: Node, message: dict[str, Any]) -> None:
        self.send(node.id, messages.from_library(message))

    # The library's steps, replaced --------------------------------------------------------------------------------

    @property
    def _SyncObj__raftElectionDeadline(self) -> float:  # noqa: N802 - the library's name
        """The library campaigns when this has passed: never, unless allowed in this turn."""
        return self.election_deadline if self.may_campaign else float("inf")

    @_SyncObj__raftElectionDeadline.setter
    def _SyncObj__raftElectionDeadline(self, deadline: float) -> None:  # noqa: N802 - the library's name
        self.election_deadline = deadline

    def _checkCommandsToApply(self) -> None:  # noqa: N802 - the library's name
        if self.leads:
            self._steps.lead()

    def _SyncObj__applyLogEntries(self) -> bool:  # noqa: N802 - the library's name
        """Nothing is applied here: the API process applies what the link delivers."""
        before = self._SyncObj__raftLastApplied
        if before < self.commit_index:
            self._SyncObj__raftLastApplied = self.commit_index
            if before < self.membership.index:
                self._admit()
            self._steps.commit_advanced()
        return False

    def _SyncObj__tryLogCompaction(self) -> None:  # noqa: N802 - the library's name
        """The API process writes snapshots; the link compacts."""

    def _SyncObj__setState(self, state: int) -> None:  # noqa: N802 - the library's name
        led = self.leads
        super()._SyncObj__setState(state)
        if led != self.leads:
            self._steps.leadership_changed(leading=self.leads)

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802 - the library's name
        self._SyncObj__newAppendEntriesTime = self._env.monotonic() + self._append_period_seconds
        self._steps.send_appends()

    send_appends_now = _SyncObj__sendAppendEntries

    def _SyncObj__sendNextNodeIdx(  # noqa: N802 - the library's name
        self,
        node: Node,
        reset: bool = False,
        nextNodeIdx: int | None = None,  # noqa: N803 - the library's name
        success: bool = False,
    ) -> None:
        next_index = nextNodeIdx if nextNodeIdx is not None else self._log.last_index + 1
        self._steps.acknowledge(node.id, next_index, success=success, reset=reset)
