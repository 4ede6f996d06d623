"""What a pod's stored status tells of containers that the node does not know any more. Pure.

How a container ended is reported within moments. A node that loses power then may find the container without its end, or
without the container, while the control plane remembers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agent.container_status import UNKNOWN_REASON, container_id
from agent.runtime.protocol import Container
from api.core import ContainerStateTerminated, Pod
from api.pod_containers import every_status
from component.env import parse_time


def recalled(container: Container, pod: Pod) -> Container:
    """The container as it was told to have ended, if nobody on the node knows how it did; else as it is."""
    if container.state != "unknown":
        return container
    for ended in _told_ends(pod):
        if ended.container_id == container_id(container) and ended.reason != UNKNOWN_REASON:
            return replace(
                container,
                state="exited",
                exit_code=ended.exit_code,
                started_time=_instant(ended.started_at),
                finished_time=_instant(ended.finished_at),
                oom_killed=ended.reason == "OOMKilled",
                message=ended.message or "",
            )
    return container


def completed_names(pod: Pod) -> Iterator[str]:
    """The init containers that were told to have succeeded."""
    for status in pod.status.init_container_statuses:
        ended = status.state.terminated if status.state is not None else None
        if ended is not None and ended.exit_code == 0:
            yield status.name


def _told_ends(pod: Pod) -> Iterator[ContainerStateTerminated]:
    for status in every_status(pod.status):
        for state in (status.state, status.last_state):
            if state is not None and state.terminated is not None:
                yield state.terminated


def _instant(stamp: str | None) -> float:
    """Seconds since the epoch; 0 for none, and for what is no time, which nobody keeps out of a status."""
    try:
        return parse_time(stamp) if stamp else 0.0
    except ValueError:
        return 0.0
