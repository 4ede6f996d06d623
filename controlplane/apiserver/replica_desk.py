"""Taking replicas out and moving leadership, asked of any replica and done by the leader."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, Protocol

import grpc
import structlog

from api import errors
from api.v1 import apiserver_pb2 as pb
from api.v1 import raft_pb2
from component.rpc_server import Context
from controlplane.raft.membership import ChangeNotNow, ChangeRefused
from controlplane.raft.protocol import MembershipControl, RaftStatus

DEADLINE_SECONDS: Final = 8.0
RETRY_SECONDS: Final = 0.05

log = structlog.get_logger()


class Peers(Protocol):
    """The other replicas."""

    async def change_membership(self, leader: str, change: raft_pb2.LinkChange) -> None:
        """Ask the leader. ChangeRefused, ChangeNotNow."""


class StatusView(Protocol):
    """This replica's Raft status."""

    @property
    def status(self) -> RaftStatus:
        """The latest."""


async def change_here(control: MembershipControl, change: raft_pb2.LinkChange) -> None:
    """Do at this replica, the leader, what a peer or a client asked for. ChangeRefused, ChangeNotNow."""
    match change.WhichOneof("change"):
        case "remove":
            await control.remove_member(change.remove)
        case "hand_over":
            await control.hand_over(change.hand_over)
        case other:
            raise ChangeRefused(f"replicas ask for no {other}")


class ReplicaDesk:
    """Repeats what can be repeated until it is done: every step looks at the membership first."""

    def __init__(self, own: str, view: StatusView, control: MembershipControl, peers: Peers) -> None:
        self._own = own
        self._view = view
        self._control = control
        self._peers = peers

    async def remove(self, request: pb.RemoveReplicaRequest, context: Context) -> pb.RemoveReplicaResponse:
        """RemoveReplica. The leader hands leadership over before it leaves."""
        del context
        replica = request.replica
        membership = self._view.status.membership
        if membership is None:
            raise errors.Unavailable("this replica does not know its cluster yet: retry")
        if membership.member(replica) is None:
            names = ", ".join(each.replica for each in membership.members)
            raise errors.NotFound(f"no replica {replica!r}; there are: {names}")
        if membership.voters == {replica}:
            raise errors.NotReady(f"replica {replica} is the only one that votes: the cluster would end")
        why = ""
        async with _patience(
            lambda: f"replica {replica} is not out yet{_because(why)}: look at `tim replica list`, then retry"
        ):
            while not self._is_out(replica):
                leader = self._leader()
                if leader == replica:
                    why = await self._ask(leader, raft_pb2.LinkChange(hand_over=""))
                elif leader:
                    why = await self._ask(leader, raft_pb2.LinkChange(remove=replica))
                await asyncio.sleep(RETRY_SECONDS)
        log.info("replica_removed", removed=replica)
        return pb.RemoveReplicaResponse()

    async def transfer(self, request: pb.TransferLeadershipRequest, context: Context) -> pb.TransferLeadershipResponse:
        """TransferLeadership; returns once another replica leads."""
        del context
        membership = self._view.status.membership
        if request.to and (membership is None or request.to not in membership.voters):
            raise errors.NotFound(f"no voting replica {request.to!r}")
        why = ""
        async with _patience(
            lambda: f"no other replica leads{_because(why)}: are the others caught up? look at `tim replica list`"
        ):
            before = ""  # who led when this began
            while True:
                leader = self._leader()
                before = before or leader
                if leader and (leader == request.to or (not request.to and leader != before)):
                    break
                if leader:
                    why = await self._ask(leader, raft_pb2.LinkChange(hand_over=request.to))
                await asyncio.sleep(RETRY_SECONDS)
        return pb.TransferLeadershipResponse(leader=leader)

    def _leader(self) -> str:
        """Who leads, "" for the moment. Unavailable at a replica that others may know more than: also one that is out."""
        status = self._view.status
        if status.cut_off or not status.connected:
            raise errors.Unavailable("this replica is cut off: ask another one")
        return status.leader

    def _is_out(self, replica: str) -> bool:
        status = self._view.status
        membership = status.membership
        return (
            membership is not None
            and membership.member(replica) is None
            and membership.index <= status.commit_index
            and bool(status.leader)
        )

    async def _ask(self, leader: str, change: raft_pb2.LinkChange) -> str:
        """One attempt. Returns why it may work a moment later only, "" if it was taken. NotReady says what never will."""
        try:
            if leader == self._own:
                await change_here(self._control, change)
            else:
                await self._peers.change_membership(leader, change)
        except ChangeNotNow as reason:
            return str(reason)
        except ChangeRefused as refused:
            raise errors.NotReady(str(refused)) from refused
        return ""

    def handlers(self) -> Mapping[str, grpc.RpcMethodHandler[Any, Any]]:
        """By RPC of `ApiServer`."""
        return {
            "RemoveReplica": grpc.unary_unary_rpc_method_handler(
                self.remove, pb.RemoveReplicaRequest.FromString, pb.RemoveReplicaResponse.SerializeToString
            ),
            "TransferLeadership": grpc.unary_unary_rpc_method_handler(
                self.transfer, pb.TransferLeadershipRequest.FromString, pb.TransferLeadershipResponse.SerializeToString
            ),
        }


@contextlib.asynccontextmanager
async def _patience(complaint: Callable[[], str]) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            yield
    except TimeoutError:
        raise errors.NotReady(complaint()) from None


def _because(why: str) -> str:
    return f", as {why.removesuffix(': retry')}" if why else ""
