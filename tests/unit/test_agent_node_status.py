"""The node's status and labels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.admission import refusal
from agent.node_status import Load, Machine, NetworkHealth, Offer, node_labels, node_status
from tests.agent_pods import NOW, pod

MACHINE = Machine("host-1", "amd64", "6.1.0", "Debian 12", "m-id", "s-id", "b-id", 4, 8 << 30, 100 << 30)
LOAD = Load(4 << 30, 0.5, 0.9)
OFFER = Offer("10.0.0.11", {"memory": "100Mi", "cpu": "250m"}, {}, agent_version="v1")


def status(load=LOAD, offer=OFFER, runtime="", network=(), failure="", previous=None, now=NOW):
    return node_status(
        MACHINE,
        load,
        offer,
        runtime_version="podman://4.3.1",
        runtime_problem=runtime,
        network=NetworkHealth(network, failure),
        previous=previous or {},
        now=now,
    )


def conditions(tree):
    return {each["type"]: each for each in tree["conditions"]}


def test_a_healthy_node():
    tree = status()
    assert tree["addresses"] == [
        {"type": "InternalIP", "address": "10.0.0.11"},
        {"type": "Hostname", "address": "host-1"},
    ]
    assert tree["capacity"] == {
        "cpu": "4",
        "memory": "8388608Ki",
        "ephemeral-storage": "104857600Ki",
        "pods": "110",
    }
    assert tree["nodeInfo"]["bootID"] == "b-id"
    assert {kind: each["status"] for kind, each in conditions(tree).items()} == {
        "NetworkUnavailable": "False",
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "Ready": "True",
    }


def test_what_is_reserved_is_not_offered():
    tree = status()
    assert tree["allocatable"]["cpu"] == "3750m"
    assert tree["allocatable"]["memory"] == "8092Mi"
    assert tree["allocatable"]["pods"] == "110"


def test_capacity_may_be_set_by_hand():
    tree = status(offer=replace(OFFER, capacity={"cpu": "2", "example.com/gpu": "1"}))
    assert tree["capacity"]["cpu"] == "2"
    assert tree["allocatable"]["cpu"] == "1750m"
    assert tree["allocatable"]["example.com/gpu"] == "1"


@pytest.mark.parametrize(
    ("load", "kind"),
    [
        (replace(LOAD, available_memory_bytes=50 << 20), "MemoryPressure"),
        (replace(LOAD, free_disk_share=0.01), "DiskPressure"),
        (replace(LOAD, free_pid_share=0.01), "PIDPressure"),
    ],
)
def test_pressure_is_told(load, kind):
    assert conditions(status(load))[kind]["status"] == "True"


def test_problems_are_told_with_their_reason():
    tree = conditions(status(runtime="podman 3.0 is too old: install 4.3", network=["docker drops forwarding", "x"]))
    assert tree["Ready"]["status"] == "False"
    assert tree["Ready"]["message"] == "podman 3.0 is too old: install 4.3"
    assert tree["NetworkUnavailable"]["status"] == "True"
    assert tree["NetworkUnavailable"]["message"] == "docker drops forwarding; x"


def test_a_node_whose_network_only_has_problems_stays_ready_and_one_whose_network_did_not_start_is_not():
    assert conditions(status(network=["docker drops forwarding"]))["Ready"]["status"] == "True"
    tree = conditions(status(network=["no nft"], failure="no nft"))
    ready = tree["Ready"]
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "AgentNotReady", "no nft")
    assert tree["NetworkUnavailable"]["status"] == "True"


def test_an_unchanged_status_stays_equal_as_time_goes_by():
    first = status()
    assert status(previous=first, now=NOW + 60) == first


def test_a_transition_moves_only_its_own_time():
    first = status()
    later = conditions(status(replace(LOAD, free_disk_share=0.0), previous=first, now=NOW + 60))
    assert later["DiskPressure"]["lastTransitionTime"] == "2025-06-15T15:07:40Z"
    assert later["Ready"]["lastTransitionTime"] == "2025-06-15T15:06:40Z"


def test_labels_of_a_node():
    assert node_labels("n1", MACHINE) == {
        "kubernetes.io/hostname": "n1",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
    }


# The node's own admission.

ALLOCATABLE = {"cpu": 1000, "memory": 1 << 30, "pods": 2}


def asking(**requests):
    return pod(containers=[{"name": "main", "image": "x", "resources": {"requests": requests}}])


@pytest.mark.parametrize(
    ("wanted", "others", "reason"),
    [
        (asking(cpu="500m"), [asking(cpu="500m")], None),
        (asking(cpu="501m"), [asking(cpu="500m")], "OutOfcpu"),
        (asking(memory="2Gi"), [], "OutOfmemory"),
        (asking(), [asking(), asking()], "OutOfpods"),
        (asking(**{"example.com/gpu": "1"}), [], "OutOfexample.com/gpu"),
        (asking(**{"ephemeral-storage": "1Ti"}), [], None),
    ],
)
def test_a_pod_must_fit_beside_the_others(wanted, others, reason):
    verdict = refusal(wanted, others, ALLOCATABLE)
    assert (verdict.reason if verdict else None) == reason


def test_a_refusal_says_what_was_asked_and_what_is_there():
    verdict = refusal(asking(cpu="600m"), [asking(cpu="500m")], ALLOCATABLE)
    assert verdict.message == (
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 600, used: 500, capacity: 1000"
    )
