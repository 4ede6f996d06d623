"""On the leader: replicas that joined by token become members of Raft.

Spending the token records the newcomer as a setting of the replicated state; this loop asks Raft to let it in and
removes the record once that is committed. A crash anywhere in between changes nothing: the next leader goes on.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
import structlog

from api import errors
from controlplane.commands import Op, Set
from controlplane.members import Members, is_settled
from controlplane.raft.membership import ChangeNotNow, ChangeRefused, Member, Membership
from controlplane.raft.protocol import MembershipControl
from controlplane.replica import Replica
from controlplane.store.state import State

PERIOD_SECONDS: Final = 0.2
PREFIX: Final = "joining-replica/"

log = structlog.get_logger()


class Newcomer(msgspec.Struct, frozen=True, kw_only=True):
    """A replica that has its certificates and waits to be let in."""

    uid: str
    host: str


def record(replica: str, newcomer: Newcomer) -> Op:
    """The operation that records a newcomer."""
    return Set(PREFIX + replica, msgspec.json.encode(newcomer))


def waiting(state: State) -> dict[str, Newcomer]:
    """The recorded newcomers by replica id."""
    return {
        name.removeprefix(PREFIX): msgspec.json.decode(value, type=Newcomer)
        for name, value in sorted(state.settings.items())
        if name.startswith(PREFIX)
    }


def admitted(replica: str, newcomer: Newcomer, membership: Membership) -> bool:
    """Whether exactly this newcomer is a member."""
    found = membership.member(replica)
    return found is not None and found.uid == newcomer.uid


class MembershipLoop:
    """Runs in every API process and acts in the leader's."""

    def __init__(self, replica: Replica, control: MembershipControl, members: Members) -> None:
        self._replica = replica
        self._control = control
        self._members = members
        self._told: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if self._replica.status.leading:
                await self._round()
            await asyncio.sleep(PERIOD_SECONDS)

    async def _round(self) -> None:
        for replica, newcomer in waiting(self._replica.state).items():
            status = self._replica.status
            membership = status.membership
            if membership is None or not is_settled(status, membership):
                return
            try:
                if admitted(replica, newcomer, membership):
                    await self._replica.commit((Set(PREFIX + replica, b""),))
                else:
                    address = self._members.raft_address(newcomer.host)
                    await self._control.add_learner(Member(replica, newcomer.uid, address))
            except ChangeNotNow:
                return
            except (ChangeRefused, errors.ApiError) as error:
                self._tell(replica, str(error))

    def _tell(self, replica: str, reason: str) -> None:
        """Once for each reason, not five times a second."""
        if (replica, reason) not in self._told:
            self._told.add((replica, reason))
            log.warning("newcomer_not_admitted", newcomer=replica, reason=reason)
