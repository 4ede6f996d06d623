"""One run: a seed decides everything; faults and clients first, then calm, then every checker."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from tests.simulation.agents import Agent, User
from tests.simulation.checks import history, placement, watching
from tests.simulation.clients import RESOURCE, Watcher, Writer
from tests.simulation.cluster import Cluster, Plan
from tests.simulation.faults import KINDS, Faults
from tests.simulation.raft_half import Sizes
from tests.simulation.restore import Restore
from tests.simulation.variant import PRODUCT, Variant

CALM_SECONDS = 60.0
LONGEST_SECONDS = 20.0
UNKNOWN_SHARE = 0.05
CONTROLLERS_SHARE = 0.2  # of the runs have nodes, pods and everything the leader runs
RESTORE_SHARE = 0.15
STORMY_SHARE = 0.4  # of the others have seconds of nothing but elections
LEAST_ACKNOWLEDGED = 30
LEAST_ELECTIONS = 2
LEAST_CRASHES = 2
CRASHES = ("power_cut", "power_cut_all", "laggard", "kill_raft", "kill_api")
LEAST_INSTALLS = 1


@dataclass
class Report:
    """What a run did. `violations` are what the checkers found, `thin` what happened too little."""

    seed: int | str
    violations: list[str]
    thin: list[str]
    acknowledged: int
    unknown: int
    writes: int
    counts: Counter[str]
    installs: int
    trace_hash: str
    simulated_seconds: float
    took_seconds: float
    faults: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return bool(self.violations or self.thin)

    def line(self) -> str:
        crashes = sum(self.counts[kind] for kind in CRASHES)
        return (
            f"seed {self.seed}: {self.acknowledged} acknowledged of {self.writes} writes, {self.unknown} unknown, "
            f"{self.counts['elections']} elections, {crashes} crashes, {self.installs} snapshot installs, "
            f"{len(self.faults)} faults, {self.simulated_seconds:.1f} simulated in {self.took_seconds:.2f} s, "
            f"trace {self.trace_hash}"
        )


def draw(seed: int | str) -> tuple[Plan, Sizes, list[str], random.Random]:
    """The kind of run: every seed leaves out some faults, so that others are not drowned by them."""
    rng = random.Random(f"{seed}/plan")
    replicas = rng.choice((3, 3, 5))
    snapshot_seconds = rng.choice(((0.3, 0.8), (0.7, 2.5)))
    controllers = rng.random() < CONTROLLERS_SHARE
    stormy = not controllers and rng.random() < STORMY_SHARE
    plan = Plan(
        replicas=3 if controllers else replicas,
        controllers=controllers,
        snapshot_seconds=snapshot_seconds,
        restore=not controllers and rng.random() < RESTORE_SHARE,
        storm_seconds=(3.0, 5.0) if stormy else (1.0, 2.5),
    )
    sizes = Sizes(
        segment_bytes=rng.choice((1 << 13, 1 << 16)),
        tail_bytes=rng.choice((0, 500, 4000)),
        append_batch_bytes=rng.choice((1, 500, 1 << 20)),
        snapshot_piece_bytes=rng.choice((1 << 10, 1 << 12, 1 << 18)),
    )
    kinds = [kind for kind in KINDS if rng.random() < 0.6] or [*KINDS]
    return plan, sizes, kinds, rng


class Run:
    """The phases of a run."""

    def __init__(
        self,
        seed: int | str,
        variant: Variant = PRODUCT,
        log: Callable[[str], None] | None = None,
        only: Sequence[str] = (),
    ) -> None:
        """`only` these kinds of faults, beside those of every run, rather than what the seed says."""
        plan, sizes, kinds, rng = draw(seed)
        self.seed = seed
        self.cluster = Cluster(seed, plan, variant=variant)
        self.cluster.simulator.log = log
        self.cluster.resize(sizes)
        self.cluster.history_bytes = rng.choice((20_000, 4 << 20))
        self._seconds = rng.uniform(4.0, 9.0)
        self.faults = Faults(self.cluster, [*only] or kinds, rng.choice(((0.05, 0.4), (0.2, 1.0))))
        self.cluster.on_elected, self.cluster.on_voted = self.faults.elected, self.faults.voted
        pause = rng.choice(((0.005, 0.05), (0.01, 0.1)))
        writers = 2 if plan.controllers else 3
        self.writers = [Writer(self.cluster, f"writer{n}", rng.choice((2, 5)), pause) for n in range(writers)]
        self.watchers = [
            Watcher(self.cluster, f"watcher{n}", from_nothing=n % 2 == 1, slow=rng.random() < 0.2) for n in range(2)
        ]
        self.restore = Restore(self.cluster)
        nodes = ["n1", "n2", "n3"] if plan.controllers else []
        self.agents = [Agent(self.cluster, name) for name in nodes]
        self.users = [User(self.cluster, "user", nodes)] if plan.controllers else []
        self.clients = [*self.writers, *self.watchers, *self.agents, *self.users]
        self.cluster.client_names = [each.name for each in self.clients]

    def execute(self) -> Report:
        started = time.perf_counter()
        cluster = self.cluster
        try:
            self._execute()
            violations = [*cluster.violations, *self._check()] if not cluster.violations else cluster.violations
            return self._report(violations, time.perf_counter() - started)
        finally:
            cluster.close()

    def _execute(self) -> None:
        cluster, simulator = self.cluster, self.cluster.simulator
        cluster.start()
        if not self._until(self._serving, 10.0, "no leader at the start"):
            return
        for client in self.clients:
            client.loop.call_soon(lambda client=client: client.loop.create_task(client.run()))
        if self.agents:
            self._until(self._pods_run, 15.0, "no pods at the start")
        simulator.world.create_task(self.faults.run())
        if cluster.plan.restore:
            simulator.world.call_later(0.3 * self._seconds, self.restore.save)
            simulator.world.call_later(0.6 * self._seconds, self.restore.restore)
        simulator.run_until(lambda: bool(cluster.violations), self._seconds)
        simulator.run_until(
            lambda: bool(cluster.violations) or (self.faults.all_kinds_done and not self._thin()), LONGEST_SECONDS
        )
        if cluster.violations:
            return
        self.faults.stop()
        calm = simulator.now + 1.0
        simulator.run_until(lambda: bool(cluster.violations) or simulator.now >= calm, 1.1)
        for client in (*self.writers, *self.users):
            client.stopping = True
        self._until(self._settled, CALM_SECONDS, "not settled after the faults")

    def _until(self, condition: Callable[[], bool], seconds: float, otherwise: str) -> bool:
        cluster = self.cluster
        reached = cluster.simulator.run_until(lambda: bool(cluster.violations) or condition(), seconds)
        if not reached:
            cluster.violation(f"{otherwise}: {self._state()}")
        return reached and not cluster.violations

    def _serving(self) -> bool:
        hosts = self.cluster.hosts.values()
        return all(host.api is not None and host.api.replica.ready for host in hosts) and any(
            host.api is not None and host.api.replica.state.count("namespaces") >= 3 for host in hosts
        )

    def _settled(self) -> bool:
        """Everybody answered, every replica at the same entry, every watcher at the last change."""
        if any(each.outcome == "open" for each in self.cluster.recorder.asked):
            return False
        states = [host.api.replica.state for host in self.cluster.hosts.values() if host.api is not None]
        if len(states) < len(self.cluster.hosts) or len({state.applied_index for state in states}) > 1:
            return False
        last = max((row.revision for row in self.cluster.recorder.rows if row.resource == RESOURCE), default=0)
        return all(watcher.revision >= last for watcher in self.watchers) and self._converged()

    def _pods_run(self) -> bool:
        return any(row.node and not row.ended for row in self.cluster.recorder.pods)

    def _converged(self) -> bool:
        """Controllers did what was asked last: the right number of pods runs, and nothing else."""
        if not self.users:
            return True
        state = next(iter(self.cluster.hosts.values())).api.replica.state
        pods = [msgspec.json.decode(stored.body) for stored in state.each("pods")]
        running: Counter[str] = Counter()
        for pod in pods:
            if "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") != "Running":
                return False
            running[pod["metadata"]["labels"]["app"]] += 1
        deployments = [msgspec.json.decode(stored.body) for stored in state.each("deployments.apps")]
        settled = all(
            d["status"].get("availableReplicas", 0) == d["status"].get("updatedReplicas", 0) == d["spec"]["replicas"]
            for d in deployments
        )
        return settled and running == {"web0": 2, "web1": 3}

    def _state(self) -> str:
        found = []
        for host in self.cluster.hosts.values():
            raft = host.raft.node.status() if host.raft else None
            api = host.api.replica if host.api else None
            found.append(f"{host.name} {raft} {api and (api.state.applied_index, api.status)}")
        last = [watcher.revision for watcher in self.watchers]
        left = [each for each in self.cluster.recorder.asked if each.outcome == "open"]
        if self.users and (host := next(iter(self.cluster.hosts.values()))).api is not None:
            for resource in ("pods", "deployments.apps", "nodes"):
                found += [stored.body.decode() for stored in host.api.replica.state.each(resource)]
        return "; ".join((*found, f"watchers at {last}", f"open {left}"))

    def _check(self) -> list[str]:
        recorder = self.cluster.recorder
        rows = [row for row in recorder.rows if row.resource == RESOURCE]
        pairs = recorder.together
        asked = recorder.asked_since_restore()
        found = history.check(asked, recorder.rows, RESOURCE, 0, recorder.jump, pairs)
        found += history.check_together(pairs, rows)
        found += watching.check(recorder.watched, rows)
        for chapter in recorder.chapters:
            found += history.check(chapter.asked, chapter.rows, RESOURCE, 0, chapter.jump, pairs)
            found += history.check_together(pairs, chapter.rows)
            found += watching.check(chapter.watched, [row for row in chapter.rows if row.resource == RESOURCE])
        found += placement.check(recorder.pods, recorder.capacity)
        found += self._compare_states()
        return found

    def _compare_states(self) -> list[str]:
        """At the end every replica holds what a replay of the changes gives, byte for byte."""
        found = []
        objects: dict[object, object] = {}
        changes = self.cluster.recorder.agreement.changes
        for revision in sorted(changes):
            change = changes[revision]
            if change.type == 3:
                objects.pop(change.envelope.key, None)
            else:
                objects[change.envelope.key] = (change.envelope, change.body, revision)
        for host in self.cluster.hosts.values():
            state = host.api.replica.state
            held = {
                stored.envelope.key: (stored.envelope, stored.body, stored.revision)
                for resource in state.resources()
                for stored in state.each(resource)
            }
            if held != objects:
                found.append(f"{host.name} holds other objects than a replay of all changes")
        return found

    def _written(self) -> tuple[int, int, int]:
        """How many writes were asked for, acknowledged, and of unknown outcome."""
        writes = [each for each in self.cluster.recorder.ever_asked if each.verb in history.WRITES]
        acknowledged = sum(each.outcome == "ok" for each in writes)
        return len(writes), acknowledged, sum(each.outcome in {"unknown", "open"} for each in writes)

    def _thin(self) -> list[str]:
        """What there was too little of for the run to show anything."""
        counts, (writes, acknowledged, unknown) = self.cluster.counts, self._written()
        crashes = sum(counts[kind] for kind in CRASHES)
        thin = []
        if acknowledged < LEAST_ACKNOWLEDGED:
            thin.append(f"only {acknowledged} writes acknowledged")
        if counts["elections"] < LEAST_ELECTIONS:
            thin.append(f"only {counts['elections']} elections")
        if crashes < LEAST_CRASHES:
            thin.append(f"only {crashes} crashes")
        if self.cluster.recorder.installs < LEAST_INSTALLS:
            thin.append("no snapshot was installed")
        if unknown > UNKNOWN_SHARE * writes:
            thin.append(f"{unknown} of {writes} writes unknown")
        return thin

    def _report(self, violations: list[str], took_seconds: float) -> Report:
        cluster, recorder = self.cluster, self.cluster.recorder
        writes, acknowledged, unknown = self._written()
        return Report(
            self.seed,
            violations,
            self._thin(),
            acknowledged,
            unknown,
            writes,
            cluster.counts,
            recorder.installs,
            cluster.simulator.trace_hash,
            cluster.simulator.now,
            took_seconds,
            self.faults.done,
        )


def run(seed: int | str, variant: Variant = PRODUCT, log: Callable[[str], None] | None = None) -> Report:
    """Simulate one seed."""
    return Run(seed, variant, log).execute()
