"""A pod's status as Kubernetes defines it: pure, from what was observed and what the probes say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.container_status import ContainerView, Health, container_view, init_container_view
from agent.ephemeral import ephemeral_view
from agent.observed import Observed, finished_phase, running
from agent.progress import init_failed, init_stage
from api.core import Container, Pod
from api.object import Tree
from api.pod_containers import is_sidecar
from api.resources import qos_class
from api.wellknown import AGENT_POD_CONDITIONS
from component.env import rfc3339

FINAL_PHASES = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class NodeAddresses:
    """The node as its pods show it."""

    ip: str


def pod_status(
    pod: Pod, observed: Observed, health: Mapping[str, Health], node: NodeAddresses, previous: Tree, now: float
) -> Tree:
    """Return the PodStatus tree.

    `previous` is the status reported before (or the stored one): start time, the conditions' last transitions and what
    became of init containers that are gone are kept from it. Ephemeral containers take no part in phase and conditions. Containers without an entry in `health` have no probes.
    """
    views = _views(pod, observed, health, previous, now)
    phase = _phase(pod, observed, views)
    timestamp = rfc3339(now)
    status: Tree = {
        "phase": phase,
        "conditions": _conditions(pod, observed, views, phase, previous, timestamp),
        "hostIP": node.ip,
        "hostIPs": [{"ip": node.ip}],
        "startTime": previous.get("startTime") or pod.status.start_time or timestamp,
        "containerStatuses": [view.tree for view in sorted(views.main, key=lambda view: view.tree["name"])],
        "qosClass": pod.status.qos_class or qos_class(pod.spec),
    }
    if pod.spec.ephemeral_containers:
        told = {each["name"]: each for each in previous.get("ephemeralContainerStatuses", ())}
        ephemeral = sorted(pod.spec.ephemeral_containers, key=lambda spec: spec.name)
        status["ephemeralContainerStatuses"] = [
            ephemeral_view(pod, spec, observed, told.get(spec.name), now) for spec in ephemeral
        ]
    if views.init:
        status["initContainerStatuses"] = [view.tree for view in views.init]
    ip = observed.ip or (node.ip if pod.spec.host_network else "") or previous.get("podIP", "")
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    if observed.verdict is not None:
        status |= {"reason": observed.verdict.reason, "message": observed.verdict.message}
    elif pod.status.reason:
        status |= {"reason": pod.status.reason, "message": pod.status.message or ""}
    return status


def container_statuses(status: Tree) -> list[Tree]:
    """The statuses of all containers in a PodStatus tree, init containers first, ephemeral ones last."""
    fields = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    return [each for field in fields for each in status.get(field, ())]


@dataclass(frozen=True, slots=True)
class _Views:
    """Every container's status, in the spec's order; `sidecars` are among `init`."""

    main: Sequence[ContainerView]
    init: Sequence[ContainerView] = ()
    sidecars: Sequence[ContainerView] = ()
    initialized: bool = True


def _views(pod: Pod, observed: Observed, health: Mapping[str, Health], previous: Tree, now: float) -> _Views:
    def lasting(spec: Container, *, at_turn: bool) -> ContainerView:
        return container_view(pod, spec, observed, health.get(spec.name, Health()), now, at_turn=at_turn)

    inits = pod.spec.init_containers
    if not inits:
        return _Views([lasting(spec, at_turn=True) for spec in pod.spec.containers])
    stage = init_stage(pod, observed)
    told = {each["name"]: each for each in previous.get("initContainerStatuses", ())}
    init, sidecars = [], []
    for place, spec in enumerate(inits):
        at_turn = place <= stage
        if is_sidecar(spec):
            sidecars.append(lasting(spec, at_turn=at_turn))
            init.append(sidecars[-1])
        else:
            init.append(init_container_view(pod, spec, observed, now, told.get(spec.name), at_turn=at_turn))
    through = stage == len(inits)
    return _Views([lasting(spec, at_turn=through) for spec in pod.spec.containers], init, sidecars, through)


def _phase(pod: Pod, observed: Observed, views: _Views) -> str:
    """Kubernetes' getPhase: waiting for the first start is Pending, between restarts is Running.

    Sidecars keep a pod Running as long as they run; how they end does not matter.
    """
    if observed.verdict is not None or finished_phase(pod):
        return pod.status.phase if observed.verdict is None and pod.status.phase else "Failed"
    if init_failed(pod, observed):
        return "Failed"
    main = views.main
    served = any(view.state == "running" for view in views.sidecars)
    all_ended = bool(main) and all(view.ended and view.state != "running" for view in main) and not served
    if observed.termination_time and all_ended:
        return "Succeeded" if all(view.succeeded for view in main) else "Failed"
    if not views.initialized or not main or any(view.state == "waiting" and not view.ended for view in main):
        return "Pending"
    if served or any(view.state in {"running", "waiting"} for view in main):
        return "Running"
    return "Succeeded" if all(view.succeeded for view in main) else "Failed"


def _conditions(pod: Pod, observed: Observed, views: _Views, phase: str, previous: Tree, timestamp: str) -> list[Tree]:
    """Our conditions, then the others' as they are stored."""
    unready = [view.tree["name"] for view in (*views.sidecars, *views.main) if not view.ready]
    containers = _containers_ready(phase, unready)
    # After a restart of the agent running containers show that their sandbox is there before it was checked.
    sandboxed = observed.sandbox is not None or bool(running(observed))
    networked = sandboxed and (bool(observed.ip) or bool(pod.spec.host_network)) and phase not in FINAL_PHASES
    wanted: dict[str, Tree] = {
        "PodReadyToStartContainers": {"status": _word(holds=networked)},
        "Initialized": _initialized(views, phase),
        "Ready": _ready(pod, containers),
        "ContainersReady": containers,
        "PodScheduled": {"status": "True"},
    }
    stored = _stored_conditions(pod)
    before = {c.get("type"): c for c in stored} | {c.get("type"): c for c in previous.get("conditions", ())}
    ours = [_kept(kind, wanted[kind], before.get(kind), timestamp) for kind in AGENT_POD_CONDITIONS]
    return ours + [condition for condition in stored if condition.get("type") not in AGENT_POD_CONDITIONS]


def _initialized(views: _Views, phase: str) -> Tree:
    if phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"}
    if views.initialized:
        return {"status": "True"}
    lasting = {view.tree["name"] for view in views.sidecars}
    trees = [view.tree for view in views.init]
    names = " ".join(tree["name"] for tree in trees if not tree["started" if tree["name"] in lasting else "ready"])
    message = f"containers with incomplete status: [{names}]"
    return {"status": "False", "reason": "ContainersNotInitialized", "message": message}


def _containers_ready(phase: str, unready: Sequence[str]) -> Tree:
    if phase in FINAL_PHASES:
        return {"status": "False", "reason": "PodCompleted" if phase == "Succeeded" else "PodFailed"}
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        return {"status": "False", "reason": "ContainersNotReady", "message": message}
    return {"status": "True"}


def _ready(pod: Pod, containers: Tree) -> Tree:
    """Containers ready and every readiness gate True."""
    if containers["status"] != "True":
        return containers
    states = {condition.type: condition.status for condition in pod.status.conditions}
    missing = [gate.condition_type for gate in pod.spec.readiness_gates if states.get(gate.condition_type) != "True"]
    if missing:
        message = "; ".join(f'corresponding condition of pod readiness gate "{kind}" is not True' for kind in missing)
        return {"status": "False", "reason": "ReadinessGatesNotReady", "message": message}
    return containers


def _kept(kind: str, wanted: Tree, before: Mapping[str, Any] | None, timestamp: str) -> Tree:
    same = before is not None and before.get("status") == wanted["status"]
    since = before.get("lastTransitionTime") if same and before is not None else None
    return {"type": kind, **wanted, "lastTransitionTime": since or timestamp}


def _stored_conditions(pod: Pod) -> list[Tree]:
    trees = []
    for each in pod.status.conditions:
        tree = {
            "type": each.type,
            "status": each.status,
            "reason": each.reason,
            "message": each.message,
            "lastTransitionTime": each.last_transition_time,
        }
        trees.append({key: value for key, value in tree.items() if value})
    return trees


def _word(*, holds: bool) -> str:
    return "True" if holds else "False"
