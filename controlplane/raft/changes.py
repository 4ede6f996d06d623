"""Changing the membership on a leader: one at a time, newcomers as learners first.

Ongaro's dissertation, sections 4.1 and 4.2.1, with the correction of 2015: no change before an entry of the leader's
own term is committed. A change that would leave too few voters within reach is refused, it could never commit.
"""

from __future__ import annotations

import structlog

from component.env import Env
from controlplane.raft.config import NodeSettings
from controlplane.raft.core import RaftCore
from controlplane.raft.hand_over import HandOver
from controlplane.raft.leading import Leading
from controlplane.raft.membership import ChangeNotNow, ChangeRefused, Member, Membership

log = structlog.get_logger()


class MembershipChanges:
    """All methods are for the leader; elsewhere changes are refused and `turn` does nothing."""

    def __init__(self, settings: NodeSettings, core: RaftCore, leading: Leading, hand_over: HandOver, env: Env) -> None:
        self._replica = settings.replica
        self._period_seconds = settings.election_min_seconds
        self._core = core
        self._leading = leading
        self._hand_over = hand_over
        self._env = env
        self._mark_time = float("-inf")
        self._mark_index = 0

    def add(self, newcomer: Member) -> None:
        """Let a learner in. ChangeRefused when it is a member, or when this cannot be done now."""
        self._check_possible()
        self._append(self._core.membership.with_learner(newcomer), "learner_added", newcomer.replica)

    def remove(self, replica: str) -> None:
        """Take a member out; nothing happens when it is none.

        ChangeRefused as `add`, for the leader itself, and when too few would be left.
        """
        self._check_possible()
        if self._core.membership.member(replica) is None:
            return
        if replica == self._replica:
            raise ChangeNotNow(f"replica {replica} leads: it must hand leadership over first")
        changed = self._core.membership.without(replica)
        self._check_reach(changed)
        self._append(changed, "member_removed", replica)

    def turn(self) -> None:
        """Every turn of a leader: promote a learner that has caught up."""
        learners = self._core.membership.learners
        if not learners:
            return
        now = self._env.monotonic()
        for learner in sorted(learners):
            if self._leading.could_lead(learner) and self._core.match_index(learner) >= self._mark_index > 0:
                self._promote(learner)
                return
        if now - self._mark_time >= self._period_seconds:
            self._mark_time, self._mark_index = now, self._core.commit_index

    def begin(self) -> None:
        """Leadership began: what was committed before says nothing about who is caught up now."""
        self._mark_time, self._mark_index = float("-inf"), 0

    def _promote(self, learner: str) -> None:
        try:
            self._check_possible()
            changed = self._core.membership.promoted(learner)
            self._check_reach(changed)
        except ChangeRefused:
            return  # tried again in the next turn
        self._append(changed, "learner_promoted", learner)

    def _check_possible(self) -> None:
        core = self._core
        if not core.leads or self._hand_over.under_way:
            raise ChangeNotNow("this replica does not lead")
        if core.commit_index < core.no_op_index:
            raise ChangeNotNow("the leader has not committed anything yet: retry")
        if core.membership.index > core.commit_index:
            raise ChangeNotNow("the change before this one is not committed yet: retry")

    def _check_reach(self, changed: Membership) -> None:
        missing = sorted(each for each in changed.voters - {self._replica} if not self._leading.in_touch(each))
        reached = len(changed.voters) - len(missing)
        if 2 * reached > len(changed.voters):
            return
        awaited = [each for each in missing if self._leading.awaits(each)]
        if 2 * (reached + len(awaited)) > len(changed.voters):
            raise ChangeNotNow(f"{', '.join(awaited)} did not answer the leader yet: retry")
        raise ChangeRefused(
            f"of the voters {', '.join(sorted(changed.voters))} only {reached} would be in reach "
            f"({', '.join(missing)} not), too few for a majority: start a replica or remove one that is gone first"
        )

    def _append(self, changed: Membership, event: str, replica: str) -> None:
        self._core.append_membership(changed)
        self._leading.due = True
        log.info(event, peer=replica, index=self._core.membership.index, voters=sorted(changed.voters))
