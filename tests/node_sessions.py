"""The control plane's end of node sessions and streams, over real gRPC and TLS, with the agent played by the test."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import grpc
import grpc.aio

from api.errors import ApiError, Unavailable
from api.v1 import node_pb2, node_pb2_grpc
from component.rpc import channel, error_of
from controlplane.admission.request import node_identity
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.directory import SessionDirectory
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.server import ApiServer
from controlplane.apiserver.sessions import ClusterFacts, NodeSessions
from controlplane.apiserver.streams import NodeStreams
from tests.api_server import Status, Tokens, make_pki, running_core
from tests.waiting import DEADLINE_SECONDS

STATUS = {
    "conditions": [{"type": "Ready", "status": "True"}],
    "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
}
FACTS = ClusterFacts("c1", "r1", lambda: {"r1": "127.0.0.1:7443"}, "10.244.0.0/16", "10.96.0.0/16", "cluster.local")
LOST = "the connection was lost"
"""What is made of grpc's own words when a refusal comes while it still sends the beginning of a call."""


class NoRelay:
    async def open_node_stream(self, replica, frames):
        raise Unavailable(f"no way to {replica}")
        yield


class Rig:
    def __init__(self, cluster, keys, streams, directory, address):
        self.cluster, self.keys, self.streams, self.directory = cluster, keys, streams, directory
        self.address = address
        self.channels = []

    def stub(self, node="n1"):
        tls = self.keys.client(f"system:node:{node}", "system:nodes")
        self.channels.append(channel(self.address, tls))
        return node_pb2_grpc.NodeServiceStub(self.channels[-1])

    @asynccontextmanager
    async def agent(self, node="n1", cluster_uid="", state_uid=""):
        agent = Agent(self.stub(node), node)
        await agent.register(cluster_uid, state_uid)
        try:
            yield agent
        finally:
            agent.call.cancel()

    async def pod(self, name, node="n1"):
        spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": node}
        tree = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        return await self.cluster.local.create(tree)


class Agent:
    """What an agent sends and receives on one session."""

    def __init__(self, stub, node):
        self.stub, self.node = stub, node
        self.call = stub.Session()

    async def register(self, cluster_uid="", state_uid=""):
        register = node_pb2.Register(
            node=self.node,
            cluster_uid=cluster_uid,
            state_uid=state_uid,
            node_status=json.dumps(STATUS),
            node_labels=json.dumps({"kubernetes.io/hostname": self.node}),
        )
        while True:
            with suppress(grpc.aio.AioRpcError):  # it was refused already: reading tells
                await self.call.write(node_pb2.AgentMessage(register=register))
            try:
                self.registered = (await self.read()).registered
            except ApiError as error:
                if str(error) != LOST:
                    raise
                self.call = self.stub.Session()
            else:
                return

    async def read(self, kind=""):
        while True:
            try:
                message = await asyncio.wait_for(self.call.read(), DEADLINE_SECONDS)
            except grpc.aio.AioRpcError as error:
                raise error_of(error) from None
            if message is grpc.aio.EOF:
                code, details = await self.call.code(), await self.call.details()
                raise AssertionError(f"the session ended: {code} {details}")
            if not kind or message.WhichOneof("message") == kind:
                return message

    async def heartbeat(self, status=None):
        text = json.dumps(status) if status else ""
        await self.call.write(node_pb2.AgentMessage(heartbeat=node_pb2.Heartbeat(node_status=text)))
        await self.read("heartbeated")

    async def report(self, *pods, number=1):
        await self.call.write(node_pb2.AgentMessage(report=node_pb2.StatusReport(id=number, pods=pods)))
        return (await self.read("report_result")).report_result


def server_of_nodes(cluster, keys):
    """A replica's gRPC server that holds sessions of nodes, not started yet; with its streams and directory."""
    directory = SessionDirectory("r1", cluster.env)
    streams = NodeStreams(cluster.local, directory, NoRelay(), cluster.env)
    server = ApiServer(cluster.core, streams, Tokens(), Status(), Authenticator(cluster.core.authorizer), keys.server)
    sessions = NodeSessions(
        cluster.replica,
        FACTS,
        directory,
        streams,
        lambda node: LocalClient(cluster.core, node_identity(node)),
        Authenticator(cluster.core.authorizer),
        cluster.env,
    )
    node_pb2_grpc.add_NodeServiceServicer_to_server(sessions, server.server)
    return server, streams, directory


@asynccontextmanager
async def serving_nodes(tmp_path):
    """Yield a Rig."""
    keys = make_pki()
    async with running_core(tmp_path) as cluster:
        server, streams, directory = server_of_nodes(cluster, keys)
        port = await server.start("127.0.0.1:0")
        made = Rig(cluster, keys, streams, directory, f"127.0.0.1:{port}")
        try:
            yield made
        finally:
            for each in made.channels:
                await each.close()
            await server.server.stop(0)
