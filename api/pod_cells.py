"""A pod's cells in tables: what it is doing in one word, how many of its containers are ready, how often they restarted.

The rules are those of Kubernetes' own table of pods. Pure: trees and the time in, text out.
"""

from __future__ import annotations

from api.cells import age
from api.object import Tree, at
from api.pod_containers import ALWAYS


def pod_status(pod: Tree) -> str:
    """What a person wants to know of a pod in one word: the worst of phase, containers and deletion."""
    if at(pod, "metadata.deletionTimestamp"):
        return "Unknown" if at(pod, "status.reason") == "NodeLost" else "Terminating"
    _, hurdle = _init_hurdle(pod)
    if hurdle and not _true(pod, "Initialized"):
        return hurdle
    reason = str(at(pod, "status.reason") or at(pod, "status.phase") or "Pending")
    running = False
    for container in reversed(_statuses(pod)):
        state = container.get("state", {})
        if at(state, "waiting.reason"):
            reason = str(at(state, "waiting.reason"))
        elif "terminated" in state:
            reason = _end(state["terminated"])
        elif "running" in state and container.get("ready"):
            running = True
    if reason == "Completed" and running:
        return "Running" if _true(pod, "Ready") else "NotReady"
    return reason


def pod_ready(pod: Tree, _now: float) -> str:
    """Ready containers of all; sidecars count among them, other init containers do not."""
    inits, sidecars = _tried_inits(pod), _sidecars(pod)
    ready = [each for each in inits if each.get("name") in sidecars and _serves(each)]
    if _through(pod):
        ready += [each for each in _statuses(pod) if each.get("ready") and "running" in each.get("state", {})]
    return f"{len(ready)}/{len(sidecars) + len(at(pod, 'spec.containers', []))}"


def pod_restarts(pod: Tree, now: float) -> str:
    """Restarts, and how long ago the last one was: of the init containers until they are through, then of the others."""
    counted = _tried_inits(pod)
    if _through(pod):
        sidecars = _sidecars(pod)
        counted = [*(each for each in counted if each.get("name") in sidecars), *_statuses(pod)]
    total = sum(each.get("restartCount", 0) for each in counted)
    last = max((at(each, "lastState.terminated.finishedAt") for each in counted), default="")
    return f"{total} ({age(last, now)} ago)" if total and last else str(total)


def _init_hurdle(pod: Tree) -> tuple[int, str]:
    """The place of the first init container that is not through, and what it does; "" when all are."""
    sidecars = _sidecars(pod)
    statuses = at(pod, "status.initContainerStatuses", [])
    for place, each in enumerate(statuses):
        state = each.get("state", {})
        ended = state.get("terminated")
        if ended is not None and not ended.get("exitCode", 0):
            continue
        if each.get("name") in sidecars and each.get("started"):
            continue
        if ended is not None:
            return place, f"Init:{_end(ended)}"
        waiting = at(state, "waiting.reason")
        if waiting and waiting != "PodInitializing":
            return place, f"Init:{waiting}"
        return place, f"Init:{place}/{len(at(pod, 'spec.initContainers', []))}"
    return len(statuses), ""


def _tried_inits(pod: Tree) -> list[Tree]:
    """The statuses of the init containers up to the first one that is not through."""
    place, _ = _init_hurdle(pod)
    return list(at(pod, "status.initContainerStatuses", []))[: place + 1]


def _through(pod: Tree) -> bool:
    """Whether the main containers are what counts."""
    return not _init_hurdle(pod)[1] or _true(pod, "Initialized")


def _serves(sidecar: Tree) -> bool:
    return bool(sidecar.get("started") and sidecar.get("ready")) and "terminated" not in sidecar.get("state", {})


def _sidecars(pod: Tree) -> frozenset[str]:
    inits = at(pod, "spec.initContainers", [])
    return frozenset(each.get("name", "") for each in inits if each.get("restartPolicy") == ALWAYS)


def _true(pod: Tree, condition: str) -> bool:
    return any(
        each.get("type") == condition and each.get("status") == "True" for each in at(pod, "status.conditions", [])
    )


def _end(terminated: Tree) -> str:
    signal = terminated.get("signal")
    code = f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode', 0)}"
    return str(terminated.get("reason") or code)


def _statuses(pod: Tree) -> list[Tree]:
    return list(at(pod, "status.containerStatuses", []))
