"""What is special about ephemeral containers on the node: they start as soon as the pod has its surroundings, and run once.

Pure. They take no part in what becomes of the pod (Kubernetes: "Ephemeral Containers").
"""

from __future__ import annotations

from agent.container_status import LOST_EXIT_CODE, UNKNOWN_REASON, Health, container_view
from agent.environment import ConfigError
from agent.observed import Observed, attempts
from agent.progress import belongs
from api.core import Container as ContainerSpec
from api.core import EphemeralContainer, Pod
from api.object import Tree
from api.pod_containers import is_ephemeral


def has_run(pod: Pod, name: str) -> bool:
    """Whether an ephemeral container of which nothing is left here was told to have been there: it does not run again."""
    told = pod.status.ephemeral_container_statuses
    return is_ephemeral(pod.spec, name) and any(status.name == name and status.container_id for status in told)


def process_target(spec: ContainerSpec, observed: Observed) -> str:
    """The id of the container whose processes a new one is to see, "" for its own only. ConfigError while it does not run."""
    name = spec.target_container_name if isinstance(spec, EphemeralContainer) else None
    if not name:
        return ""
    tries = attempts(observed, name)
    if not tries or tries[-1].state != "running" or not belongs(observed, tries[-1]):
        raise ConfigError(f"unable to find target container {name}: it is not running")
    return tries[-1].id


def ephemeral_view(pod: Pod, spec: ContainerSpec, observed: Observed, told: Tree | None, now: float) -> Tree:
    """The status of an ephemeral container, which is never ready; `told` is what was reported before, if anything.

    That holds when nothing is left of it: how it ended, or else that nobody knows.
    """
    if told is not None and told.get("containerID") and not attempts(observed, spec.name):
        if "terminated" in told["state"]:
            return told
        ended = {"containerID": told["containerID"], "exitCode": LOST_EXIT_CODE, "reason": UNKNOWN_REASON}
        return {**told, "state": {"terminated": ended}}
    tree = container_view(pod, spec, observed, Health(), now).tree
    return {name: value for name, value in tree.items() if name != "started"} | {"ready": False}
