"""The node's own status as Kubernetes defines it: pure, from facts about the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api import quantity
from api.object import Tree
from component.env import rfc3339

MEMORY_PRESSURE_BYTES = 100 << 20
"""Less available memory than this is pressure (Kubernetes' default eviction threshold)."""

DISK_PRESSURE_SHARE = 0.05
PID_PRESSURE_SHARE = 0.05
MAX_PODS = 110


@dataclass(frozen=True, slots=True)
class Machine:
    """What does not change while the agent runs."""

    hostname: str
    architecture: str  # as Go names it: amd64, arm64
    kernel_version: str
    os_image: str
    machine_id: str
    system_uuid: str
    boot_id: str
    cpu_count: int
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class Load:
    """What is left right now; shares are of the whole."""

    available_memory_bytes: int
    free_disk_share: float
    free_pid_share: float


@dataclass(frozen=True, slots=True)
class Offer:
    """How the node presents itself. `reserved` are quantities that pods may not use, by resource."""

    address: str
    reserved: Mapping[str, str]
    capacity: Mapping[str, str]  # overrides what was found, for hosts that share a machine
    max_pods: int = MAX_PODS
    agent_version: str = ""


@dataclass(frozen=True, slots=True)
class NetworkHealth:
    """What is wrong with the node's network, one line each; `start_failure` is why it could not be started so far.

    A node whose network only has problems goes on running pods, one whose network did not start cannot.
    """

    problems: Sequence[str] = ()
    start_failure: str = ""


def node_status(
    machine: Machine,
    load: Load,
    offer: Offer,
    *,
    runtime_version: str,
    runtime_problem: str,
    network: NetworkHealth,
    previous: Tree,
    now: float,
) -> Tree:
    """Return the NodeStatus tree; times of conditions that did not change are kept from `previous`.

    `runtime_problem` says in one line why pods cannot run, empty when they can.
    """
    capacity = {
        "cpu": str(machine.cpu_count),
        "memory": f"{machine.memory_bytes >> 10}Ki",
        "ephemeral-storage": f"{machine.disk_bytes >> 10}Ki",
        "pods": str(offer.max_pods),
        **offer.capacity,
    }
    return {
        "addresses": [
            {"type": "InternalIP", "address": offer.address},
            {"type": "Hostname", "address": machine.hostname},
        ],
        "capacity": capacity,
        "allocatable": {name: _less(amount, offer.reserved.get(name)) for name, amount in capacity.items()},
        "conditions": _conditions(load, runtime_problem, network, previous, rfc3339(now)),
        "nodeInfo": {
            "architecture": machine.architecture,
            "bootID": machine.boot_id,
            "containerRuntimeVersion": runtime_version,
            "kernelVersion": machine.kernel_version,
            "kubeProxyVersion": offer.agent_version,
            "kubeletVersion": offer.agent_version,
            "machineID": machine.machine_id,
            "operatingSystem": "linux",
            "osImage": machine.os_image,
            "systemUUID": machine.system_uuid,
        },
    }


def node_labels(name: str, machine: Machine) -> dict[str, str]:
    """The labels that every node carries."""
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/os": "linux",
    }


def _less(amount: str, reserved: str | None) -> str:
    if reserved is None:
        return amount
    left = max(quantity.parse(amount) - quantity.parse(reserved), quantity.parse(0))
    return quantity.canonical(left, binary=amount.endswith("i"))


def _conditions(load: Load, runtime_problem: str, network: NetworkHealth, previous: Tree, timestamp: str) -> list[Tree]:
    memory = load.available_memory_bytes < MEMORY_PRESSURE_BYTES
    disk = load.free_disk_share < DISK_PRESSURE_SHARE
    pids = load.free_pid_share < PID_PRESSURE_SHARE
    wanted = [
        _condition(
            "NetworkUnavailable",
            bool(network.problems),
            ("NetworkProblem", "; ".join(network.problems)),
            ("NetworkReady", "the node's network is set up"),
        ),
        _condition(
            "MemoryPressure",
            memory,
            ("AgentHasInsufficientMemory", f"less than {MEMORY_PRESSURE_BYTES >> 20}Mi of memory is available"),
            ("AgentHasSufficientMemory", "agent has sufficient memory available"),
        ),
        _condition(
            "DiskPressure",
            disk,
            ("AgentHasDiskPressure", f"less than {DISK_PRESSURE_SHARE:.0%} of the disk is free"),
            ("AgentHasNoDiskPressure", "agent has no disk pressure"),
        ),
        _condition(
            "PIDPressure",
            pids,
            ("AgentHasInsufficientPID", f"less than {PID_PRESSURE_SHARE:.0%} of process ids are free"),
            ("AgentHasSufficientPID", "agent has sufficient PID available"),
        ),
        _condition(
            "Ready",
            not runtime_problem and not network.start_failure,
            ("AgentReady", "agent is posting ready status"),
            ("AgentNotReady", runtime_problem or network.start_failure),
        ),
    ]
    before = {condition.get("type"): condition for condition in previous.get("conditions", ())}
    return [_kept(condition, before.get(condition["type"]), timestamp) for condition in wanted]


def _condition(kind: str, holds: bool, when_true: tuple[str, str], when_false: tuple[str, str]) -> Tree:
    reason, message = when_true if holds else when_false
    return {"type": kind, "status": "True" if holds else "False", "reason": reason, "message": message}


def _kept(condition: Tree, before: Tree | None, timestamp: str) -> Tree:
    """Times move only with what they are about, so that an unchanged status stays equal."""
    if before is None or before.get("status") != condition["status"]:
        return {**condition, "lastHeartbeatTime": timestamp, "lastTransitionTime": timestamp}
    same = all(before.get(key) == value for key, value in condition.items())
    heartbeat = before["lastHeartbeatTime"] if same else timestamp
    return {**condition, "lastHeartbeatTime": heartbeat, "lastTransitionTime": before["lastTransitionTime"]}
