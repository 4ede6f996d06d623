"""When a replica campaigns, and to whom it would give its vote.

Elections start from a lost session or from silence, never without a won pre-vote, and never on a replica whose API
process could not serve. Votes themselves are the core's.
"""

from __future__ import annotations

from collections.abc import Callable

from api.v1 import raft_pb2
from component.env import Env
from controlplane.raft.config import NodeSettings
from controlplane.raft.core import RaftCore
from controlplane.raft.log import DurableLog
from controlplane.raft.pre_vote import Claim, PreVote, grants

_CUT_OFF_ELECTIONS = 1.5  # peers that elect are heard at least once in a time-out; half of one for a busy machine
_FRESH_SIGNS = 3  # whoever leads gives signs of life of which not more than two in a row are late


class Election:
    """The elections of one replica, as candidate and as voter."""

    def __init__(
        self,
        settings: NodeSettings,
        core: RaftCore,
        durable_log: DurableLog,
        env: Env,
        electable: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._core = core
        self._log = durable_log
        self._env = env
        self._electable = electable
        self._pre_vote = PreVote(1)
        self._contact_time = float("-inf")
        self._transfer_time = float("-inf")
        self._heard_times: dict[str, float] = {}
        self._led_time = env.monotonic()  # when this replica last knew a leader
        self._led_elsewhere_time = float("-inf")  # when a peer last said that it hears one
        core.election_deadline = env.monotonic() + env.rng.uniform(0.02, 0.15)

    @property
    def due_time(self) -> float:
        """When `guard` has something to do; in the past if at once, as after a won pre-vote."""
        return self._core.election_deadline

    def guard(self) -> None:
        """Every turn: let the core campaign only after a won pre-vote, and never without a useful API process."""
        core, now = self._core, self._env.monotonic()
        core.may_campaign = False
        if core.leader:
            self._led_time = now
        if core.leads or core.election_deadline >= now:
            return
        if not core.votes:  # a learner, or removed: it waits for a leader's word
            core.transferring = False
            core.election_deadline = now + self._settings.election_max_seconds
            return
        if now - self._transfer_time > self._settings.election_min_seconds:
            core.transferring = False
        if not self._electable():
            core.election_deadline = now + (0.002 if core.transferring else self._env.rng.uniform(0.005, 0.05))
        elif core.transferring or self._pre_vote.won or not core.voters:
            self._pre_vote.won = False
            core.allow_campaign()
        else:
            self._ask(now)

    def _ask(self, now: float) -> None:
        """Ask for pre-votes. Who is cut off, or out without knowing, asks for ever: it must not name a leader meanwhile."""
        self._core.forget_leader()
        first = 0.3 if self._contact_time < 0 else 1.0  # nobody leads for certain: ask again sooner
        self._core.election_deadline = now + first * self._core.random_election_seconds()
        request = raft_pb2.VoteRequest(
            candidate_term=self._core.term + 1,
            last_index=self._log.last_index,
            last_term=self._log[-1][2],
            round=self._pre_vote.start(now),
        )
        for peer in self._core.voters:
            self._core.send(peer, raft_pb2.RaftMessage(pre_vote_request=request))

    def membership_changed(self) -> None:
        """Other replicas vote now: earlier questions are void."""
        self._pre_vote.members = len(self._core.voters) + 1
        self._pre_vote.void()

    def heard(self, peer: str) -> None:
        """Something came from the peer."""
        self._heard_times[peer] = self._env.monotonic()

    def cut_off(self) -> bool:
        """Whether there is no leader, and either too few peers were heard lately to elect one, or one hears a leader."""
        voters = self._core.voters
        if self._core.leader or not voters:
            return False
        limit = self._env.monotonic() - _CUT_OFF_ELECTIONS * self._settings.election_max_seconds
        if self._led_time < limit < self._led_elsewhere_time:
            return True
        heard = sum(self._heard_times.get(peer, float("-inf")) > limit for peer in voters)
        return 2 * (1 + heard) <= 1 + len(voters)

    def heard_from_leader(self) -> None:
        """There is a leader: earlier questions are void, and nobody gets this replica's pre-vote for a while."""
        self._contact_time = self._env.monotonic()
        self._pre_vote.void()

    def session_lost(self, peer: str) -> None:
        """If it was the leader's, do not wait for the timer, but do not ask in step with the others either."""
        if self._core.leader == peer and not self._core.leads:
            self._contact_time = float("-inf")
            soon = self._env.monotonic() + self._env.rng.uniform(0.005, 0.06)
            self._core.election_deadline = min(self._core.election_deadline, soon)

    def receive_timeout_now(self, peer: str, term: int) -> None:
        """The leader hands over to this replica."""
        self._transfer_time = self._env.monotonic()
        self._core.receive_timeout_now(peer, term)

    def receive_pre_vote_request(self, peer: str, request: raft_pb2.VoteRequest) -> None:
        """Would this replica vote for the peer? Not while it hears a leader (dissertation, section 9.6)."""
        core, settings, now = self._core, self._settings, self._env.monotonic()
        leaderless = not core.leads and now - self._contact_time >= settings.election_min_seconds
        own = Claim(self._log[-1][2], self._log.last_index, settings.replica)
        claim = Claim(request.last_term, request.last_index, peer)
        asking = now - self._pre_vote.asked_time < settings.append_period_seconds
        granted = leaderless and request.candidate_term > core.term and grants(own, claim, asking=asking)
        if granted:  # give it the time to win
            self._pre_vote.void()
            core.election_deadline = max(core.election_deadline, now + settings.append_period_seconds)
        led = core.leads or now - self._contact_time < _FRESH_SIGNS * settings.append_period_seconds
        reply = raft_pb2.VoteReply(granted=granted, round=request.round, led=led)
        core.send(peer, raft_pb2.RaftMessage(pre_vote_reply=reply))

    def receive_pre_vote_reply(self, peer: str, reply: raft_pb2.VoteReply) -> None:
        """A majority of grants of one round lets this replica campaign."""
        if reply.led:
            self._led_elsewhere_time = self._env.monotonic()
        if (
            reply.granted
            and not self._core.leads
            and peer in self._core.voters
            and self._pre_vote.granted(peer, reply.round)
        ):
            self._core.election_deadline = 0.0
