"""A node agent on fakes with a real gRPC control plane beside it, for tests of the whole agent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import msgspec

from agent.node_agent import Identity, NodeAgent
from agent.node_report import NodeReport
from agent.node_status import Load, Machine, Offer
from agent.paths import Paths
from api import errors
from api.object import Tree, canonical
from api.v1 import apiserver_pb2, node_pb2, node_pb2_grpc, resource_pb2
from component import jwt
from component.env import system_env
from component.rpc import channel, status_of
from lab.images import BUSYBOX
from tests.fake_network import FakeNetwork
from tests.fake_runtime import FakeRuntime
from tests.waiting import DEADLINE_SECONDS

NODE = "n1"
NODE_IP = "10.0.0.11"
CLUSTER = "cluster-1"
RESOURCES = {
    "Pod": "pods",
    "Node": "nodes",
    "Service": "services",
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "EndpointSlice": "endpointslices.discovery.k8s.io",
}


def node_tree(name: str = NODE, address: str = NODE_IP, pod_cidr: str = "10.244.1.0/24") -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {"podCIDR": pod_cidr},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }


def container_tree(name: str = "main", **fields: Any) -> Tree:
    return {"name": name, "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", **fields}


def pod_tree(name: str = "web", *containers: Tree, uid: str = "", **spec: Any) -> Tree:
    """A pod as the API stores it once it is bound to the node."""
    defaults = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": uid or f"uid-{name}", "labels": {"app": name}},
        "spec": {**defaults, "nodeName": NODE, "containers": list(containers) or [container_tree()], **spec},
        "status": {"phase": "Pending"},
    }


def deleting(pod: Tree, grace_seconds: int = 30) -> Tree:
    """The pod as it is once somebody deleted it."""
    stamp = {"deletionTimestamp": "2025-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace_seconds}
    return {**pod, "metadata": {**pod["metadata"], **stamp}}


def resource(tree: Tree, revision: int = 0) -> resource_pb2.Resource:
    meta = tree["metadata"]
    return resource_pb2.Resource(
        api_version=tree["apiVersion"],
        kind=tree["kind"],
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta.get("uid", ""),
        resource_version=revision,
        json=canonical(tree).decode(),
    )


class ControlPlane(node_pb2_grpc.NodeServiceServicer):
    """One replica: pushes what is put into it, remembers what is reported."""

    def __init__(self, name: str = "r1", cluster_uid: str = CLUSTER) -> None:
        self.name = name
        self.cluster_uid = cluster_uid
        self.state_uid = "state-1"
        self.epoch = 100
        self.revision = 10
        self.address = ""
        self.endpoints: list[str] = []
        self.objects: dict[tuple[str, str, str], resource_pb2.Resource] = {}
        self.registers: list[node_pb2.Register] = []
        self.heartbeats: list[node_pb2.Heartbeat] = []
        self.reports: list[node_pb2.StatusReport] = []
        self.statuses: dict[str, Tree] = {}
        self.history: dict[str, list[Tree]] = {}
        self.gone: list[str] = []
        self.events: list[Tree] = []
        self.listening = asyncio.Event()  # what agents say in sessions is taken
        self.listening.set()
        self.answer_heartbeats = True
        self.answer_reports = True
        self.retry_reports = 0
        self.delete_gone = True
        self.token_requests: list[apiserver_pb2.CreateTokenRequest] = []
        self.token_refusal = ""
        self.dials: dict[str, asyncio.Queue[apiserver_pb2.StreamFrame | None]] = {}
        self.to_agent: dict[str, asyncio.Queue[apiserver_pb2.StreamFrame | None]] = {}
        self.reading = asyncio.Event()  # what agents say in streams is taken
        self.reading.set()
        self.dialling: set[str] = set()  # streams whose Dial is open
        self._outboxes: set[asyncio.Queue[node_pb2.ServerMessage | None]] = set()
        self._server: grpc.aio.Server | None = None

    async def start(self, port: int = 0) -> None:
        self._server = grpc.aio.server()
        node_pb2_grpc.add_NodeServiceServicer_to_server(self, self._server)
        making = grpc.unary_unary_rpc_method_handler(
            self._create_token,
            apiserver_pb2.CreateTokenRequest.FromString,
            apiserver_pb2.CreateTokenResponse.SerializeToString,
        )
        handlers = grpc.method_handlers_generic_handler("api.v1.ApiServer", {"CreateToken": making})
        self._server.add_generic_rpc_handlers((handlers,))
        bound = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.address = f"127.0.0.1:{bound}"
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            self.hang_up()
            await self._server.stop(0)
            self._server = None

    @property
    def sessions(self) -> int:
        return len(self._outboxes)

    def put(self, *trees: Tree) -> None:
        """Store objects and push them."""
        message = node_pb2.Inputs(applies_to=self.revision)
        self.revision += 1
        for tree in trees:
            each = resource(tree, self.revision)
            self.objects[RESOURCES[tree["kind"]], each.namespace, each.name] = each
            message.set.append(each)
        message.results_in = self.revision
        self.send(node_pb2.ServerMessage(inputs=message))

    def remove(self, tree: Tree) -> None:
        """Delete an object for good and push that."""
        meta = tree["metadata"]
        key = (RESOURCES[tree["kind"]], meta.get("namespace", ""), meta["name"])
        if self.objects.pop(key, None) is None:
            return
        message = node_pb2.Inputs(applies_to=self.revision, results_in=self.revision + 1)
        self.revision += 1
        message.removed.add(resource=key[0], namespace=key[1], name=key[2], uid=meta.get("uid", ""))
        self.send(node_pb2.ServerMessage(inputs=message))

    def send(self, message: node_pb2.ServerMessage) -> None:
        for outbox in self._outboxes:
            outbox.put_nowait(message)

    def hang_up(self) -> None:
        for outbox in self._outboxes:
            outbox.put_nowait(None)

    async def Session(self, request_iterator, context):  # noqa: N802 - the RPC's name
        first = await anext(request_iterator)
        assert first.WhichOneof("message") == "register"
        self.registers.append(first.register)
        if first.register.cluster_uid not in {"", self.cluster_uid}:
            status = status_of(errors.NotReady(f"this is cluster {self.cluster_uid}"))
            await context.abort(status.code, status.details, status.trailing_metadata)
        self.epoch += 1
        outbox: asyncio.Queue[node_pb2.ServerMessage | None] = asyncio.Queue()
        registered = node_pb2.Registered(
            cluster_uid=self.cluster_uid, session_epoch=self.epoch, replica=self.name, state_uid=self.state_uid
        )
        for address in self.endpoints or [self.address]:
            registered.endpoints.add(replica=self.name, address=address)
        registered.network.pod_range = "10.244.0.0/16"
        registered.network.service_range = "10.96.0.0/16"
        registered.network.cluster_domain = "cluster.local"
        yield node_pb2.ServerMessage(registered=registered)
        full = node_pb2.Inputs(full=True, results_in=self.revision, set=list(self.objects.values()))
        outbox.put_nowait(node_pb2.ServerMessage(inputs=full))
        self._outboxes.add(outbox)
        reader = asyncio.ensure_future(self._read(request_iterator, outbox))
        try:
            while (message := await outbox.get()) is not None:
                yield message
        finally:
            self._outboxes.discard(outbox)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, messages, outbox) -> None:
        async for message in messages:
            await self.listening.wait()
            match message.WhichOneof("message"):
                case "heartbeat":
                    self.heartbeats.append(message.heartbeat)
                    if self.answer_heartbeats:
                        outbox.put_nowait(node_pb2.ServerMessage(heartbeated=node_pb2.Heartbeated()))
                case "report":
                    self._take_report(message.report, outbox)
        outbox.put_nowait(None)

    def _take_report(self, report: node_pb2.StatusReport, outbox) -> None:
        self.reports.append(report)
        if not self.answer_reports:
            return
        result = node_pb2.ReportResult(id=report.id)
        if self.retry_reports:
            self.retry_reports -= 1
            result.retry = True
            outbox.put_nowait(node_pb2.ServerMessage(report_result=result))
            return
        for event in report.events:
            self.events.append(msgspec.json.decode(event.json))
        for pod in report.pods:
            if pod.status:
                self.statuses[pod.uid] = msgspec.json.decode(pod.status)
                self.history.setdefault(pod.uid, []).append(self.statuses[pod.uid])
                self._store_status(pod)
            if pod.gone:
                self.gone.append(pod.uid)
        outbox.put_nowait(node_pb2.ServerMessage(report_result=result))
        for pod in report.pods:
            stored = self.objects.get(("pods", pod.namespace, pod.name))
            if pod.gone and self.delete_gone and stored is not None and stored.uid == pod.uid:
                self.remove(msgspec.json.decode(stored.json))

    def _store_status(self, pod: node_pb2.PodReport) -> None:
        stored = self.objects.get(("pods", pod.namespace, pod.name))
        if stored is not None and stored.uid == pod.uid:
            tree = msgspec.json.decode(stored.json)
            if tree["status"] != self.statuses[pod.uid]:
                self.put({**tree, "status": self.statuses[pod.uid]})

    async def _create_token(self, request, context):
        self.token_requests.append(request)
        if self.token_refusal:
            status = status_of(errors.Unavailable(self.token_refusal))
            await context.abort(status.code, status.details, status.trailing_metadata)
        times = {"iat": int(time.time()), "exp": int(time.time()) + request.expiration_seconds}
        payload = canonical({**times, "number": len(self.token_requests)})
        return apiserver_pb2.CreateTokenResponse(token=f"{jwt.signed_part({'alg': 'ES256'}, payload)}.c2ln")

    async def Dial(self, request_iterator, context):  # noqa: N802
        first = await anext(request_iterator)
        received = self.dials[first.accept]
        pump = asyncio.ensure_future(self._pump(request_iterator, received))
        self.dialling.add(first.accept)
        try:
            while (frame := await self.to_agent[first.accept].get()) is not None:
                yield frame
        finally:
            self.dialling.discard(first.accept)
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _pump(self, frames, received) -> None:
        async for frame in frames:
            await self.reading.wait()
            received.put_nowait(frame)
        received.put_nowait(None)

    def open(self, stream_id: str, **request: Any) -> None:
        """Ask the agent to dial back."""
        self.dials[stream_id] = asyncio.Queue()
        self.to_agent[stream_id] = asyncio.Queue()
        self.send(node_pb2.ServerMessage(open_stream=node_pb2.OpenStream(stream_id=stream_id, **request)))

    async def frames(self, stream_id: str) -> list[apiserver_pb2.StreamFrame]:
        """Everything the agent sends until it has nothing more to say."""
        found = []
        async with asyncio.timeout(DEADLINE_SECONDS):
            while (frame := await self.dials[stream_id].get()) is not None:
                found.append(frame)
        self.to_agent[stream_id].put_nowait(None)
        return found


class Rig:
    """An agent under test and everything around it."""

    def __init__(self, folder: Path, planes: list[ControlPlane]) -> None:
        self.folder = folder
        self.planes = planes
        self.plane = planes[0]
        self.runtime: Any = FakeRuntime()
        self.cgroup_root = "/timonier"
        self.network = FakeNetwork(NODE)
        self.boot_id = "boot-1"
        self.paths = Paths(folder / "data", folder / "run")
        self.agent: NodeAgent | None = None
        self.channels: list[grpc.aio.Channel] = []  # those to the replicas, the latest last
        self._task: asyncio.Task[None] | None = None

    def _connect(self, endpoint: str) -> grpc.aio.Channel:
        self.channels.append(channel(endpoint, None))
        return self.channels[-1]

    def start(self) -> NodeAgent:
        for path in (self.paths.data_dir, self.paths.run_dir):
            path.mkdir(parents=True, exist_ok=True)
        machine = Machine("n1", "amd64", "6.1", "Test OS", "machine", "system", self.boot_id, 4, 8 << 30, 100 << 30)
        offer = Offer(NODE_IP, {"memory": "100Mi"}, {}, agent_version="v0")
        env = system_env()
        self.agent = NodeAgent(
            Identity(NODE, NODE_IP, tuple(plane.address for plane in self.planes), "0", cgroup_root=self.cgroup_root),
            paths=self.paths,
            boot_id=self.boot_id,
            report=lambda network, changed: NodeReport(
                machine,
                Load(4 << 30, 0.5, 0.9),
                offer,
                runtime=self.runtime,
                data_dir=self.paths.data_dir,
                network=network,
                changed=changed,
                env=env,
            ),
            runtime=self.runtime,
            make_network=lambda _: self.network,
            connect=self._connect,
            env=env,
        )
        self._task = asyncio.ensure_future(self.agent.run())
        return self.agent

    async def begin(self) -> None:
        """Start the agent and give it its Node."""
        self.start()
        await self.until(lambda: any(plane.sessions for plane in self.planes), "a session")
        self.plane = next(plane for plane in self.planes if plane.sessions)
        self.plane.put(node_tree())

    async def stop(self) -> None:
        """SIGTERM: containers and network stay."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            if not self._task.cancelled() and self._task.exception() is not None:
                raise self._task.exception() or AssertionError
            self._task = None

    async def restart(self) -> None:
        await self.stop()
        self.network = self.network if not self.network.closed else _reopened(self.network)
        self.start()

    async def reboot(self) -> None:
        """The machine starts anew: no process, no namespace, no address is left."""
        await self.stop()
        self.runtime.reboot()
        self.network = FakeNetwork(NODE)
        self.boot_id = "boot-2"
        self.start()

    async def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        """Wait until the condition holds and return what it gave."""
        deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        while True:
            value = condition()
            if value:
                return value
            if self._task is not None and self._task.done():
                self._task.result()
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"never happened: {what or condition}; statuses {self.plane.statuses}")
            await asyncio.sleep(0.005)

    def status(self, name: str = "web") -> Tree:
        """The status reported last for a pod by its name."""
        return self.plane.statuses.get(f"uid-{name}", {})

    def container(self, pod: str = "web", name: str = "main") -> Tree:
        """The status reported last for a container."""
        status = self.status(pod)
        statuses = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
        return next((each for each in statuses if each["name"] == name), {})

    def condition(self, kind: str, pod: str = "web") -> Tree:
        conditions = self.status(pod).get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    async def until_ready(self, *pods: str) -> None:
        await self.until(
            lambda: all(self.condition("Ready", pod).get("status") == "True" for pod in pods or ("web",)), "pods ready"
        )


def _reopened(network: FakeNetwork) -> FakeNetwork:
    fresh = FakeNetwork(NODE)
    fresh.attachments = network.attachments
    return fresh


@contextlib.asynccontextmanager
async def agent_rig(folder: Path, *, planes: int = 1, start: bool = True) -> AsyncIterator[Rig]:
    """A running agent with `planes` replicas, registered and given its Node."""
    replicas = [ControlPlane(f"r{number + 1}") for number in range(planes)]
    for replica in replicas:
        await replica.start()
    for replica in replicas:
        replica.endpoints = [each.address for each in replicas]
    rig = Rig(folder, replicas)
    try:
        if start:
            await rig.begin()
        yield rig
    finally:
        await rig.stop()
        for replica in replicas:
            await replica.stop()
