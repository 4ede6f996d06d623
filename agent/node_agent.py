"""The agent as a whole: starts its parts in order and connects them. Built in `agent.main`, and in tests with fakes.

Order after a start: checkpoint, runtime, network, pods. The session runs from the beginning, but nothing waits for
it once a checkpoint says what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc.aio
import msgspec
import structlog

from agent.checkpoint import Checkpoint, Cluster
from agent.disk_limits import DiskLimits
from agent.events import EventRecorder
from agent.images import Images
from agent.inputs import Inputs
from agent.log_rotation import LogRotation
from agent.node_report import NodeReport
from agent.node_status import NetworkHealth, node_labels
from agent.observed import running
from agent.own_certificate import CertificateRenewal, OwnCertificate
from agent.paths import Paths
from agent.pod_steps import NodeFacts, PodSteps
from agent.pods import Pods
from agent.probe_actions import ProbeActions
from agent.reports import ReportBook
from agent.runtime.protocol import Container, ContainerRuntime, RuntimeFailure
from agent.session import Explain, Refused, Session
from agent.session_calls import SessionCalls
from agent.streams import Streams
from agent.tokens import Tokens, asking
from agent.volumes import VolumeFailure
from agent.worker import PodWorker
from api.core import NodeStatus
from api.object import canonical
from api.resources import allocatable
from api.v1 import node_pb2
from component.env import Env
from component.tasks import cancelled_elsewhere_as, run_together
from netplugin.protocol import NetworkFailure, PodNetwork

log = structlog.get_logger()

START_RETRY_SECONDS = 1.0
NOT_YET = "the node's network is not set up yet"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is; `endpoints` are the configured replicas, host:port."""

    name: str
    ip: str
    endpoints: tuple[str, ...]
    version: str
    resolv_conf_path: str = "/etc/resolv.conf"
    cgroup_root: str = "/timonier"


class NodeAgent:
    """Runs one node until cancelled; containers and network stay as they are then. Implements `SessionSide`."""

    def __init__(
        self,
        identity: Identity,
        *,
        paths: Paths,
        boot_id: str,
        report: Callable[[Callable[[], NetworkHealth], Callable[[], None]], NodeReport],
        runtime: ContainerRuntime,
        make_network: Callable[[Cluster], PodNetwork],
        connect: Callable[[str], grpc.aio.Channel],
        env: Env,
        explain: Explain | None = None,
        certificate: OwnCertificate | None = None,
    ) -> None:
        self.status_changed = asyncio.Event()
        self.connected = False
        self._identity = identity
        self._paths = paths
        self._boot_id = boot_id
        self._runtime = runtime
        self._make_network = make_network
        self._env = env
        self._inputs = Inputs("cluster.local")
        self._cluster = Cluster()
        self._refusal = ""  # why there is no session, when waiting alone will not bring one
        self._cluster_known = asyncio.Event()
        self._inputs_known = asyncio.Event()
        self._checkpoint = Checkpoint(paths, boot_id)
        self._checkpoint_problem = ""
        self._start_failure = ""
        self._saving = asyncio.Lock()
        self._rebooted = False
        self._full_received = False
        self._network: PodNetwork | None = None
        self._pods: Pods | None = None
        self._node = report(self._network_health, self.status_changed.set)
        self._events = EventRecorder(identity.name, env)
        self._reports = ReportBook(self._events)
        self._probes = ProbeActions(runtime, identity.version)
        self._streams = Streams(lambda: self._pods, runtime, paths, env)
        self._session = Session(self, self._reports, connect, env, explain)
        self._certificate = certificate
        self._calls = SessionCalls(lambda: self._session.channel)
        self._tokens = Tokens(asking(self._calls), paths, env)

    async def run(self) -> None:
        """Run until cancelled."""
        await self._remember()
        rotation = LogRotation(self._running, self._runtime, self._paths)
        limits = DiskLimits(self._workers, self._paths)
        own = self._certificate
        renewal = [] if own is None else [CertificateRenewal(own, self._calls, self._env).run()]
        try:
            with cancelled_elsewhere_as(RuntimeError("a part of the agent was cancelled")):
                await run_together(
                    self._node.run(),
                    self._session.run(),
                    self._run_pods(),
                    self._end_commands(),
                    rotation.run(),
                    limits.run(),
                    self._tokens.run(self._workers),
                    *renewal,
                )
        finally:
            await self._streams.close()
            await self._probes.close()
            if self._network is not None:
                await self._network.close()
            await self._runtime.close()

    def problems(self) -> list[str]:
        """Why this agent does not do its work, empty when it does."""
        found = [self._node.runtime_problem, self._checkpoint_problem, *self._network_health().problems]
        if self._pods is None or not self._pods.ready:
            found.append("the pods of this node have not been taken over yet")
        if self._refusal:
            found.append(f"no session with the control plane: {self._refusal}")
        return [problem for problem in found if problem]

    def metrics(self) -> Mapping[str, float]:
        """Numbers about the agent, by name."""
        workers = self._workers()
        return {
            "session_connected": float(self.connected),
            "inputs_revision": float(self._inputs.revision),
            "network_revision": float(self._pods.sync.synced_revision if self._pods is not None else -1),
            "pods": float(len(workers)),
            "containers_running": float(sum(len(running(worker.observed)) for worker in workers)),
            "reports_unacknowledged": float(self._reports.unacknowledged),
        }

    # The session's side.

    def endpoints(self) -> Sequence[str]:
        """What the control plane last said, then what was configured."""
        return tuple(dict.fromkeys((*self._cluster.endpoints, *self._identity.endpoints)))

    def register(self) -> node_pb2.Register:
        """Who we are."""
        return node_pb2.Register(
            node=self._identity.name,
            cluster_uid=self._cluster.cluster_uid,
            state_uid=self._cluster.state_uid,
            boot_id=self._boot_id,
            last_revision=self._inputs.revision,
            session_epoch=self._cluster.session_epoch,
            node_status=self.node_status(),
            node_labels=canonical(node_labels(self._identity.name, self._node.machine)).decode(),
        )

    async def registered(self, message: node_pb2.Registered) -> None:
        """Check that it is our cluster and our newest session, and learn where its replicas are."""
        known = self._cluster
        if known.cluster_uid and message.cluster_uid != known.cluster_uid:
            raise Refused(
                f"this node belongs to cluster {known.cluster_uid}, the replica to {message.cluster_uid}: "
                "pods keep running; reset the node to let it join the other one"
            )
        if known.state_uid and message.state_uid and message.state_uid != known.state_uid:
            raise Refused(
                f"the control plane of cluster {known.cluster_uid} lost its data and began anew: "
                "pods keep running; restore a backup of it, or reset the node"
            )
        if message.session_epoch < known.session_epoch:
            raise Refused(f"session epoch {message.session_epoch} is older than {known.session_epoch}")
        self._cluster = Cluster(
            cluster_uid=message.cluster_uid,
            session_epoch=message.session_epoch,
            endpoints=tuple(endpoint.address for endpoint in message.endpoints),
            pod_range=message.network.pod_range,
            service_range=message.network.service_range,
            cluster_domain=message.network.cluster_domain,
            state_uid=message.state_uid or known.state_uid,
        )
        if message.network.cluster_domain:
            self._inputs.set_cluster_domain(message.network.cluster_domain)
        self._cluster_known.set()
        self._refusal = ""
        self.connected = True

    async def endpoints_changed(self, message: node_pb2.Endpoints) -> None:
        """Remember where the replicas are now, also over a restart."""
        addresses = tuple(endpoint.address for endpoint in message.endpoints)
        if addresses:
            self._cluster = msgspec.structs.replace(self._cluster, endpoints=addresses)
            await self._save(None)
            log.info("endpoints_changed", endpoints=addresses)

    async def inputs(self, message: node_pb2.Inputs) -> None:
        """Remember, then act. Raises BrokenChain."""
        changes = self._inputs.apply(message)
        self._inputs_known.set()
        await self._save(message, synced=changes.calls_for_action)
        self._full_received = self._full_received or message.full
        if self._pods is not None:
            self._pods.apply(changes)

    def node_status(self) -> str:
        """The node's status now, as JSON."""
        return self._node.json()

    def unknown(self, uids: Sequence[str]) -> None:
        """Pods that were reported and do not exist."""
        if self._pods is not None:
            self._pods.unknown(uids)

    def open_stream(self, channel: grpc.aio.Channel, message: node_pb2.OpenStream) -> None:
        """Serve a stream."""
        self._streams.open(channel, message)

    def close_stream(self, stream_id: str) -> None:
        """End a stream, if it has not ended by itself."""
        self._streams.end(stream_id)

    def disconnected(self, reason: str, *, refused: bool) -> None:
        """Nothing changes on the node."""
        self.connected = False
        if refused:
            self._refusal = reason

    # The parts.

    async def _remember(self) -> None:
        remembered = await asyncio.to_thread(self._checkpoint.load)
        self._rebooted = remembered.rebooted
        self._cluster = remembered.cluster
        if not remembered.cluster.cluster_uid:
            return
        self._inputs.set_cluster_domain(remembered.cluster.cluster_domain)
        if remembered.inputs is not None:
            self._inputs.apply(remembered.inputs)
            self._inputs_known.set()
        await self._save(None)
        self._cluster_known.set()
        log.info("checkpoint_loaded", revision=self._inputs.revision, pods=len(self._inputs.pods))

    async def _save(self, change: node_pb2.Inputs | None, *, synced: bool = True) -> None:
        """Make inputs durable; a full set and every so often everything anew."""
        async with self._saving:
            try:
                if change is not None and not change.full:
                    compact = await asyncio.to_thread(self._checkpoint.append, change, synced=synced)
                    if not compact:
                        return
                full = self._inputs.as_full() if self._inputs.revision else None
                await asyncio.to_thread(self._checkpoint.save, self._cluster, full)
                self._checkpoint_problem = ""
            except OSError as error:
                # Going on is better than stopping: a restarted agent then knows less until it is told again.
                problem = f"the checkpoint cannot be written: {error}"
                if problem != self._checkpoint_problem:
                    log.error("checkpoint_not_written", error=str(error))  # noqa: TRY400 - no bug of ours, and told once
                self._checkpoint_problem = problem

    async def _run_pods(self) -> None:
        """Bring up network and pods as soon as the cluster is known, then keep them."""
        await self._cluster_known.wait()
        network = self._network = self._make_network(self._cluster)
        await self._until_done("network_not_started", "the pod network cannot be set up", network.start)
        pods = Pods(
            inputs=self._inputs,
            runtime=self._runtime,
            network=network,
            steps=self._steps(network),
            reports=self._reports,
            events=self._events,
            paths=self._paths,
            env=self._env,
        )

        # A pod that is assigned later begins with nothing: what runs here must find its assignment.
        await self._inputs_known.wait()

        async def adopt() -> None:
            await pods.adopt(rebooted=self._rebooted)

        await self._until_done("pods_not_adopted", "the pods of this node cannot be taken over", adopt)
        self._pods = pods
        if self._inputs.revision:
            pods.sync.submit(self._inputs.network())
        if self._full_received:
            pods.reap()
        self._checkpoint.boot_adopted()
        await self._save(None)
        self.status_changed.set()
        await pods.run()

    async def _end_commands(self) -> None:
        """End what an agent before this one ran in containers, beside everything else: nothing waits for Podman here."""
        while True:
            try:
                await self._runtime.end_commands()
            except RuntimeFailure as error:
                log.info("commands_not_ended", error=str(error), retry_seconds=START_RETRY_SECONDS)
                await asyncio.sleep(START_RETRY_SECONDS)
            else:
                return

    async def _until_done(self, event: str, problem: str, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except (RuntimeFailure, NetworkFailure, VolumeFailure, OSError, TimeoutError) as error:
                failure = f"{problem}: {error}"
                if failure != self._start_failure:
                    log.warning(event, error=str(error), retry_seconds=START_RETRY_SECONDS)
                self._start_failure = failure
                self.status_changed.set()
                await asyncio.sleep(START_RETRY_SECONDS)
            else:
                self._start_failure = ""
                return

    def _steps(self, network: PodNetwork) -> PodSteps:
        status = msgspec.convert(self._node.status(), NodeStatus)
        offered = allocatable(status)
        node = NodeFacts(
            self._identity.name,
            self._identity.ip,
            self._node.machine.memory_bytes,
            offered,
            self._identity.resolv_conf_path,
            self._identity.cgroup_root,
        )
        return PodSteps(
            runtime=self._runtime,
            network=network,
            paths=self._paths,
            images=Images(self._runtime, self._env),
            probes=self._probes,
            inputs=self._inputs,
            tokens=self._tokens,
            node=node,
            cluster_domain=self._cluster.cluster_domain,
        )

    def _network_health(self) -> NetworkHealth:
        found = list(self._network.problems()) if self._network is not None else []
        if self._pods is None:
            return NetworkHealth([*found, self._start_failure or NOT_YET], self._start_failure)
        return NetworkHealth([*found, self._pods.sync.problem] if self._pods.sync.problem else found)

    def _workers(self) -> list[PodWorker]:
        return self._pods.workers() if self._pods is not None else []

    def _running(self) -> list[Container]:
        return [container for worker in self._workers() for container in running(worker.observed)]
