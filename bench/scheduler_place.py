"""How fast pods are placed: per pod, in batches of equal pods, and in plain Python as the floor.

Time is CPU time of this one process, without API, events or binding. All three place the same pods on equal
clusters by the same rules; the plain-Python loop is what the vectors must beat.
"""

from __future__ import annotations

import random
import time

import numpy as np

from api.wellknown import ZONE_LABEL
from bench.report import Report, run_part
from controlplane.scheduler import scores
from controlplane.scheduler.cycle import Placed, Waiting, schedule
from controlplane.scheduler.filters import PodClass
from controlplane.scheduler.snapshot import NodeFacts, NodeTaint, PodUse, Snapshot, scored_requests

GIB = 2**30
CLASSES = {
    "plain": PodClass((("cpu", 100), ("memory", GIB // 8), ("pods", 1)), (("disk", "ssd"),)),
    "spread": PodClass((("cpu", 100), ("memory", GIB // 8), ("pods", 1)), (("disk", "ssd"),), owner="rs"),
}
NODES = (100, 1_000, 5_000)
PODS = 2_000
PER_POD = 300
FLOOR = 20


def facts_of(count: int, seed: int = 0) -> list[NodeFacts]:
    rng = random.Random(seed)
    return [
        NodeFacts(
            name=f"n{number:05}",
            allocatable={
                "cpu": rng.choice([4_000, 8_000, 16_000]),
                "memory": rng.choice([16, 32, 64]) * GIB,
                "pods": 110,
            },
            labels={ZONE_LABEL: f"z{number % 10}", "disk": "ssd" if rng.random() < 0.7 else "hdd"},
            taints=frozenset([NodeTaint("gpu", "", "NoSchedule")] if rng.random() < 0.05 else []),
        )
        for number in range(count)
    ]


def snapshot_of(facts: list[NodeFacts]) -> Snapshot:
    rng = random.Random(1)
    snapshot = Snapshot()
    for node in facts:
        snapshot.set_node(node)
        busy = (("cpu", rng.randrange(1_500)), ("memory", rng.randrange(6 * GIB)), ("pods", 1))
        snapshot.set_pod(PodUse(f"old-{node.name}", node.name, busy))
    return snapshot


def pods_of(pod_class: PodClass, count: int) -> list[Waiting]:
    return [Waiting(f"p{number}", "default", f"p{number}", pod_class) for number in range(count)]


class Plain:
    """The same rules on dicts and loops."""

    def __init__(self, facts: list[NodeFacts], snapshot: Snapshot) -> None:
        self.nodes = [
            {
                "facts": node,
                "used": {n: int(snapshot.used[i, snapshot.rows[node.name]]) for n, i in snapshot.resources.items()},
                "scored": snapshot.scored[:, snapshot.rows[node.name]].tolist(),
                "owned": 0,
            }
            for node in facts
        ]
        self.zones: dict[str, int] = {}

    @staticmethod
    def admits(node: dict, pod: PodClass) -> bool:
        facts = node["facts"]
        if facts.unschedulable or not facts.ready:
            return False
        if any(facts.labels.get(key) != value for key, value in pod.selector):
            return False
        if any(t.effect != "PreferNoSchedule" and not pod.tolerates(t) for t in facts.taints):
            return False
        return all(node["used"].get(n, 0) + a <= facts.allocatable.get(n, 0) for n, a in pod.requests if a)

    def place(self, pod: PodClass) -> str | None:
        cpu, memory = scored_requests(dict(pod.requests))
        best, chosen = -1, None
        for node in self.nodes:
            if not self.admits(node, pod):
                continue
            facts = node["facts"]
            score = scores.TAINT_WEIGHT * scores.FULL + scores.resources(
                node["scored"][0] + cpu,
                node["scored"][1] + memory,
                facts.allocatable["cpu"],
                facts.allocatable["memory"],
            )
            if pod.owner:
                score += scores.spread(node["owned"]) + scores.spread(self.zones.get(facts.labels[ZONE_LABEL], 0))
            if score > best:
                best, chosen = score, node
        if chosen is None:
            return None
        for name, amount in pod.requests:
            chosen["used"][name] = chosen["used"].get(name, 0) + amount
        chosen["scored"] = [chosen["scored"][0] + cpu, chosen["scored"][1] + memory]
        if pod.owner:
            chosen["owned"] += 1
            zone = chosen["facts"].labels[ZONE_LABEL]
            self.zones[zone] = self.zones.get(zone, 0) + 1
        return chosen["facts"].name


def rate(count: int, start: float) -> float:
    return count / max(1e-9, time.process_time() - start)


def measure(nodes: int, name: str, pods: int) -> tuple[float, float, float, int]:
    """Pods a second: in batches, per pod, in plain Python; and how many found no place."""
    pod_class, facts = CLASSES[name], facts_of(nodes)
    pods = min(pods, 20 * nodes)

    together_snapshot = snapshot_of(facts)
    start = time.process_time()
    together = schedule(together_snapshot, pods_of(pod_class, pods))
    batch_rate = rate(pods, start)

    each_snapshot = snapshot_of(facts)
    singles = pods_of(pod_class, min(pods, PER_POD))
    start = time.process_time()
    each = schedule(each_snapshot, singles, batch=10**9)
    single_rate = rate(len(singles), start)

    plain = Plain(facts, snapshot_of(facts))
    start = time.process_time()
    floor = [plain.place(pod_class) for _ in range(min(FLOOR, pods))]
    floor_rate = rate(len(floor), start)

    names = [a.node if isinstance(a, Placed) else None for a in together]
    assert names[: len(each)] == [a.node if isinstance(a, Placed) else None for a in each], "batch and single differ"
    assert names[: len(floor)] == floor, "vectors and plain Python differ"
    return batch_rate, single_rate, floor_rate, names.count(None)


def bench(report: Report, quick: bool) -> None:
    report.setting(f"numpy {np.__version__}; {PODS} equal pods; CPU time of this process; no API, events or binding")
    rows = []
    for nodes in NODES[:2] if quick else NODES:
        for name in CLASSES:
            pods = min(PODS, 20 * nodes)
            batch, single, floor, unplaced = measure(nodes, name, pods)
            rows.append((f"{nodes} nodes, {name}", batch, single, floor, unplaced))
    report.table(("pods placed a second of CPU", "batch", "per pod", "plain Python", "unplaced"), rows)
    label, batch, single, floor, _ = rows[-1]
    report.figure(f"{label}: in batches", batch, "pods/s", peer=floor, peer_name="plain Python")
    report.figure(f"{label}: pod by pod", single, "pods/s", peer=floor, peer_name="plain Python")


def main() -> None:
    run_part("scheduler_place", __doc__ or "", bench)


if __name__ == "__main__":
    main()
