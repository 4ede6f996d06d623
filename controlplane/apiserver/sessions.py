"""The control plane's end of node sessions: registration, heartbeats, reports up, inputs and requests down.

A session belongs to one replica; its epoch is the revision of the write that registered it, so of two sessions of
one node every replica knows which is newer. Heartbeats stay in memory; only what changes is written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import structlog

from api import errors
from api.v1 import apiserver_pb2, node_pb2, node_pb2_grpc
from component.client import ApiClient
from component.env import Env
from component.rpc_server import Context
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.directory import SessionDirectory
from controlplane.apiserver.node_session import Session
from controlplane.apiserver.streams import NodeStreams, StreamFrame
from controlplane.commands import Key
from controlplane.replica import Replica

log = structlog.get_logger()

REGISTER_SECONDS = 10.0

STATE_NAMESPACE = Key("namespaces", "", "kube-system")
"""Made once, with the state, and never deleted: its uid tells one state from another, as Kubernetes' users do."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What every agent is told at registration."""

    cluster_uid: str
    replica: str
    endpoints: Callable[[], Mapping[str, str]]
    pod_range: str
    service_range: str
    cluster_domain: str


class NodeSessions(node_pb2_grpc.NodeServiceServicer):
    """Serves `NodeService`. `client_for` makes an API client that acts as the given node, with its rights."""

    def __init__(
        self,
        replica: Replica,
        facts: ClusterFacts,
        directory: SessionDirectory,
        streams: NodeStreams,
        client_for: Callable[[str], ApiClient],
        authenticator: Authenticator,
        env: Env,
    ) -> None:
        self._replica = replica
        self._facts = facts
        self._directory = directory
        self._streams = streams
        self._client_for = client_for
        self._authenticator = authenticator
        self._env = env
        self._open: set[Session] = set()
        self._strangers: set[str] = set()  # told of already; as many as have certificates of our CA

    def endpoints_changed(self) -> None:
        """Tell every agent where the replicas are now: one that only knew the old ones would lose its way."""
        for session in list(self._open):
            with contextlib.suppress(errors.Unavailable):  # it does not keep up: its session ends, it registers anew
                session.send(node_pb2.ServerMessage(endpoints=node_pb2.Endpoints(endpoints=self._endpoints())))

    async def Session(
        self, request_iterator: AsyncIterator[node_pb2.AgentMessage], context: Context
    ) -> AsyncIterator[node_pb2.ServerMessage]:
        """Serve one session to its end."""
        node = self._node(context)
        try:
            async with asyncio.timeout(REGISTER_SECONDS):
                first = await anext(request_iterator, None)
        except TimeoutError:
            raise errors.Invalid(f"node {node!r} did not register within {REGISTER_SECONDS:g} s") from None
        if first is None or first.WhichOneof("message") != "register" or first.register.node != node:
            raise errors.Invalid(f"the first message must register node {node!r}")
        register = first.register
        await self._check_ours(node, register)
        session = Session(node, self._client_for(node), self._replica, self._directory, self._env)
        epoch = await session.register(register)
        self._directory.opened(node, epoch)
        self._streams.session_opened(node, session)
        log.info("session_opened", node=node, session_epoch=epoch)
        self._open.add(session)
        try:
            yield node_pb2.ServerMessage(registered=self._registered(epoch))
            async for message in session.serve(request_iterator):
                yield message
        finally:
            self._open.discard(session)
            self._streams.session_ended(node, session)
            self._directory.closed(node, epoch)
            log.info("session_closed", node=node, session_epoch=epoch)

    async def Dial(self, request_iterator: AsyncIterator[StreamFrame], context: Context) -> AsyncIterator[StreamFrame]:
        """The agent's answer to OpenStream."""
        async with contextlib.aclosing(self._streams.dialled(self._node(context), request_iterator)) as frames:
            async for frame in frames:
                yield frame

    def _node(self, context: Context) -> str:
        node = self._authenticator.identify(context).node
        if not node:
            raise errors.Forbidden("only nodes hold sessions")
        return node

    async def _check_ours(self, node: str, register: node_pb2.Register) -> None:
        """Raise NotReady for a node that another cluster gave its pods: with ours it would lose them."""
        problem = ""
        if register.cluster_uid and register.cluster_uid != self._facts.cluster_uid:
            problem = (
                f"node {node!r} belongs to cluster {register.cluster_uid}, this is {self._facts.cluster_uid}: "
                "its pods keep running; reset the node and join again if that is intended"
            )
        elif register.state_uid and register.state_uid != self._state_uid:
            await self._replica.read_barrier()
            if register.state_uid != self._state_uid:
                problem = (
                    f"node {node!r} knows another state of cluster {self._facts.cluster_uid}, which lost its data and "
                    "began anew: its pods keep running; restore a backup, or reset the node and join again"
                )
        if problem:
            if node not in self._strangers:
                self._strangers.add(node)
                log.warning("node_of_another_cluster", node=node, reason=problem)
            raise errors.NotReady(problem)
        self._strangers.discard(node)

    @property
    def _state_uid(self) -> str:
        stored = self._replica.state.get(STATE_NAMESPACE)
        return stored.envelope.uid if stored is not None else ""

    def _registered(self, epoch: int) -> node_pb2.Registered:
        facts = self._facts
        message = node_pb2.Registered(
            cluster_uid=facts.cluster_uid, session_epoch=epoch, replica=facts.replica, state_uid=self._state_uid
        )
        message.endpoints.extend(self._endpoints())
        message.network.pod_range = facts.pod_range
        message.network.service_range = facts.service_range
        message.network.cluster_domain = facts.cluster_domain
        return message

    def _endpoints(self) -> list[apiserver_pb2.Endpoint]:
        known = self._facts.endpoints()
        return [apiserver_pb2.Endpoint(replica=replica, address=address) for replica, address in known.items()]
