"""The control plane's end of node sessions and streams, over real gRPC and TLS, with the agent played by the test."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from api.errors import ApiError, Conflict, Forbidden, Invalid, NotFound, NotReady, Unavailable
from api.v1 import apiserver_pb2 as pb
from api.v1 import node_pb2, node_pb2_grpc
from component.rpc import channel, error_of
from controlplane.admission.request import node_identity
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.directory import SessionDirectory
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.server import ApiServer
from controlplane.apiserver.sessions import ClusterFacts, NodeSessions
from controlplane.apiserver.streams import NodeStreams
from controlplane.commands import Key
from tests.api_server import Status, Tokens, make_pki, running_core
from tests.waiting import DEADLINE_SECONDS, eventually

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


@pytest.fixture
async def rig(tmp_path):
    keys = make_pki()
    async with running_core(tmp_path) as cluster:
        directory = SessionDirectory("r1", cluster.env)
        streams = NodeStreams(cluster.local, directory, NoRelay(), cluster.env)
        server = ApiServer(
            cluster.core, streams, Tokens(), Status(), Authenticator(cluster.core.authorizer), keys.server
        )
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
        port = await server.start("127.0.0.1:0")
        made = Rig(cluster, keys, streams, directory, f"127.0.0.1:{port}")
        try:
            yield made
        finally:
            for each in made.channels:
                await each.close()
            await server.server.stop(0)


async def test_registration_makes_the_node_and_tells_the_cluster(rig):
    async with rig.agent() as agent:
        node = (await rig.cluster.local.get("nodes", "", "n1")).tree()
    assert node["status"]["addresses"] == STATUS["addresses"]
    assert node["metadata"]["labels"] == {"kubernetes.io/hostname": "n1"}
    assert agent.registered.cluster_uid == "c1"
    assert agent.registered.network.service_range == "10.96.0.0/16"
    assert [each.address for each in agent.registered.endpoints] == ["127.0.0.1:7443"]


async def test_a_node_of_another_cluster_is_turned_away(rig):
    with pytest.raises(NotReady, match="belongs to cluster c2, this is c1"):
        async with rig.agent(cluster_uid="c2"):
            pass


async def test_a_node_that_knows_another_state_of_the_cluster_is_turned_away_and_leaves_no_trace(rig):
    """The control plane lost its data: to the node all its pods would seem to be gone."""
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(NotReady, match="knows another state of cluster c1, which lost its data and began anew"):
                async with rig.agent(cluster_uid="c1", state_uid="before"):
                    pass
    told = [each for each in logs if each["event"] == "node_of_another_cluster"]
    assert [each["node"] for each in told] == ["n1"], "once"
    with pytest.raises(NotFound):
        await rig.cluster.local.get("nodes", "", "n1")


async def test_a_node_that_knows_this_state_comes_back(rig):
    async with rig.agent() as first:
        known = first.registered.state_uid
    assert known == (await rig.cluster.local.get("namespaces", "", "kube-system")).uid
    async with rig.agent(cluster_uid="c1", state_uid=known) as agent:
        assert agent.registered.session_epoch > first.registered.session_epoch


async def test_a_node_cannot_register_as_another(rig):
    agent = Agent(rig.stub("n1"), "n2")
    with pytest.raises(Invalid, match="must register node 'n1'"):
        await agent.register()


async def test_a_stream_that_ends_without_registering_is_refused(rig):
    call = rig.stub("n1").Session()
    await call.done_writing()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await call.read()
    assert ended.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "must register node 'n1'" in ended.value.details()


async def test_a_node_that_falls_silent_is_told_and_its_session_ends(rig, monkeypatch):
    monkeypatch.setattr("controlplane.apiserver.node_session.SILENT_SECONDS", 0.05)
    async with rig.agent() as agent:
        with pytest.raises(Unavailable, match="said nothing for"):
            await agent.read("heartbeated")


async def test_somebody_who_is_no_node_holds_no_session(rig):
    rig.channels.append(channel(rig.address, rig.keys.admin))
    with pytest.raises(Forbidden, match="only nodes hold sessions"):
        await Agent(node_pb2_grpc.NodeServiceStub(rig.channels[-1]), "n1").register()


async def test_a_newer_session_of_the_node_ends_the_older_one(rig):
    async with rig.agent() as old, rig.agent() as new:
        assert new.registered.session_epoch > old.registered.session_epoch
        await new.heartbeat()
        await old.call.write(node_pb2.AgentMessage(heartbeat=node_pb2.Heartbeat()))
        with pytest.raises(Conflict, match="a newer session"):
            await old.read("heartbeated")
        assert rig.directory.find("n1").epoch == new.registered.session_epoch


async def test_pods_come_down_and_their_status_goes_up(rig):
    async with rig.agent() as agent:
        assert (await agent.read("inputs")).inputs.full
        pod = await rig.pod("a")
        inputs = (await agent.read("inputs")).inputs
        assert [(each.kind, each.name) for each in inputs.set] == [("Pod", "a")]
        report = node_pb2.PodReport(namespace="default", name="a", uid=pod.uid, status=json.dumps({"phase": "Running"}))
        result = await agent.report(report)
        assert (list(result.unknown_uids), result.retry) == ([], False)
        assert (await rig.cluster.local.get("pods", "default", "a")).tree()["status"]["phase"] == "Running"


async def test_a_report_leaves_the_conditions_of_others_as_they_are(rig):
    async with rig.agent() as agent:
        await agent.read("inputs")
        pod = await rig.pod("a")
        tree = pod.tree()
        tree["status"]["conditions"] = [{"type": "example.com/open", "status": "True"}]
        await rig.cluster.local.update_status(tree)
        old = [{"type": "Ready", "status": "True"}, {"type": "example.com/open", "status": "False"}]
        status = json.dumps({"phase": "Running", "conditions": old})
        await agent.report(node_pb2.PodReport(namespace="default", name="a", uid=pod.uid, status=status))
        found = (await rig.cluster.local.get("pods", "default", "a")).tree()["status"]["conditions"]
        assert {each["type"]: each["status"] for each in found} == {"Ready": "True", "example.com/open": "True"}


async def test_a_pod_that_is_gone_is_deleted_for_good(rig):
    async with rig.agent() as agent:
        pod = await rig.pod("a")
        await rig.cluster.local.delete("pods", "default", "a")
        await agent.report(node_pb2.PodReport(namespace="default", name="a", uid=pod.uid, gone=True))
        with pytest.raises(NotFound):
            await rig.cluster.local.get("pods", "default", "a")


async def test_unknown_pods_and_namesakes_are_told_to_the_agent(rig):
    async with rig.agent() as agent:
        await rig.pod("a")
        reports = [
            node_pb2.PodReport(namespace="default", name="a", uid="other", status="{}"),
            node_pb2.PodReport(namespace="default", name="b", uid="gone", status="{}"),
        ]
        assert sorted((await agent.report(*reports)).unknown_uids) == ["gone", "other"]


async def test_a_node_cannot_report_another_nodes_pod(rig):
    async with rig.agent("n1"), rig.agent("n2") as other:
        pod = await rig.pod("a", "n1")
        await other.report(
            node_pb2.PodReport(namespace="default", name="a", uid=pod.uid, status=json.dumps({"phase": "Failed"}))
        )
        assert (await rig.cluster.local.get("pods", "default", "a")).tree()["status"]["phase"] == "Pending"


async def test_a_node_that_was_given_up_speaks_for_itself_again(rig):
    async with rig.agent() as agent:
        tree = (await rig.cluster.local.get("nodes", "", "n1")).tree()
        tree["status"]["conditions"][0]["status"] = "Unknown"
        await rig.cluster.local.update_status(tree)
        await agent.heartbeat()

        def ready():
            node = rig.cluster.replica.state.get(Key("nodes", "", "n1"))
            conditions = json.loads(node.body)["status"]["conditions"]
            return [each["status"] for each in conditions if each["type"] == "Ready"] == ["True"]

        await eventually(ready)


async def test_a_replica_that_loses_its_leader_for_long_gives_its_nodes_away(rig, monkeypatch):
    monkeypatch.setattr("controlplane.apiserver.node_session.LEADERLESS_SECONDS", 0.0)
    async with rig.agent() as agent:
        await agent.heartbeat()
        rig.cluster.log.pause()
        rig.cluster.log.step_down()
        await agent.call.write(node_pb2.AgentMessage(heartbeat=node_pb2.Heartbeat()))
        with pytest.raises(Unavailable, match="replica r1 knows no leader"):
            await agent.read("heartbeated")


async def test_a_node_is_not_silent_while_its_report_waits_for_a_leader(rig):
    async with rig.agent() as agent:
        pod = await rig.pod("a")
        rig.cluster.log.pause()
        report = node_pb2.PodReport(namespace="default", name="a", uid=pod.uid, status=json.dumps({"phase": "Running"}))
        await agent.call.write(node_pb2.AgentMessage(report=node_pb2.StatusReport(id=1, pods=[report])))
        await agent.heartbeat()
        rig.cluster.log.resume()
        assert not (await agent.read("report_result")).report_result.retry


async def test_a_removed_node_is_told_so(rig):
    async with rig.agent() as agent:
        await rig.cluster.local.delete("nodes", "", "n1")
        await agent.call.write(node_pb2.AgentMessage(heartbeat=node_pb2.Heartbeat()))
        with pytest.raises(Conflict, match="removed from the cluster"):
            await agent.read("heartbeated")


async def test_a_session_that_ends_is_forgotten(rig):
    async with rig.agent():
        assert rig.directory.find("n1") is not None
    await eventually(lambda: rig.directory.find("n1") is None)


async def answer(rig, agent, frames):
    """Play the agent's answer to the next OpenStream; returns the request and what the client sent."""
    request = (await agent.read("open_stream")).open_stream
    call = agent.stub.Dial()
    await call.write(pb.StreamFrame(accept=request.stream_id))
    for frame in frames:
        await call.write(frame)
    await call.done_writing()
    sent = []
    while (frame := await call.read()) is not grpc.aio.EOF:
        sent.append(frame)
    return request, sent


async def test_a_log_travels_from_the_node_to_the_client(rig):
    async with rig.agent() as agent:
        await rig.pod("a")
        frames = [pb.StreamFrame(stdout=b"one\n"), pb.StreamFrame(stdout=b"two\n"), pb.StreamFrame(ended=True)]
        answering = asyncio.ensure_future(answer(rig, agent, frames))
        got = [piece async for piece in rig.streams.logs(pb.LogsRequest(namespace="default", pod="a"))]
        request, _ = await answering
    assert got == [b"one\n", b"two\n"]
    assert request.logs.container == "c"


async def test_a_command_gets_its_input_and_gives_its_exit_code(rig):
    async def frames():
        yield pb.StreamFrame(exec=pb.ExecStart(namespace="default", pod="a", command=["cat"], stdin=True))
        yield pb.StreamFrame(stdin=b"hello")
        yield pb.StreamFrame(stdin_closed=True)

    async with rig.agent() as agent:
        await rig.pod("a")
        answering = asyncio.ensure_future(
            answer(rig, agent, [pb.StreamFrame(stdout=b"hello"), pb.StreamFrame(exit_code=3)])
        )
        got = [frame async for frame in rig.streams.exec(frames())]
        await answering
    assert [frame.WhichOneof("frame") for frame in got] == ["stdout", "exit_code"]
    assert got[-1].exit_code == 3


async def test_who_attaches_gets_output_until_the_container_ends(rig):
    async def frames():
        yield pb.StreamFrame(attach=pb.AttachStart(namespace="default", pod="a", stdin=True))
        yield pb.StreamFrame(stdin=b"hello")

    async with rig.agent() as agent:
        await rig.pod("a")
        answering = asyncio.ensure_future(
            answer(rig, agent, [pb.StreamFrame(stdout=b"hello"), pb.StreamFrame(ended=True)])
        )
        got = [frame async for frame in rig.streams.attach(frames())]
        await answering
    assert [frame.WhichOneof("frame") for frame in got] == ["stdout", "ended"]


async def test_a_connection_to_a_port_goes_both_ways_until_it_has_ended(rig):
    async def frames(port):
        yield pb.StreamFrame(forward=pb.ForwardStart(namespace="default", pod="a", port=port))
        yield pb.StreamFrame(stdin=b"hello")
        yield pb.StreamFrame(stdin_closed=True)

    async with rig.agent() as agent:
        await rig.pod("a")
        said = [pb.StreamFrame(stdout=b"hello"), pb.StreamFrame(stdout_closed=True), pb.StreamFrame(ended=True)]
        answering = asyncio.ensure_future(answer(rig, agent, said))
        got = [frame.WhichOneof("frame") async for frame in rig.streams.forward(frames(80))]
        request, _ = await answering
        with pytest.raises(Invalid, match="70000 is no port"):
            await anext(aiter(rig.streams.forward(frames(70_000))))
    assert got == ["stdout", "stdout_closed"]
    assert request.forward.port == 80


@pytest.mark.parametrize(
    ("frames", "error", "message"),
    [
        ([pb.StreamFrame(error=pb.StreamError(reason="NotReady", message="it waits"))], NotReady, "it waits"),
        ([pb.StreamFrame(stdout=b"half")], Unavailable, "connection to node 'n1' was lost"),
    ],
)
async def test_a_stream_that_fails_says_why(rig, frames, error, message):
    async with rig.agent() as agent:
        await rig.pod("a")
        answering = asyncio.ensure_future(answer(rig, agent, frames))
        with pytest.raises(error, match=message):
            async for _ in rig.streams.logs(pb.LogsRequest(namespace="default", pod="a")):
                pass
        await answering


async def test_streams_to_what_does_not_exist_or_is_not_connected_are_refused(rig):
    async def first(request):
        await anext(aiter(rig.streams.logs(request)))

    await rig.pod("a")
    with pytest.raises(NotFound, match='pods "b" not found'):
        await first(pb.LogsRequest(namespace="default", pod="b"))
    with pytest.raises(NotFound, match="container x is not valid for pod a"):
        await first(pb.LogsRequest(namespace="default", pod="a", container="x"))
    with pytest.raises(Unavailable, match="node 'n1' is not connected"):
        await first(pb.LogsRequest(namespace="default", pod="a"))


def running(command="sleep"):
    async def frames():
        yield pb.StreamFrame(exec=pb.ExecStart(namespace="default", pod="a", command=[command], stdin=True))
        await asyncio.Event().wait()

    return frames()


async def test_a_stream_ends_at_once_with_the_session_of_its_node(rig):
    async with rig.agent() as agent:
        await rig.pod("a")
        received = rig.streams.exec(running())
        first = asyncio.ensure_future(anext(received))
        request = (await agent.read("open_stream")).open_stream
        dial = agent.stub.Dial()
        await dial.write(pb.StreamFrame(accept=request.stream_id))
        await dial.write(pb.StreamFrame(stdout=b"half"))
        assert (await first).stdout == b"half"
    # The agent's call is still open: its replica alone knows that the session is over.
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(Unavailable, match="connection to node 'n1' was lost while the command ran"):
            await anext(received)
        assert await dial.read() is grpc.aio.EOF
    assert not rig.streams._bridges


async def test_a_stream_whose_node_goes_before_it_dials_back_ends_at_once(rig, monkeypatch):
    monkeypatch.setattr("controlplane.apiserver.streams.DIAL_SECONDS", 100 * DEADLINE_SECONDS)
    async with rig.agent() as agent:
        await rig.pod("a")
        first = asyncio.ensure_future(anext(rig.streams.exec(running())))
        await agent.read("open_stream")
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(Unavailable, match="node 'n1' lost its connection to the control plane"):
            await first
    assert not rig.streams._bridges
    assert not rig.streams._waiting


@pytest.mark.parametrize("ended", [True, False])
async def test_an_agent_at_work_is_told_that_its_client_left(rig, ended):
    async with rig.agent() as agent:
        await rig.pod("a")
        received = rig.streams.exec(running())
        first = asyncio.ensure_future(anext(received))
        request = (await agent.read("open_stream")).open_stream
        dial = agent.stub.Dial()
        await dial.write(pb.StreamFrame(accept=request.stream_id))
        await dial.write(pb.StreamFrame(exit_code=3) if ended else pb.StreamFrame(stdout=b"out"))
        await first
        await received.aclose()
        if not ended:
            told = (await agent.read("close_stream")).close_stream
            assert told.stream_id == request.stream_id
        assert await asyncio.wait_for(dial.read(), DEADLINE_SECONDS) is grpc.aio.EOF
        await agent.call.write(node_pb2.AgentMessage(heartbeat=node_pb2.Heartbeat()))
        while (message := await agent.read()).WhichOneof("message") != "heartbeated":
            assert message.WhichOneof("message") != "close_stream"
    assert not rig.streams._bridges


async def test_a_stream_id_is_good_for_one_node_and_once(rig):
    async with rig.agent("n1") as agent:
        await rig.pod("a")

        async def read():
            return [piece async for piece in rig.streams.logs(pb.LogsRequest(namespace="default", pod="a"))]

        reading = asyncio.ensure_future(read())
        request = (await agent.read("open_stream")).open_stream
        stranger = rig.stub("n2").Dial()
        await stranger.write(pb.StreamFrame(accept=request.stream_id))
        with pytest.raises(NotFound, match="no stream"):
            await refused(stranger)
        call = agent.stub.Dial()
        await call.write(pb.StreamFrame(accept=request.stream_id))
        await call.write(pb.StreamFrame(ended=True))
        assert await reading == []
        again = agent.stub.Dial()
        await again.write(pb.StreamFrame(accept=request.stream_id))
        with pytest.raises(NotFound, match="no stream"):
            await refused(again)


async def refused(call):
    try:
        await call.read()
    except grpc.aio.AioRpcError as error:
        raise error_of(error) from None
