"""A whole control plane in one process: hosts with a Raft half and an API half each, a network, a clock, one seed."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from component.env import Env
from controlplane.raft import sender
from controlplane.raft.log import LogFailure
from tests.simulation import recorder as recording
from tests.simulation.api_half import ApiHalf
from tests.simulation.disk import SimDisk, SimLog
from tests.simulation.loop import ProcessLoop, Simulator
from tests.simulation.network import Network, Rpc, Server
from tests.simulation.raft_half import Links, RaftHalf, Sizes
from tests.simulation.variant import PRODUCT, Variant

EPOCH_SECONDS = 1_750_000_000.0
RESTART_SECONDS = (0.005, 1.0)
MEMORY_FOLDER = Path("/dev/shm")  # syncs of real files must cost nothing


@dataclass(frozen=True)
class Plan:
    """What a run consists of, drawn from its seed."""

    replicas: int = 3
    controllers: bool = False
    restore: bool = False
    snapshot_seconds: tuple[float, float] = (0.7, 2.5)
    storm_seconds: tuple[float, float] = (1.0, 2.5)


class Host:
    """One machine of the control plane."""

    def __init__(self, cluster: Cluster, name: str, folder: Path) -> None:
        self._cluster = cluster
        self.name = name
        self.folder = folder
        self.clock_offset = 0.0
        self.armed = False  # the Raft process is killed in the middle of its next turn that has something to write
        self.disk = SimDisk(cluster.simulator.rng(f"disk {name}"))
        self.raft: RaftHalf | None = None
        self.log: SimLog | None = None  # of the last life
        self.api: ApiHalf | None = None
        self.api_loop: ProcessLoop | None = None
        self.api_lives = 0
        self._rng = cluster.simulator.rng(f"host {name}")
        self.server = Server()
        cluster.rpc.servers[name] = self.server
        rng = cluster.simulator.rng(f"env {name}")
        self.env = Env(
            lambda: cluster.simulator.now + 1000.0,
            lambda: cluster.simulator.now + EPOCH_SECONDS + self.clock_offset,
            rng,
            lambda: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        )

    # The Raft half

    def start_raft(self) -> None:
        if self.raft is not None:
            return
        loop = self._cluster.simulator.process(f"{self.name} raft")
        try:
            self.raft = RaftHalf(self._cluster, self, loop, self.env, self.disk, self.folder)
        except LogFailure as error:
            if self.disk.full or self.disk.failing:  # who mends the disk starts it again
                return
            self._cluster.violation(f"{self.name}: Raft does not start: {error}")
            return
        self.log = self.raft.log
        self._cluster.counts["torn logs repaired"] += self.log.torn_bytes_dropped
        self._cluster.recorder.rules.restarted(self.name, self.log.term, self.log.vote)
        self._cluster.links.dial_all()

    def kill_raft(self) -> None:
        if self.raft is None:
            return
        raft, self.raft = self.raft, None
        raft.kill()
        self.disk.settle()  # the kernel lives on and writes what it was given
        self._cluster.links.host_gone(self.name)
        self._cluster.simulator.trace("raft killed", self.name)

    def kill_raft_in_turn(self) -> None:
        """SIGKILL in the middle of a turn; whoever supervises processes starts it again."""
        self._cluster.counts["kill_raft"] += 1
        self.kill_raft()
        self._cluster.simulator.world.call_later(self._rng.uniform(*RESTART_SECONDS), self.start_raft)

    def raft_failed(self, error: Exception) -> None:
        """The production process ends here with one line; with a sick disk that is what it should do."""
        if not (self.disk.failing or self.disk.full):
            self._cluster.violation(f"{self.name}: Raft ended: {type(error).__name__}: {error}")
        self._cluster.counts["processes ended by their disk"] += 1
        self.kill_raft()

    def holds(self, index: int, term: int) -> bool:
        """Whether the entry is durable here, as far as this machine's last life tells."""
        log = self.log
        if log is None or log.durable_index < index:
            return False
        return log.first_index > index or log.term_at(index) == term

    # The API half

    def start_api(self) -> None:
        if self.api_loop is not None:
            return
        self.api_lives += 1
        loop = self.api_loop = self._cluster.simulator.process(f"{self.name} api")
        loop.connect_unix = self._connect
        api = self.api = ApiHalf(self._cluster, self, loop, self.env, self.folder)
        loop.call_soon(lambda: loop.create_task(api.run()))

    def _connect(self, factory, _path):
        if self.raft is None or self.api_loop is None:
            raise ConnectionRefusedError(111, "Connection refused")
        return self.raft.listener.connect(factory, self.api_loop)

    def api_serving(self, api: ApiHalf) -> None:
        self.server.up(api.loop, api)

    def kill_api(self) -> None:
        if self.api_loop is None:
            return
        loop, self.api_loop, self.api = self.api_loop, None, None
        loop.kill()
        if self.raft is not None:
            self.raft.listener.api_died(loop)
        self.server.down()
        self._cluster.simulator.trace("api killed", self.name)

    def api_failed(self, error: BaseException | None) -> None:
        self._cluster.violation(f"{self.name}: API ended: {type(error).__name__}: {error}")
        self.kill_api()

    def learn_sessions(self, replica: str, sessions: Sequence[tuple[str, int, float]]) -> None:
        if self.api is not None:
            self.api.directory.learn(replica, sessions)

    # Both

    @property
    def up(self) -> bool:
        return self.raft is not None and self.api_loop is not None

    def start(self) -> None:
        self.start_raft()
        self.start_api()

    def power_cut(self) -> None:
        """Everything in memory is gone, and what the disk had not synced."""
        self.kill_api()
        if self.raft is None:
            return
        raft, self.raft = self.raft, None
        raft.kill()
        self._cluster.counts["unsynced bytes at a power cut"] += self.disk.power_cut()
        self._cluster.links.host_gone(self.name)
        self._cluster.simulator.trace("power cut", self.name)


class Cluster:
    """Hosts r1..rN. `violations` is empty as long as nothing is wrong."""

    def __init__(self, seed: int | str, plan: Plan, *, variant: Variant = PRODUCT) -> None:
        self.simulator = Simulator(seed)
        self.plan = plan
        self.variant = variant
        self.sizes = Sizes()
        self.history_bytes = 4 << 20
        self.client_names: list[str] = []
        self.on_elected: Callable[[Host], None] = lambda _host: None
        self.on_voted: Callable[[Host], None] = lambda _host: None
        self.counts: Counter[str] = Counter()
        self._violations: list[str] = []
        self._descriptors = 0
        self._structlog = structlog.get_config()
        self._batches = sender.APPEND_BATCH_BYTES, sender.SNAPSHOT_PIECE_BYTES
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), processors=[_drop])
        self.folder = Path(
            tempfile.mkdtemp(prefix="timonier-sim-", dir=MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None)
        )
        self.network = Network(self.simulator, self.counts)
        self.rpc = Rpc(self.network)
        self.links = Links(self)
        self.recorder = recording.Recorder(self)
        self.hosts: dict[str, Host] = {}
        for number in range(1, plan.replicas + 1):
            name = f"r{number}"
            self.hosts[name] = Host(self, name, self.folder / name)

    def resize(self, sizes: Sizes) -> None:
        self.sizes = sizes
        sender.APPEND_BATCH_BYTES, sender.SNAPSHOT_PIECE_BYTES = sizes.append_batch_bytes, sizes.snapshot_piece_bytes

    def start(self) -> None:
        for host in self.hosts.values():
            host.start()

    def next_descriptor(self) -> int:
        self._descriptors += 1_000_000
        return self._descriptors

    def elected(self, replica: str, term: int, log) -> None:
        self.counts["elections"] += 1
        self.simulator.trace("elected", replica, term)
        recording.elected(self.recorder, replica, term, log)
        self.recorder.rules.elected(replica, term, len(self.hosts))
        self.on_elected(self.hosts[replica])

    def committed(self, replica: str, term: int, index: int, entry_term: int) -> None:
        """A leader says that an entry is committed: who holds it?"""
        holders = [name for name, host in self.hosts.items() if host.holds(index, entry_term)]
        self.recorder.agreement.committed(index, term)
        self.recorder.rules.committed(replica, term, index, entry_term, holders, len(self.hosts))

    def violation(self, text: str) -> None:
        self.simulator.trace("violation", text)
        self._violations.append(text)

    @property
    def violations(self) -> list[str]:
        return [*self._violations, *self.recorder.problems, *self.simulator.problems]

    def leader(self) -> Host | None:
        """The host whose Raft half leads in the highest term."""
        leading = [h for h in self.hosts.values() if h.raft is not None and h.raft.node.leads()]
        return max(leading, key=lambda host: host.raft.node.status().term, default=None)

    def close(self) -> None:
        for host in self.hosts.values():
            host.kill_api()
            host.kill_raft()
        self.simulator.close()
        sender.APPEND_BATCH_BYTES, sender.SNAPSHOT_PIECE_BYTES = self._batches
        structlog.configure(**self._structlog)
        shutil.rmtree(self.folder, ignore_errors=True)


def _drop(_logger, _method, _event):
    raise structlog.DropEvent
