"""The API over real gRPC and TLS: verbs, errors, roles and what is no request."""

from __future__ import annotations

import asyncio
import json
import re

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from api import errors
from api.v1 import apiserver_pb2 as pb
from api.v1 import apiserver_pb2_grpc, resource_pb2
from component import rpc
from component.client import Collection, Write
from component.rpc_client import RpcClient
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.mass_deletion import PAGE_OBJECTS
from controlplane.apiserver.server import ApiServer
from tests.api_server import config_map, make_pki, pod, running_cluster
from tests.waiting import DEADLINE_SECONDS, eventually

pytestmark = pytest.mark.slow


@pytest.fixture
async def cluster(tmp_path):
    async with running_cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def client(cluster):
    return cluster.client()


async def test_what_is_created_can_be_read_listed_changed_and_deleted(client):
    created = await client.create(config_map("a", {"k": "1"}))
    assert created.revision > 0
    assert await client.get("configmaps", "default", "a") == created
    tree = created.tree()
    tree["data"]["k"] = "2"
    updated = await client.update(tree)
    assert updated.revision > created.revision
    listed = await client.list("configmaps", "default")
    assert listed.items == (updated,)
    deleted = await client.delete("configmaps", "default", "a")
    assert deleted.revision > updated.revision
    with pytest.raises(errors.NotFound, match='configmaps "a" not found'):
        await client.get("configmaps", "default", "a")


async def test_invalid_objects_come_back_with_every_field_named(client):
    bad = pod("a", restartPolicy="Sometimes", colour="red")
    bad["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(errors.Invalid) as caught:
        await client.create(bad)
    paths = [field.path for field in caught.value.fields]
    assert "spec.colour" in paths
    assert "spec.containers[0].imagePullPolice" in paths
    assert 'did you mean "imagePullPolicy"?' in str(caught.value)


def large_container():
    return {"name": "main", "image": "app:1", "env": [{"name": "X", "value": "x" * (2 << 20)}]}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda c: c.get("pods", "default", "no"), errors.NotFound),
        (lambda c: c.get("podz", "default", "no"), errors.NotFound),
        (lambda c: c.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "A_"}}), errors.Invalid),
        (lambda c: c.create(config_map("a", namespace="nowhere")), errors.NotFound),
        (
            lambda c: c.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}),
            errors.AlreadyExists,
        ),
        (lambda c: c.update(config_map("no")), errors.NotFound),
        (lambda c: c.delete("namespaces", "", "default"), errors.Forbidden),
        (lambda c: c.delete("services", "default", "kubernetes", uid="other"), errors.Conflict),
        (lambda c: c.list("pods", label_selector="a in ("), errors.Invalid),
        (lambda c: c.list("pods", field_selector="spec.colour=red"), errors.Invalid),
        (lambda c: c.list("pods", limit=1, continue_token="rubbish"), errors.Invalid),
        (
            lambda c: c.create(pod("a", metadata={"namespace": "default"}, containers=[large_container()])),
            errors.TooLarge,
        ),
    ],
)
async def test_errors_arrive_as_what_they_are(client, call, error):
    with pytest.raises(error):
        await call(client)


async def test_a_manifest_larger_than_a_message_is_refused_in_one_line(client):
    with pytest.raises(errors.TooLarge) as caught:
        await client.create(config_map("a", {"k": "x" * (20 << 20)}))
    assert "\n" not in str(caught.value)


async def test_error_texts_in_any_language_survive(client):
    with pytest.raises(errors.NotFound, match="größe"):
        await client.get("pods", "default", "größe")


async def test_a_stranger_is_turned_away_by_tls(cluster):
    stranger = cluster.client(make_pki().admin, timeout_seconds=0.5)
    with pytest.raises(errors.Unavailable, match="no API server can be reached"):
        await stranger.get("pods", "default", "a")


async def test_somebody_without_a_role_may_neither_read_nor_write(cluster):
    jane = cluster.client(cluster.keys.client("jane", "developers"))
    assert (await jane.cluster_status()).cluster_uid
    for call in (
        jane.create(config_map("a")),
        jane.get("namespaces", "", "default"),
        jane.list("secrets"),
        jane.history("services", "default", "kubernetes"),
        anext(jane.watch("pods")),
        anext(jane.logs(pb.LogsRequest(namespace="default", pod="a"))),
        anext(jane.exec(pb.ExecStart(namespace="default", pod="a", command=["true"]))),
        jane.apply(config_map("a")),
        jane.delete("services", "default", "kubernetes"),
        jane.create_join_token("node"),
    ):
        with pytest.raises(errors.Forbidden):
            await call


async def test_a_node_reads_itself_only(cluster, client):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    await client.create(node)
    await client.create({**node, "metadata": {"name": "n2"}})
    agent = cluster.client(cluster.keys.client("system:node:n1", "system:nodes"))
    assert (await agent.get("nodes", "", "n1")).name == "n1"
    with pytest.raises(errors.Forbidden):
        await agent.get("nodes", "", "n2")
    with pytest.raises(errors.Forbidden):
        await agent.list("nodes")


async def test_apply_creates_configures_and_leaves_alone(client):
    stored, outcome = await client.apply(config_map("a", {"k": "1"}))
    assert outcome == "created"
    again, outcome = await client.apply(config_map("a", {"k": "1"}))
    assert (outcome, again) == ("unchanged", stored)
    changed, outcome = await client.apply(config_map("a", {"other": "1"}))
    assert (outcome, changed.tree()["data"]) == ("configured", {"other": "1"})


async def test_logs_and_commands_pass_through(client):
    lines = [data async for data in client.logs(pb.LogsRequest(namespace="default", pod="a"))]
    assert lines == [b"log of default/a\n"]

    async def typed():
        yield pb.StreamFrame(stdin=b"hello")
        yield pb.StreamFrame(stdin_closed=True)

    start = pb.ExecStart(namespace="default", pod="a", command=["echo", "x"])
    frames = [frame async for frame in client.exec(start, typed())]
    assert [frame.WhichOneof("frame") for frame in frames] == ["stdout", "stdout", "exit_code"]
    assert (frames[0].stdout, frames[1].stdout, frames[2].exit_code) == (b"echo x", b"hello", 3)


async def test_status_and_tokens_are_answered(client):
    assert (await client.cluster_status()).cluster_uid == "c1"
    assert (await client.create_join_token("node")).token == "node.secret"


async def test_health_follows_readiness_and_reflection_names_the_service(cluster):
    ready = False
    following = asyncio.create_task(cluster.servers[0].follow_readiness(lambda: ready))
    try:
        async with rpc.channel(cluster.addresses[0], cluster.keys.admin) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="api.v1.ApiServer"))
            async with asyncio.timeout(DEADLINE_SECONDS):
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
                ready = True
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            watch.cancel()
            request = reflection_pb2.ServerReflectionRequest(list_services="")
            call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
            answer = await call.read()
            names = [service.name for service in answer.list_services_response.service]
            assert "api.v1.ApiServer" in names
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_an_unexpected_error_is_logged_once_and_tells_nothing(cluster, client, capsys):
    async def explode(*args, **kwargs):
        raise RuntimeError("secret detail")

    cluster.core.reads.get = explode
    with pytest.raises(errors.ApiError) as caught:
        await client.get("pods", "default", "a")
    assert "secret detail" not in str(caught.value)
    assert capsys.readouterr().out.count("rpc_failed") == 1


async def test_a_thousand_calls_at_once_are_all_answered(client):
    found = await asyncio.gather(*(client.get("namespaces", "", "default") for _ in range(1_000)))
    assert len(found) == 1_000


async def test_a_client_that_vanishes_leaves_nothing_behind(cluster, client, capsys):
    await client.create(config_map("a"))
    waiters = cluster.replica.hub._rings["configmaps"].waiters
    for _ in range(3):
        stream = client.watch("configmaps")
        await anext(stream)
        await eventually(lambda: len(waiters) == 1)
        await stream.aclose()
        await eventually(lambda: len(waiters) == 0)
    assert "rpc_failed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("json", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, "not JSON"),
        ('{"a":' * 500 + "1" + "}" * 500, "nested deeper|unknown|apiVersion"),
        ('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}', "contradicts itself"),
        ('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","labels":[]}}', r"metadata\.labels"),
        ("{" + " " * (5 << 20) + "}", "characters long"),
    ],
)
async def test_rubbish_is_refused_in_words(cluster, json, message):
    request = pb.CreateRequest(object=resource_pb2.Resource(json=json, name="a"))
    async with rpc.channel(cluster.addresses[0], cluster.keys.admin) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await apiserver_pb2_grpc.ApiServerStub(channel).Create(request)
    assert isinstance(rpc.error_of(caught.value), errors.Invalid | errors.TooLarge)
    assert re.search(message, str(rpc.error_of(caught.value)))


async def test_the_envelope_of_a_request_may_stand_for_what_its_json_leaves_out(cluster):
    async with rpc.channel(cluster.addresses[0], cluster.keys.admin) as channel:
        stub = apiserver_pb2_grpc.ApiServerStub(channel)
        sent = resource_pb2.Resource(api_version="v1", kind="ConfigMap", namespace="default", name="a", json="{}")
        created = await stub.Create(pb.CreateRequest(object=sent))
        sent.resource_version = created.resource_version + 1
        sent.json = '{"data":{"k":"1"}}'
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Update(pb.UpdateRequest(object=sent))
    assert caught.value.code() == grpc.StatusCode.ABORTED


async def test_without_tls_nobody_is_anybody(cluster):
    server = ApiServer(cluster.core, None, None, None, Authenticator(cluster.core.authorizer), None)
    port = await server.start("127.0.0.1:0")
    try:
        async with RpcClient([f"127.0.0.1:{port}"], None, cluster.env) as client:
            with pytest.raises(errors.Unauthenticated, match="client certificate is needed"):
                await client.get("namespaces", "", "default")
    finally:
        await server.close()


async def test_a_port_that_is_taken_is_told_as_such(cluster):
    server = ApiServer(cluster.core, None, None, None, Authenticator(cluster.core.authorizer), cluster.keys.server)
    with pytest.raises(OSError, match=f"cannot listen on {cluster.addresses[0]}"):
        await server.start(cluster.addresses[0])


async def test_a_command_that_did_not_run_is_an_error_of_its_kind(cluster, client):
    async def refuse(frames):
        await anext(frames)
        yield pb.StreamFrame(error=pb.StreamError(reason="NotReady", message="the container has not started"))

    cluster.servers[0]._streams._streams.exec = refuse
    with pytest.raises(errors.NotReady, match="has not started"):
        await anext(client.exec(pb.ExecStart(pod="a", command=["x"])))


async def test_a_log_that_cannot_be_read_is_an_error_of_its_kind(cluster, client):
    async def refuse(request):
        raise errors.NotFound("no such container")
        yield b""

    cluster.servers[0]._streams._streams.logs = refuse
    with pytest.raises(errors.NotFound, match="no such container"):
        await anext(client.logs(pb.LogsRequest(pod="a")))


async def test_a_call_that_nobody_knows_is_told_as_such(cluster):
    async with rpc.channel(cluster.addresses[0], cluster.keys.admin) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/api.v1.ApiServer/Invented")(b"")
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_client_needs_an_address(cluster):
    with pytest.raises(errors.Invalid, match="no API server address"):
        RpcClient([], None, cluster.env)


async def test_bytes_that_are_no_request_are_refused_without_a_word_about_our_code(cluster):
    for method, kind in (("Get", "unary_unary"), ("Watch", "unary_stream"), ("Exec", "stream_stream")):
        connection = rpc.channel(cluster.addresses[0], cluster.keys.admin)
        call = getattr(connection, kind)(f"/api.v1.ApiServer/{method}")(
            iter([b"\xff"]) if kind == "stream_stream" else b"\xff"
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await (call.read() if kind != "unary_unary" else call)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.details() == "the request does not parse"
        await connection.close()


async def test_a_conflict_of_fields_arrives_with_its_fields_and_managers(client):
    def body(value):
        return json.dumps({**config_map("owned"), "data": {"k": value}}).encode()

    await client.patch("configmaps", "default", "owned", "apply", body("1"), field_manager="one")
    with pytest.raises(errors.Conflict) as refused:
        await client.patch("configmaps", "default", "owned", "apply", body("2"), field_manager="two")
    assert [(each.path, each.message) for each in refused.value.fields] == [(".data.k", 'conflict with "one"')]
    stored = await client.patch("configmaps", "default", "owned", "merge", b'{"data": {"k": "3"}}')
    managers = [entry["manager"] for entry in stored.tree()["metadata"]["managedFields"]]
    assert managers == ["tim"]


async def test_a_large_collection_is_deleted_in_pages_and_refusals_name_their_object(client):
    count = PAGE_OBJECTS + 1
    await asyncio.gather(*(client.create(config_map(f"m{number}")) for number in range(count)))
    pages = [page async for page in client.delete_collection(Collection("configmaps", "default"))]
    assert [len(page) for page in pages] == [PAGE_OBJECTS, 1]
    assert {each.outcome for page in pages for each in page} == {"deleted"}
    namespaces = [page async for page in client.delete_collection(Collection("namespaces"), dry_run=True)]
    refused = {each.object.name: each.error for each in namespaces[0] if each.error}
    assert isinstance(refused["default"], errors.Forbidden)


async def test_a_retired_version_is_taken_as_the_one_of_today_with_a_warning(cluster):
    told = []
    old = replica_set_of("extensions/v1beta1")
    async with RpcClient(cluster.addresses, cluster.keys.admin, cluster.env, warn=told.append) as client:
        created = await client.create(old("a"))
        await client.transaction([Write("apply", old("b")), Write("apply", old("c")), Write("apply", old("a"))])
        listed = await client.list("replicasets.apps", "default")
    assert created.tree()["apiVersion"] == "apps/v1"
    assert created.tree()["spec"]["selector"] == {"matchLabels": {"app": "a"}}
    assert [each.name for each in listed.items] == ["a", "b", "c"]
    text = "extensions/v1beta1 ReplicaSet is retired: it was taken as apps/v1 ReplicaSet, write that instead"
    assert told == [text, text]


def replica_set_of(api_version):
    def named(name):
        template = {"metadata": {"labels": {"app": "a"}}, "spec": pod("x")["spec"]}
        return {
            "apiVersion": api_version,
            "kind": "ReplicaSet",
            "metadata": {"name": name},
            "spec": {"template": template},
        }

    return named
