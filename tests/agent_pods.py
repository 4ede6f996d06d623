"""Pods, containers and a tiny simulated node for tests of the agent's pure cores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from agent import actions as act
from agent.backoff import next_backoff
from agent.desired import Desired, spec_hash
from agent.observed import Observed, Stop, dead
from agent.pod_sync import pod_actions
from agent.progress import ending
from agent.runtime.protocol import Container, Image, Sandbox
from api.core import Pod
from api.pod_containers import find_container, is_sidecar

NOW = 1_750_000_000.0
SANDBOX = Sandbox("uid-web", "/net", "/ipc", "/uts", "/shm")


def pod(*names: str, deleted: bool = False, grace: int | None = None, phase: str = "Running", **spec: Any) -> Pod:
    """A pod with containers of these names (default: main); `containers` in `spec` replaces them."""
    meta: dict[str, Any] = {"name": "web", "namespace": "default", "uid": "uid-web"}
    if deleted:
        meta["deletionTimestamp"] = "2025-06-15T15:06:40Z"
        meta["deletionGracePeriodSeconds"] = 30 if grace is None else grace
    containers = [{"name": name, "image": "localhost/busybox:1"} for name in names or ("main",)]
    tree = {"metadata": meta, "spec": {"containers": containers, **spec}, "status": {"phase": phase}}
    return msgspec.convert(tree, Pod)


def container(
    name: str = "main", attempt: int = 0, state: str = "running", code: int = 0, *, of: Pod | None = None, **fields: Any
) -> Container:
    """A container that started 100 s ago and, if it ended, ended just now."""
    spec = find_container((of or pod(name)).spec, name)
    times = {"started_time": NOW - 100} if state != "created" else {}
    if state in {"exited", "unknown"}:
        times["finished_time"] = NOW
    facts = {"spec_hash": spec_hash(spec) if spec is not None else "", "exit_code": code, **times, **fields}
    return Container(id=f"{name}-{attempt}", pod_uid="uid-web", name=name, attempt=attempt, state=state, **facts)


def settled(*containers: Container, **facts: Any) -> Observed:
    """A pod whose surroundings are made and checked."""
    defaults = {
        "sandbox": SANDBOX,
        "sandbox_present": True,
        "attached": True,
        "network_present": True,
        "network_ready": True,
        "ip": "10.244.1.2",
        "volumes_made": True,
        "volumes_present": True,
        "files_present": True,
    }
    return Observed(containers=containers, **{**defaults, **facts})


def performed(observed: Observed, action: act.Action, now: float, pod_: Pod | None) -> Observed:  # noqa: C901, PLR0911, PLR0912
    """The node after an action that worked; a killed or asked container ends at once, so does an init container."""
    match action:
        case act.MakeSandbox():
            sandbox = replace(SANDBOX, id="anew") if observed.sandbox_lost else SANDBOX
            return replace(observed, sandbox=sandbox, sandbox_present=True, sandbox_lost=False)
        case act.AttachNetwork():
            return replace(observed, attached=True, network_present=True, ip="10.244.1.2")
        case act.MakeVolumes():
            return replace(observed, volumes_made=True, volumes_present=True, files_present=True)
        case act.RefreshVolumes():
            return replace(observed, volumes_stale=False)
        case act.PullImage(name):
            image = Image("id", ("localhost/busybox:1",), 1)
            return replace(observed, images={**observed.images, name: image})
        case act.CreateContainer(name, attempt):
            restarts = dict(observed.restarts)
            ended = [c.finished_time for c in observed.containers if c.name == name and dead(c)]
            if ended:
                restarts[name] = next_backoff(restarts.get(name), max(ended), now)
            assert observed.sandbox is not None
            made = container(name, attempt, "created", of=pod_, sandbox_id=observed.sandbox.id)
            images = {key: image for key, image in observed.images.items() if key != name}
            return replace(observed, containers=(*observed.containers, made), restarts=restarts, images=images)
        case act.StartContainer(container_id):
            observed = replace(observed, started=observed.started | {container_id})
            if pod_ is not None and container_id.rpartition("-")[0] in ending_names(pod_):
                return _changed(observed, container_id, state="exited", started_time=now, finished_time=now)
            return _changed(observed, container_id, state="running", started_time=now)
        case act.BeginStop(container_id, reason, message, grace):
            return replace(observed, stops={**observed.stops, container_id: Stop(reason, message, now, grace)})
        case act.RunPreStop(container_id, _):
            return replace(observed, hooks={**observed.hooks, container_id: "done"})
        case act.SignalTerm(container_id):
            observed = replace(observed, signalled={**observed.signalled, container_id: now})
            return _changed(observed, container_id, state="exited", exit_code=143, finished_time=now)
        case act.Kill(container_id):
            observed = replace(observed, killed={**observed.killed, container_id: now})
            return _changed(observed, container_id, state="exited", exit_code=137, finished_time=now)
        case act.RemoveContainer(container_id):
            return replace(observed, containers=tuple(c for c in observed.containers if c.id != container_id))
        case act.Detach():
            return replace(observed, network_present=False, attached=False)
        case act.RemoveVolumes():
            return replace(observed, volumes_present=False, volumes_made=False)
        case act.RemoveSandbox():
            return replace(observed, sandbox_present=False, sandbox=None)
        case act.RemoveFiles():
            return replace(observed, files_present=False)
        case act.ReportGone():
            return replace(observed, gone_reported=True)
    raise AssertionError(action)


def converged(desired: Desired, observed: Observed, now: float = NOW) -> tuple[Observed, list[act.Action], float]:
    """Decide and perform until nothing is to be done or to be waited for; time passes only in waits."""
    log: list[act.Action] = []
    for _ in range(200):
        if ending(desired, observed) and not observed.termination_time:
            observed = replace(observed, termination_time=now)
        found = pod_actions(desired, observed, now)
        if not found:
            return observed, log, now
        work = [action for action in found if not isinstance(action, act.Wait)]
        if work:
            observed = performed(observed, work[0], now, desired.pod)
            log.append(work[0])
        else:
            assert found[0].until_time > now, "a wait must end in the future"
            now = found[0].until_time
    raise AssertionError(f"no end after {log[-5:]}")


def ending_names(of: Pod) -> set[str]:
    """The init containers that run to their end."""
    return {spec.name for spec in of.spec.init_containers if not is_sidecar(spec)}


def _changed(observed: Observed, container_id: str, **facts: Any) -> Observed:
    changed = tuple(replace(c, **facts) if c.id == container_id else c for c in observed.containers)
    return replace(observed, containers=changed)
