"""The API process of a simulated replica: production link, state, watches and API core, and the leader's work."""

from __future__ import annotations

import asyncio
import errno
import random
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from api.errors import ApiError, Unknown
from component.client import Binding
from component.env import Env
from controlplane.admission.chain import default_chain
from controlplane.admission.request import MASTERS_GROUP, Identity
from controlplane.apiserver.bootstrap import bootstrap
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.directory import SessionDirectory
from controlplane.apiserver.local_client import LocalClient
from controlplane.commands import Change
from controlplane.controllers.run import run_all
from controlplane.leader_work import LeaderWork
from controlplane.raft.protocol import Entry, Snapshot
from controlplane.replica import Replica
from controlplane.watch.hub import Hub
from tests.simulation.loop import ProcessLoop
from tests.simulation.network import Lost
from tests.simulation.repeating import handlers

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster, Host

T = TypeVar("T")
SERVICE_RANGE = "10.96.0.0/16"
REPORT_SECONDS = 1.0
CONTROL_PLANE = Identity("system:control-plane", (MASTERS_GROUP,))


class ObservedHub(Hub):
    """The production hub; the checkers see what it is given."""

    def __init__(self, cluster: Cluster, replica: str) -> None:
        super().__init__(history_bytes=cluster.history_bytes)
        self._cluster = cluster
        self._replica = replica

    def append(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self._cluster.recorder.changed(self._replica, change)
        super().append(changes)


class ObservedReplica(Replica):
    """The production replica; the checkers see what it applies."""

    cluster: Cluster

    def _apply(self, entry: Entry) -> None:
        self.cluster.recorder.delivered(self.replica_id, entry)
        super()._apply(entry)
        self.cluster.recorder.applied(self.replica_id, entry, self.state)

    async def _on_install(self, installed: Snapshot) -> None:
        before = self.state
        await super()._on_install(installed)
        if self.state is not before:
            self.cluster.recorder.installed(self.replica_id, self.state)


class SimPeers:
    """`LeaderLink` over the simulated network."""

    def __init__(self, cluster: Cluster, replica: str) -> None:
        self._cluster = cluster
        self._replica = replica

    async def propose(self, leader: str, term: int, transactions: Sequence[bytes]) -> None:
        given = [bytes(each) for each in transactions]

        async def accept(api: ApiHalf) -> None:
            api.replica.accept(term, given)

        await self._call(leader, accept)

    async def read_index(self, leader: str) -> int:
        async def ask(api: ApiHalf) -> int:
            return await api.replica.leader_read_index()

        return await self._call(leader, ask)

    async def _call(self, leader: str, work: Callable[[ApiHalf], Coroutine[Any, Any, Any]]) -> Any:
        try:
            return await self._cluster.rpc.call(self._replica, leader, work)
        except Lost as lost:
            raise Unknown(str(lost)) from lost


class LateBinds(LocalClient):
    """Some of the scheduler's requests take long, and outlive the leadership that they were sent in."""

    def __init__(self, core: ApiCore, epoch: int, loop: ProcessLoop, rng: random.Random) -> None:
        super().__init__(core, CONTROL_PLANE, epoch)
        self._loop = loop
        self._rng = rng

    async def bind(self, bindings: Sequence[Binding]) -> Sequence[ApiError | None]:
        if self._rng.random() < 0.5:
            return await super().bind(bindings)
        return await asyncio.shield(self._loop.create_task(self._bind_late(bindings)))

    async def _bind_late(self, bindings: Sequence[Binding]) -> Sequence[ApiError | None]:
        await asyncio.sleep(self._rng.uniform(0.0, 0.5))
        return await super().bind(bindings)


class ApiHalf:
    """One life of an API process."""

    def __init__(self, cluster: Cluster, host: Host, loop: ProcessLoop, env: Env, folder: Path) -> None:
        self._cluster = cluster
        self.host = host
        self.loop = loop
        self.env = env
        self._rng = cluster.simulator.rng(f"api {host.name} {host.api_lives}")
        variant = cluster.variant
        self.replica: ObservedReplica = variant.replica_type(
            host.name,
            variant.socket_log_type(Path(host.name), host.name),
            SimPeers(cluster, host.name),
            folder / "snapshots",
            env,
            in_thread=self._in_thread,
        )
        self.replica.cluster = cluster
        self.replica.hub = variant.hub_type(cluster, host.name)
        variant.adjust_replica(self.replica)
        self.core: ApiCore = variant.core_type(self.replica, default_chain(), env, service_range=SERVICE_RANGE)
        self.handlers = handlers(self.core)
        self.directory = SessionDirectory(host.name, env)
        self.system = LocalClient(self.core, CONTROL_PLANE)
        self.work = LeaderWork(self._lead)
        self.ready = False

    async def run(self) -> None:
        """Start; the rest happens by itself until the process is killed or fails."""
        self.replica.on_leadership(self._leadership_changed)
        await self.replica.start()
        self._cluster.recorder.started(self.host.name, self.replica.state)
        self.ready = True
        self.host.api_serving(self)
        self.loop.create_task(self._report_sessions())
        self.loop.create_task(self._snapshot_now_and_then())
        run = self.replica._log.run
        failed = asyncio.ensure_future(self.replica.wait_failed())
        done = asyncio.get_running_loop().create_future()
        for task in (run, failed):
            task.add_done_callback(lambda task: done.done() or done.set_result(task))
        task = await done
        self.host.api_failed(task.exception())

    def _leadership_changed(self, epoch: int | None) -> None:
        self._cluster.simulator.trace("epoch", self.host.name, epoch)
        self.work.leadership_changed(epoch)

    async def _lead(self, epoch: int) -> None:
        client = LateBinds(self.core, epoch, self.loop, self._rng)
        await bootstrap(client, SERVICE_RANGE, 6443)
        if self._cluster.plan.controllers:
            await run_all(client, self.env, self.directory, lambda: ("192.0.2.1:6443",), "CA")
        else:
            await asyncio.get_running_loop().create_future()

    async def _in_thread(self, function: Callable[[], T], /) -> T:
        await asyncio.sleep(self._rng.uniform(0.0005, 0.02))
        writes = getattr(function, "func", function).__name__ == "write"  # a snapshot, or a segment of history
        if writes and self.host.disk.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return function()

    async def _report_sessions(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            sessions = list(self.directory.report())
            for other in self._cluster.hosts.values():
                if other is not self.host:
                    self._cluster.network.post(
                        self.host.name, other.name, other.learn_sessions, self.host.name, sessions
                    )

    async def _snapshot_now_and_then(self) -> None:
        """Production waits for megabytes of log; here every second or so is enough of it."""
        while True:
            await asyncio.sleep(self._rng.uniform(*self._cluster.plan.snapshot_seconds))
            self.snapshot()

    def snapshot(self) -> None:
        """Begin a snapshot unless one is being written."""
        schedule = self.replica._snapshots
        if schedule._writing is None and self.replica.state.applied_index > 1:
            schedule.begin(self.replica.state)
