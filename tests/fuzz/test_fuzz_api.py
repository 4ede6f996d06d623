"""Every RPC gets random and mutated requests from every kind of caller; objects are mutated anywhere in their tree.

A replica answers each with a status of the contract: a failure that it calls internal would be a bug of ours. It serves
afterwards, and what was stored can still be read.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from api.v1 import apiserver_pb2, node_pb2, raft_pb2, raft_pb2_grpc, resource_pb2
from component.rpc import channel
from component.rpc_server import INTERNAL
from controlplane.apiserver.replica_link import ReplicaLinkService
from controlplane.apiserver.secret_keys import KeyDesk
from controlplane.key_ring import KeyRing
from controlplane.raft.membership import ChangeRefused
from tests.api_server import Status, config_map, make_pki, node, pod, running_core
from tests.fuzz.messages import MessageFuzzer
from tests.fuzz.trees import examples, mutate
from tests.node_sessions import server_of_nodes

pytestmark = pytest.mark.slow

SECONDS = 0.3  # of one call: long enough to get its answer or its first messages
ROUNDS = 6  # of each RPC and caller
OBJECTS = 700
CALLERS = {
    "admin": ("kubernetes-admin", "system:masters"),
    "nobody": ("jane",),
    "node": ("system:node:n1", "system:nodes"),
    "odd node": ("system:node:", "system:nodes"),
    "replica": ("system:replica:r2", "system:replicas"),
}
SERVICES = [
    apiserver_pb2.DESCRIPTOR.services_by_name["ApiServer"],
    node_pb2.DESCRIPTOR.services_by_name["NodeService"],
    raft_pb2.DESCRIPTOR.services_by_name["ReplicaLink"],
]
POISON = {"Propose"}  # of a replica: its bytes go into the log as they are; fuzzed as commands of the state machine


class OwnStatus(Status):
    """What a peer asks for, too."""

    def own_status(self) -> apiserver_pb2.ReplicaStatus:
        return apiserver_pb2.ReplicaStatus(id="r1")


class NoChanges:
    """A Raft process that changes no membership."""

    async def add_learner(self, _newcomer):
        raise ChangeRefused("not now")

    async def remove_member(self, _replica):
        raise ChangeRefused("not now")

    async def hand_over(self, _to):
        raise ChangeRefused("not now")


@pytest.fixture
async def served(tmp_path):
    """One replica's whole gRPC surface, with a few objects stored."""
    keys = make_pki()
    async with running_core(tmp_path) as cluster:
        cluster.keys = keys
        for tree in (node("n1"), pod("p1"), config_map("c1", {"k": "v"})):
            await cluster.local.create(tree)
        server, streams, directory = server_of_nodes(cluster, keys)
        desk = KeyDesk(KeyRing(tmp_path / "secrets.key"), cluster.replica, [])
        link = ReplicaLinkService(cluster.replica, directory, streams, OwnStatus(), NoChanges(), desk)
        raft_pb2_grpc.add_ReplicaLinkServicer_to_server(link, server.server)
        port = await server.start("127.0.0.1:0")
        cluster.addresses.append(f"127.0.0.1:{port}")
        yield cluster
        for client in cluster.clients:
            await client.close()
        await server.close()


async def bug_of(connection: grpc.aio.Channel, method: MethodDescriptor, requests: list[bytes]) -> str:
    """Call with the given messages and read what comes for a moment; what the server says of a bug of its own."""
    path = f"/{method.containing_service.full_name}/{method.name}"

    async def sent() -> AsyncIterator[bytes]:
        for request in requests:
            yield request
        await asyncio.sleep(SECONDS)

    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    call = getattr(connection, kind)(path)(sent() if method.client_streaming else requests[0], timeout=SECONDS)
    try:
        if method.server_streaming:
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as failure:
        # A stream that the server ended early looks INTERNAL to a client that was still sending: no bug.
        ours = failure.code() is grpc.StatusCode.UNKNOWN or failure.details() == INTERNAL.details
        return f"{failure.code()}: {failure.details()}" if ours else ""
    return ""


async def fuzz_method(connection, method: MethodDescriptor, rng: random.Random, wrong: list) -> None:
    request_class = message_factory.GetMessageClass(method.input_type)
    texts = ["p1", "c1", "n1", "kube-system", "metadata.name=p1", "app=web", "v1", "Pod", "ConfigMap"]
    fuzzer = MessageFuzzer(rng, [3, 8, 20], [*texts, '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}'])
    for _ in range(ROUNDS):
        messages = [fuzzer.fill(request_class()) for _ in range(3 if method.client_streaming else 1)]
        messages = [(fuzzer.mutated(each) if rng.random() < 0.3 else None) or each for each in messages]
        sent = [each.SerializeToString() for each in messages]
        if rng.random() < 0.1:
            sent[0] = rng.randbytes(30)
        if bug := await bug_of(connection, method, sent):
            wrong.append((method.full_name, bug, sent))


@pytest.mark.parametrize("caller", CALLERS)
async def test_every_rpc_answers_random_requests_with_a_status_of_the_contract(served, caller):
    rng = random.Random(caller)
    user, *groups = CALLERS[caller]
    connection = channel(served.addresses[0], served.keys.client(user, *groups))
    wrong: list = []
    try:
        async with asyncio.TaskGroup() as group:
            for service in SERVICES:
                for method in service.methods:
                    if method.name not in POISON or caller != "replica":
                        group.create_task(fuzz_method(connection, method, random.Random(rng.random()), wrong))
    finally:
        await connection.close()
    assert not wrong
    assert (await served.client().get("namespaces", "", "default")).name == "default"


async def test_mutated_objects_are_stored_or_refused_and_stay_readable(served):
    rng = random.Random(11)
    wrong: list = []
    connection = channel(served.addresses[0], served.keys.admin)
    known = examples()
    methods = SERVICES[0].methods_by_name
    try:
        for number in range(OBJECTS):
            tree = mutate(rng.choice(known), rng)
            if isinstance(tree.get("metadata"), dict) and rng.random() < 0.7:
                tree["metadata"] = {"namespace": "default", "name": f"m{number % 40}", **tree["metadata"]}
            packed = resource_pb2.Resource(json=json.dumps(tree))
            name = rng.choice(("Create", "Update", "UpdateStatus", "Apply"))
            request = message_factory.GetMessageClass(methods[name].input_type)(object=packed)
            if bug := await bug_of(connection, methods[name], [request.SerializeToString()]):
                wrong.append((name, bug, tree))
    finally:
        await connection.close()
    assert not wrong
    client = served.client()
    stored = 0
    for resource in ("pods", "configmaps", "services", "deployments.apps", "nodes"):
        stored += len((await client.list(resource)).items)
    assert stored > 3
