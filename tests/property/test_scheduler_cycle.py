"""Properties of placement: never over-commits, batch and single placement agree, changes are undone exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.wellknown import ZONE_LABEL
from controlplane.scheduler.cycle import Placed, Waiting, schedule
from controlplane.scheduler.filters import PodClass, TolerationRule
from controlplane.scheduler.snapshot import NodeFacts, NodeTaint, PodUse, Snapshot

pytestmark = pytest.mark.slow

SOFT = NodeTaint("spot", "yes", "PreferNoSchedule")
HARD = NodeTaint("gpu", "yes", "NoSchedule")
TOLERATES_HARD = TolerationRule("gpu", "Exists", "", "")

nodes = st.lists(
    st.builds(
        lambda cpu, memory, pods, zone, disk, taints, closed, ready: {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": pods},
            "labels": {k: v for k, v in ((ZONE_LABEL, zone), ("disk", disk)) if v},
            "taints": frozenset(taints),
            "unschedulable": closed,
            "ready": ready,
        },
        st.integers(0, 4_000),
        st.integers(0, 2**33),
        st.integers(0, 6),
        st.sampled_from(["", "a", "b", "c"]),
        st.sampled_from(["", "ssd", "hdd"]),
        st.lists(st.sampled_from([SOFT, HARD]), max_size=2),
        st.sampled_from([False, False, False, True]),
        st.sampled_from([True, True, True, False]),
    ),
    min_size=0,
    max_size=8,
)
classes = st.builds(
    PodClass,
    requests=st.builds(
        lambda cpu, memory: tuple(sorted({"cpu": cpu, "memory": memory, "pods": 1}.items())),
        st.sampled_from([0, 100, 250, 1_000]),
        st.sampled_from([0, 2**27, 2**30]),
    ),
    selector=st.sampled_from([(), (("disk", "ssd"),), (("disk", "nvme"),)]),
    tolerations=st.sampled_from([(), (TOLERATES_HARD,)]),
    owner=st.sampled_from(["", "rs-1", "rs-2"]),
    host_ports=st.sampled_from([(), (), (), (("TCP", 80),), (("TCP", 80), ("UDP", 53))]),
)
queues = st.lists(st.tuples(classes, st.integers(1, 12)), min_size=1, max_size=5)


def snapshot_of(facts):
    snapshot = Snapshot()
    for number, fact in enumerate(facts):
        snapshot.set_node(NodeFacts(name=f"n{number}", **fact))
    return snapshot


def pods_of(queue):
    return [
        Waiting(f"{row}-{number}", "default", f"p{row}-{number}", pod_class)
        for row, (pod_class, count) in enumerate(queue)
        for number in range(count)
    ]


def placements(answers):
    return [(a.pod.uid, a.node if isinstance(a, Placed) else a.message) for a in answers]


@given(nodes, queues)
def test_batch_places_every_pod_where_single_placement_would(facts, queue):
    pods = pods_of(queue)
    each = schedule(snapshot_of(facts), pods, batch=10_000)
    together = schedule(snapshot_of(facts), pods, batch=1)
    assert placements(together) == placements(each)


@given(nodes, queues)
def test_never_places_more_on_a_node_than_it_has(facts, queue):
    snapshot = snapshot_of(facts)
    answers = schedule(snapshot, pods_of(queue))
    used = {name: {} for name in snapshot.rows}
    for answer in answers:
        if isinstance(answer, Placed):
            for name, amount in answer.pod.pod_class.requests:
                used[answer.node][name] = used[answer.node].get(name, 0) + amount
    for number, fact in enumerate(facts):
        for name, amount in used[f"n{number}"].items():
            assert amount <= fact["allocatable"].get(name, 0)


@given(nodes, queues)
def test_two_pods_never_listen_on_one_port_of_a_node(facts, queue):
    taken = [
        (answer.node, port)
        for answer in schedule(snapshot_of(facts), pods_of(queue))
        if isinstance(answer, Placed)
        for port in answer.pod.pod_class.host_ports
    ]
    assert len(taken) == len(set(taken))


@given(nodes, queues)
def test_pods_go_only_where_every_filter_lets_them(facts, queue):
    by_name = {f"n{number}": fact for number, fact in enumerate(facts)}
    for answer in schedule(snapshot_of(facts), pods_of(queue)):
        if isinstance(answer, Placed):
            fact, pod = by_name[answer.node], answer.pod.pod_class
            assert fact["ready"]
            assert not fact["unschedulable"]
            assert all(fact["labels"].get(key) == value for key, value in pod.selector)
            assert HARD not in fact["taints"] or TOLERATES_HARD in pod.tolerations


@given(nodes, queues)
def test_a_pod_is_left_over_only_if_no_node_has_room_for_it(facts, queue):
    snapshot = snapshot_of(facts)
    for answer in schedule(snapshot, pods_of(queue)):
        if not isinstance(answer, Placed):
            (again,) = schedule(snapshot, [answer.pod])
            assert not isinstance(again, Placed)


@given(nodes, queues, st.randoms(use_true_random=False))
def test_removing_all_pods_gives_back_all_they_took(facts, queue, random):
    snapshot = snapshot_of(facts)
    placed = [a for a in schedule(snapshot, pods_of(queue)) if isinstance(a, Placed)]
    random.shuffle(placed)
    for answer in placed:
        assert snapshot.remove_pod(answer.pod.uid)
    assert not snapshot.used.any()
    assert not snapshot.scored.any()
    assert not snapshot.counts_of("rs-1")
    assert not list(snapshot.rows_using(("TCP", 80)))


@given(nodes, queues, st.randoms(use_true_random=False))
def test_placement_does_not_depend_on_the_order_in_which_nodes_were_seen(facts, queue, random):
    shuffled = list(enumerate(facts))
    random.shuffle(shuffled)
    other = Snapshot()
    for number, fact in shuffled:
        other.set_node(NodeFacts(name=f"n{number}", **fact))
    pods = pods_of(queue)
    assert placements(schedule(other, pods)) == placements(schedule(snapshot_of(facts), pods))


@given(nodes, queues)
def test_a_node_that_goes_and_comes_back_is_counted_as_before(facts, queue):
    snapshot = snapshot_of(facts)
    schedule(snapshot, pods_of(queue))
    before = {name: snapshot.used[:, row].tolist() for name, row in snapshot.rows.items()}
    for name in list(snapshot.rows):
        known = snapshot.facts(name)
        snapshot.remove_node(name)
        snapshot.set_node(known)
    assert {name: snapshot.used[:, row].tolist() for name, row in snapshot.rows.items()} == before


def test_columns_grow_with_nodes_and_resources():
    snapshot = Snapshot()
    for number in range(200):
        labels = {f"label-{number}": "x", "common": str(number % 3)}
        snapshot.set_node(NodeFacts(f"n{number}", {"cpu": 1_000, "pods": 5, f"device-{number}": 1}, labels))
    snapshot.set_pod(PodUse("a", "n150", (("cpu", 400), ("device-150", 1), ("pods", 1))))
    row = snapshot.rows["n150"]
    assert snapshot.used[snapshot.resources["device-150"], row] == 1
    assert snapshot.allocatable[snapshot.resources["device-199"], snapshot.rows["n199"]] == 1
    assert np.count_nonzero(snapshot.live) == 200
    wants_device = PodClass(requests=(("device-7", 1), ("pods", 1)))
    assert placements(schedule(snapshot, [Waiting("u", "d", "p", wants_device)])) == [("u", "n7")]
