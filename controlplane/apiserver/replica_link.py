"""What replicas ask of each other: forwarded writes, read indexes, session reports and relayed streams.

The proposing side is the port `LeaderLink` of `controlplane.replica`; the serving side is open to replicas only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence

import grpc
import structlog

from api import errors
from api.v1 import apiserver_pb2, raft_pb2, raft_pb2_grpc
from component.rpc import Tls, answered, channel, error_of
from component.tasks import cancelled_elsewhere_as
from controlplane.apiserver.directory import SessionDirectory
from controlplane.apiserver.replica_desk import change_here
from controlplane.apiserver.secret_keys import KeyDesk
from controlplane.apiserver.status import StatusSource
from controlplane.apiserver.streams import NodeStreams
from controlplane.raft.membership import ChangeNotNow, ChangeRefused
from controlplane.raft.protocol import MembershipControl, NotLeader
from controlplane.replica import Replica

log = structlog.get_logger()

REPORT_PERIOD_SECONDS = 1.0
REPORT_PAUSE_SECONDS = 0.1  # between two of them, however many sessions begin and end
CALL_SECONDS = 2.0
SCAN_SECONDS = 30.0  # of a replica's whole data
RECONNECT_SECONDS = 0.2


class ReplicaLinkService(raft_pb2_grpc.ReplicaLinkServicer):
    """The serving side."""

    def __init__(
        self,
        replica: Replica,
        directory: SessionDirectory,
        streams: NodeStreams,
        status: StatusSource,
        control: MembershipControl,
        keys: KeyDesk,
    ) -> None:
        self._replica = replica
        self._keys = keys
        self._control = control
        self._directory = directory
        self._streams = streams
        self._status = status

    async def Propose(
        self, request_iterator: AsyncIterator[raft_pb2.ProposeBatch], context: object
    ) -> AsyncIterator[raft_pb2.ProposeReply]:
        """Accept batches in order; an answer says only whether the batch was taken in."""
        async for batch in request_iterator:
            refused = False
            try:
                self._replica.accept(batch.term, batch.transactions)
            except (NotLeader, errors.ApiError):
                refused = True
            yield raft_pb2.ProposeReply(id=batch.id, refused=refused)

    async def ReadIndex(self, request: raft_pb2.ReadIndexRequest, context: object) -> raft_pb2.ReadIndexReply:
        """One round of the leader serves every read that waits at the asking replica."""
        try:
            return raft_pb2.ReadIndexReply(index=await self._replica.leader_read_index())
        except NotLeader as error:
            raise errors.Unavailable("not the leader") from error

    async def ChangeMembership(self, request: raft_pb2.LinkChange, context: object) -> raft_pb2.LinkChangeReply:
        """Only the leader can; refusals are answers, so that the asking replica knows which may be repeated."""
        try:
            await change_here(self._control, request)
        except ChangeRefused as refused:
            return raft_pb2.LinkChangeReply(refused=str(refused), retry=isinstance(refused, ChangeNotNow))
        return raft_pb2.LinkChangeReply()

    async def ReportSessions(
        self, request_iterator: AsyncIterator[raft_pb2.SessionReport], context: object
    ) -> raft_pb2.SessionReportReply:
        """Learn which nodes the sender holds; what it held is forgotten when its stream ends."""
        replica = ""
        try:
            async for report in request_iterator:
                replica = report.replica
                sessions = [(each.node, each.epoch, each.age_seconds) for each in report.sessions]
                self._directory.learn(replica, sessions)
        finally:
            if replica:
                self._directory.learn(replica, [])
        return raft_pb2.SessionReportReply()

    async def OpenNodeStream(
        self, request_iterator: AsyncIterator[apiserver_pb2.StreamFrame], context: object
    ) -> AsyncIterator[apiserver_pb2.StreamFrame]:
        """Continue a client's stream at the node whose session is here."""
        async with contextlib.aclosing(self._streams.relayed(request_iterator)) as frames:
            async for frame in frames:
                yield frame

    async def Status(self, request: apiserver_pb2.ClusterStatusRequest, context: object) -> apiserver_pb2.ReplicaStatus:
        """This replica's own view of itself."""
        return self._status.own_status()

    async def ShareKeys(self, request: raft_pb2.SecretsKeys, context: object) -> raft_pb2.SecretsKeys:
        """Keep the keys of Secrets that another replica uses, and tell those that are here."""
        return await self._keys.share(request)

    async def KeyUses(self, request: raft_pb2.KeyUsesRequest, context: object) -> raft_pb2.KeyUsesReply:
        """Tell which keys are here and what needs them."""
        return await self._keys.uses()

    async def ForgetKeys(self, request: raft_pb2.ForgetKeysRequest, context: object) -> raft_pb2.ForgetKeysReply:
        """Forget keys that nothing here needs."""
        await self._keys.forget(request.keys)
        return raft_pb2.ForgetKeysReply()


class Peers:
    """The calling side: one channel and one proposal stream per peer. Implements `LeaderLink` and `Relay`.

    Peers come and go with `set_endpoints`. One that is not known is treated as one that does not lead.
    """

    def __init__(self, endpoints: Mapping[str, str], tls: Tls | None) -> None:
        self._tls = tls
        self._addresses: dict[str, str] = {}
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._stubs: dict[str, raft_pb2_grpc.ReplicaLinkStub] = {}
        self._proposals: dict[str, ProposalStream] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._former: list[grpc.aio.Channel] = []  # with the certificate before: streams on them go on
        self.set_endpoints(endpoints)

    def set_endpoints(self, endpoints: Mapping[str, str]) -> None:
        """The other members' addresses by id are these from now on; streams to others end."""
        for replica in [known for known, address in self._addresses.items() if endpoints.get(known) != address]:
            self._retire(replica, self._channels.pop(replica))
            del self._addresses[replica], self._stubs[replica]
        for replica, address in endpoints.items():
            if replica not in self._addresses:
                self._addresses[replica] = address
                self._connect(replica)

    def renew(self, tls: Tls) -> None:
        """Show this certificate from now on. Streams under way go on over the connections that are there.

        Those connections are closed at the next renewal, months later, or at the end.
        """
        self._tls = tls
        for each in self._former:
            self._retire("", each)
        self._former = list(self._channels.values())
        for replica in self._addresses:
            self._connect(replica)

    def _connect(self, replica: str) -> None:
        self._channels[replica] = channel(self._addresses[replica], self._tls)
        self._stubs[replica] = raft_pb2_grpc.ReplicaLinkStub(  # type: ignore[no-untyped-call] # generated
            self._channels[replica]
        )

    def _retire(self, replica: str, gone: grpc.aio.Channel) -> None:
        leaving = asyncio.ensure_future(self._leave(replica, gone))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _leave(self, replica: str, gone: grpc.aio.Channel) -> None:
        stream = self._proposals.pop(replica, None)
        if stream is not None:
            await stream.close()
        await gone.close()

    def _stub(self, replica: str) -> raft_pb2_grpc.ReplicaLinkStub:
        """NotLeader for one that is no peer (any more)."""
        if replica not in self._stubs:
            raise NotLeader(replica)
        return self._stubs[replica]

    async def propose(self, leader: str, term: int, transactions: Sequence[bytes]) -> None:
        """Hand transactions to the leader; NotLeader when they were certainly not appended."""
        stream = self._proposals.get(leader)
        if stream is None or stream.broken:
            stream = self._proposals[leader] = ProposalStream(self._stub(leader))
        await stream.send(term, transactions)

    async def read_index(self, leader: str) -> int:
        """Ask the leader for the index a read starting now must have applied; NotLeader."""
        try:
            with cancelled_elsewhere_as(NotLeader(leader)):
                reply = await self._stub(leader).ReadIndex(raft_pb2.ReadIndexRequest(), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise NotLeader(leader) from error
        return int(reply.index)

    async def open_node_stream(
        self, replica: str, frames: AsyncIterator[apiserver_pb2.StreamFrame]
    ) -> AsyncGenerator[apiserver_pb2.StreamFrame]:
        """Relay a client's stream to the replica that holds the node's session."""
        if replica not in self._stubs:
            raise errors.Unavailable(f"replica {replica} is gone: retry")
        call = self._stubs[replica].OpenNodeStream(frames)
        try:
            with cancelled_elsewhere_as(errors.Unavailable(f"replica {replica} is gone: retry")):
                async for frame in call:
                    yield frame
        except grpc.aio.AioRpcError as error:
            if not answered(error):
                raise errors.Unavailable(f"the connection to replica {replica} was lost: retry") from error
            raise error_of(error) from error
        finally:
            call.cancel()

    async def status(self, replica: str) -> apiserver_pb2.ReplicaStatus | None:
        """A peer's status, None when it does not answer within a second."""
        with contextlib.suppress(grpc.aio.AioRpcError, NotLeader), cancelled_elsewhere_as(NotLeader(replica)):
            reply: apiserver_pb2.ReplicaStatus = await self._stub(replica).Status(
                apiserver_pb2.ClusterStatusRequest(), timeout=1.0
            )
            return reply
        return None

    async def share_keys(self, replica: str, keys: Sequence[bytes]) -> Sequence[bytes] | None:
        """Give a peer keys of Secrets; returns all that it has then, None when it does not answer."""
        request = raft_pb2.SecretsKeys(keys=keys)
        with contextlib.suppress(grpc.aio.AioRpcError, NotLeader), cancelled_elsewhere_as(NotLeader(replica)):
            reply: raft_pb2.SecretsKeys = await self._stub(replica).ShareKeys(request, timeout=CALL_SECONDS)
            return list(reply.keys)
        return None

    async def key_uses(self, replica: str) -> raft_pb2.KeyUsesReply | None:
        """What of a peer's data needs which keys of Secrets, None when it does not answer."""
        with contextlib.suppress(grpc.aio.AioRpcError, NotLeader), cancelled_elsewhere_as(NotLeader(replica)):
            reply: raft_pb2.KeyUsesReply = await self._stub(replica).KeyUses(
                raft_pb2.KeyUsesRequest(), timeout=SCAN_SECONDS
            )
            return reply
        return None

    async def forget_keys(self, replica: str, keys: Sequence[str]) -> None:
        """Let a peer forget keys of Secrets. NotReady, Unavailable."""
        request = raft_pb2.ForgetKeysRequest(keys=keys)
        try:
            with cancelled_elsewhere_as(NotLeader(replica)):
                await self._stub(replica).ForgetKeys(request, timeout=SCAN_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise error_of(error) from error
        except NotLeader:
            raise errors.Unavailable(f"replica {replica} is gone: retry") from None

    async def report_sessions(self, directory: SessionDirectory) -> None:
        """Tell every peer each second, and whenever it changes, which sessions are held here; runs until cancelled."""
        reporting: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                for replica in self._stubs.keys() - reporting.keys():
                    reporting[replica] = asyncio.ensure_future(self._report_to(replica, directory))
                for replica in reporting.keys() - self._stubs.keys():
                    reporting.pop(replica).cancel()
                await asyncio.sleep(REPORT_PERIOD_SECONDS)
        finally:
            for task in reporting.values():
                task.cancel()
            await asyncio.gather(*reporting.values(), return_exceptions=True)

    async def change_membership(self, leader: str, change: raft_pb2.LinkChange) -> None:
        """Ask the leader to change the membership. ChangeRefused, ChangeNotNow."""
        try:
            with cancelled_elsewhere_as(NotLeader(leader)):
                reply = await self._stub(leader).ChangeMembership(change, timeout=CALL_SECONDS)
        except (grpc.aio.AioRpcError, NotLeader) as error:
            raise ChangeNotNow("the leader does not answer") from error
        if reply.refused:
            raise (ChangeNotNow if reply.retry else ChangeRefused)(reply.refused)

    async def close(self) -> None:
        """Close every stream and channel."""
        await asyncio.gather(*self._leaving)
        for stream in self._proposals.values():
            await stream.close()
        for each in (*self._channels.values(), *self._former):
            await each.close()

    async def _report_to(self, replica: str, directory: SessionDirectory) -> None:
        async def reports() -> AsyncIterator[raft_pb2.SessionReport]:
            while True:
                changed = directory.changed
                sessions = [
                    raft_pb2.SessionReport.Session(node=node, epoch=epoch, age_seconds=age)
                    for node, epoch, age in directory.report()
                ]
                yield raft_pb2.SessionReport(replica=directory.replica, sessions=sessions)
                await asyncio.sleep(REPORT_PAUSE_SECONDS)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REPORT_PERIOD_SECONDS):
                        await changed.wait()

        while True:
            with contextlib.suppress(grpc.aio.AioRpcError, NotLeader), cancelled_elsewhere_as(NotLeader(replica)):
                await self._stub(replica).ReportSessions(reports())
            await asyncio.sleep(RECONNECT_SECONDS)


class ProposalStream:
    """One ordered stream of batches to the leader, each answered."""

    def __init__(self, stub: raft_pb2_grpc.ReplicaLinkStub) -> None:
        self._call = stub.Propose()
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._next_id = 0
        self._writing = asyncio.Lock()  # gRPC breaks a stream on which a second write begins before the first is done
        self.broken = False
        self._reader = asyncio.ensure_future(self._read())

    async def send(self, term: int, transactions: Sequence[bytes]) -> None:
        """Send one batch and wait until the leader took it in.

        NotLeader when it refused; Unavailable when the stream broke: the outcome is learned from the log.
        """
        self._next_id += 1
        number = self._next_id
        reply = self._waiting[number] = asyncio.get_running_loop().create_future()
        batch = raft_pb2.ProposeBatch(id=number, term=term, transactions=transactions)
        try:
            with cancelled_elsewhere_as(errors.Unavailable("the leader is no replica any more")):
                async with self._writing:
                    await self._call.write(batch)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            self._break()
            raise errors.Unavailable("the connection to the leader broke") from error
        if await reply:
            raise NotLeader(str(term))

    async def close(self) -> None:
        """End the stream; whoever waits is told that it broke."""
        self._call.cancel()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        self._break()

    async def _read(self) -> None:
        try:
            async for reply in self._call:
                waiting = self._waiting.pop(reply.id, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(bool(reply.refused))
        except grpc.aio.AioRpcError as error:
            log.info("leader_stream_broke", code=error.code().name)
        finally:
            self._break()

    def _break(self) -> None:
        self.broken = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(errors.Unavailable("the connection to the leader broke"))
                waiting.exception()  # the sender may have gone; it is no loss then
        self._waiting.clear()
