"""How far a pod is: which of its containers have their turn, which of them start again, whether it is over. Pure.

Init containers run one after the other. One that is no sidecar is through once it succeeded, a sidecar once it runs and
its startup probe succeeded; then the next one has its turn, in the end the main containers. New namespaces (after a boot)
begin anew with the first. All of it is read from what is on the node, so that it makes sense after any crash.
"""

from __future__ import annotations

from agent.desired import Desired, terminating
from agent.observed import Observed, attempts, dead, finished_phase
from agent.runtime.protocol import Container
from api.core import Container as ContainerSpec
from api.core import Pod
from api.pod_containers import is_ephemeral, is_sidecar


def belongs(observed: Observed, container: Container) -> bool:
    """Whether a container was made for the namespaces that the pod has now, not for those of before a boot.

    Until the namespaces were looked for, containers count as theirs unless they are known to be lost.
    """
    if observed.sandbox is None:
        return not observed.sandbox_lost
    return container.sandbox_id in {"", observed.sandbox.id}


def init_stage(pod: Pod, observed: Observed) -> int:
    """The place of the init container whose turn it is; their number when all are through.

    Whoever has begun proves that those before it were through, whatever became of them since.
    """
    inits = pod.spec.init_containers
    if not inits:
        return 0
    main = {spec.name for spec in pod.spec.containers}
    if any(container.name in main and belongs(observed, container) for container in observed.containers):
        return len(inits)
    for place in range(len(inits) - 1, -1, -1):
        if _begun(inits[place], observed):
            return place + 1 if _through(inits[place], observed) else place
    return 0


def initialized(pod: Pod, observed: Observed) -> bool:
    """Whether the main containers have their turn."""
    return init_stage(pod, observed) == len(pod.spec.init_containers)


def at_turn(pod: Pod, observed: Observed) -> tuple[ContainerSpec, ...]:
    """The containers that shall run now, in the order in which they start."""
    inits = pod.spec.init_containers
    if not inits:
        return pod.spec.containers
    stage = init_stage(pod, observed)
    turn = tuple(spec for place, spec in enumerate(inits) if place == stage or (place < stage and is_sidecar(spec)))
    return turn + pod.spec.containers if stage == len(inits) else turn


def restarts(pod: Pod, container: Container, observed: Observed) -> bool:
    """Whether a container that ended is started again as long as the pod is not over.

    An ephemeral one never, a sidecar always, an init container until it succeeded in the namespaces there are, others as the pod's policy says.
    """
    if is_ephemeral(pod.spec, container.name):
        return False
    policy = pod.spec.restart_policy or "Always"
    failed = container.exit_code != 0 or container.state == "unknown"
    for spec in pod.spec.init_containers:
        if spec.name == container.name:
            return is_sidecar(spec) or (policy != "Never" if failed else not belongs(observed, container))
    return failed if policy == "OnFailure" else policy == "Always"


def init_failed(pod: Pod, observed: Observed) -> bool:
    """Whether an init container failed and is not to be tried again, which ends the pod."""
    if pod.spec.restart_policy != "Never":
        return False
    specs = [spec for spec in pod.spec.init_containers if not is_sidecar(spec)]
    ends = [last for spec in specs if (last := _latest(spec, observed)) is not None and dead(last)]
    return any(last.exit_code != 0 or last.state == "unknown" for last in ends)


def finished(pod: Pod, observed: Observed) -> bool:
    """Whether the pod is over though nobody deleted it: every container ended for good, or the node gave it up.

    Sidecars do not keep it.
    """
    if observed.verdict is not None or finished_phase(pod) or init_failed(pod, observed):
        return True
    latest = [_latest(spec, observed) for spec in pod.spec.containers]
    return all(last is not None and dead(last) and not restarts(pod, last, observed) for last in latest)


def ending(desired: Desired, observed: Observed) -> bool:
    """Whether the pod's containers shall end, for whatever reason; the grace counts from when this became true."""
    return desired.pod is None or terminating(desired) or finished(desired.pod, observed)


def completed(spec: ContainerSpec, observed: Observed) -> bool:
    """Whether an init container that is no sidecar did its work, also when nothing but our memory of it is left."""
    last = _latest(spec, observed)
    if last is None or not belongs(observed, last):
        return spec.name in observed.completed
    return last.state == "exited" and last.exit_code == 0


def _latest(spec: ContainerSpec, observed: Observed) -> Container | None:
    tries = attempts(observed, spec.name)
    return tries[-1] if tries else None


def _begun(spec: ContainerSpec, observed: Observed) -> bool:
    last = _latest(spec, observed)
    return (last is not None and belongs(observed, last)) or spec.name in observed.completed


def _through(spec: ContainerSpec, observed: Observed) -> bool:
    """Whether the container after this one may start."""
    if not is_sidecar(spec):
        return completed(spec, observed)
    last = _latest(spec, observed)
    if last is None or last.state != "running" or last.id in observed.starting:
        return False
    return spec.startup_probe is None or last.id in observed.started
