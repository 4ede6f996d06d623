"""Sessions of nodes: who may hold one, what it brings down and takes up, and how it ends."""

from __future__ import annotations

import asyncio
import json

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from api.errors import Conflict, Forbidden, Invalid, NotFound, NotReady, Unavailable
from api.v1 import node_pb2, node_pb2_grpc
from component.rpc import channel
from controlplane.admission.request import node_identity
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.node_session import Session
from controlplane.commands import Key
from tests.node_sessions import STATUS, Agent, serving_nodes
from tests.waiting import eventually


@pytest.fixture
async def rig(tmp_path):
    async with serving_nodes(tmp_path) as made:
        yield made


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


def ready_status(rig):
    """The Ready condition of node n1 as it is stored."""
    stored = rig.cluster.replica.state.get(Key("nodes", "", "n1"))
    conditions = json.loads(stored.body)["status"]["conditions"]
    return next(each["status"] for each in conditions if each["type"] == "Ready")


@pytest.mark.parametrize("word", ["Unknown", "False"])
async def test_a_node_speaks_for_itself_again_after_others_spoke_for_it(rig, word):
    async with rig.agent() as agent:
        tree = (await rig.cluster.local.get("nodes", "", "n1")).tree()
        tree["status"]["conditions"][0]["status"] = word
        await rig.cluster.local.update_status(tree)
        assert ready_status(rig) == word
        await agent.heartbeat()
        await eventually(lambda: ready_status(rig) == "True")


class Held(LocalClient):
    """Keeps the first write of a status back until `let_go`, as a replica without processor time does."""

    def __init__(self, core, identity):
        super().__init__(core, identity)
        self.reached, self.let_go = asyncio.Event(), asyncio.Event()

    async def update_status(self, tree):
        self.reached.set()
        await self.let_go.wait()
        return await super().update_status(tree)


async def test_what_an_older_session_has_yet_to_say_of_its_node_is_not_written(rig):
    """An agent that begins says that it is not ready, and goes to another replica when nobody answers in time."""
    cluster = rig.cluster
    client = Held(cluster.core, node_identity("n1"))
    session = Session("n1", client, cluster.replica, rig.directory, cluster.env)
    beginning = json.dumps({"conditions": [{"type": "Ready", "status": "False"}]})
    old = asyncio.ensure_future(session.register(node_pb2.Register(node="n1", node_status=beginning)))
    await client.reached.wait()
    async with rig.agent() as agent:
        client.let_go.set()
        with pytest.raises(Conflict, match="a newer session of node 'n1' took over"):
            await old
        await agent.heartbeat()
        assert ready_status(rig) == "True"


async def test_what_an_older_session_has_yet_to_say_of_pods_is_not_written(rig):
    async with rig.agent() as old, rig.agent() as new:
        pod = await rig.pod("a")
        name = {"namespace": "default", "name": "a", "uid": pod.uid}
        await new.report(node_pb2.PodReport(**name, status=json.dumps({"phase": "Succeeded"})))
        result = await old.report(node_pb2.PodReport(**name, status=json.dumps({"phase": "Running"})))
        assert (list(result.unknown_uids), result.retry) == ([], True)
        assert (await rig.cluster.local.get("pods", "default", "a")).tree()["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize(("patience", "cut_off"), [("LEADERLESS_SECONDS", False), ("CUT_OFF_SECONDS", True)])
async def test_a_replica_that_loses_its_leader_for_long_gives_its_nodes_away(rig, monkeypatch, patience, cut_off):
    monkeypatch.setattr(f"controlplane.apiserver.node_session.{patience}", 0.0)
    async with rig.agent() as agent:
        await agent.heartbeat()
        rig.cluster.log.pause()
        rig.cluster.log.step_down(cut_off=cut_off)
        await agent.call.write(node_pb2.AgentMessage(heartbeat=node_pb2.Heartbeat()))
        with pytest.raises(Unavailable, match="replica r1 knows no leader"):
            await agent.read("heartbeated")


async def test_a_session_outlasts_an_election_that_takes_long(rig, monkeypatch):
    """Its streams would end with it, and no other replica would be of more use."""
    monkeypatch.setattr("controlplane.apiserver.node_session.CUT_OFF_SECONDS", 0.0)
    async with rig.agent() as agent:
        rig.cluster.log.pause()
        rig.cluster.log.step_down()
        await agent.heartbeat()


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
