"""What the agent knows of one pod on its node, as one immutable value. Holds facts, decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent.backoff import Backoff
from agent.runtime.protocol import Container, Image, Sandbox
from api.core import Pod

HookState = Literal["running", "done"]


@dataclass(frozen=True, slots=True)
class Failure:
    """The last time a step did not work, and when to try it again (seconds since the epoch)."""

    reason: str
    message: str
    delay_seconds: float
    retry_time: float


@dataclass(frozen=True, slots=True)
class Stop:
    """A decision to end one running container while its pod goes on."""

    reason: str
    message: str
    began_time: float
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why the node gave a pod up for good: shown as the reason of phase Failed."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One pod's containers and surroundings.

    The `*_present` flags say that something is there which has to go in the end; `sandbox`, `attached` and
    `volumes_made` that it was found to be in order by this run of the agent. `failures` are keyed by step:
    "sandbox", "network", "volumes", "remove", "image:NAME" and "create:NAME". `stops`, `hooks`, `signalled`,
    `killed` and `start_failed` are keyed by container id; `starting` are the ids of running containers whose postStart
    hook has not ended, `started` those whose startup probe succeeded. `restarts`, `images` and `pulling` by container
    name; `completed` names containers that succeeded in these namespaces and were removed since.
    """

    containers: tuple[Container, ...] = ()
    sandbox: Sandbox | None = None
    sandbox_present: bool = False
    sandbox_lost: bool = False
    attached: bool = False
    network_present: bool = False
    network_ready: bool = False
    ip: str = ""
    volumes_made: bool = False
    volumes_present: bool = False
    volumes_stale: bool = False
    files_present: bool = False
    images: Mapping[str, Image] = field(default_factory=dict)
    pulling: frozenset[str] = frozenset()
    failures: Mapping[str, Failure] = field(default_factory=dict)
    restarts: Mapping[str, Backoff] = field(default_factory=dict)
    stops: Mapping[str, Stop] = field(default_factory=dict)
    hooks: Mapping[str, HookState] = field(default_factory=dict)
    starting: frozenset[str] = frozenset()
    started: frozenset[str] = frozenset()
    completed: frozenset[str] = frozenset()
    signalled: Mapping[str, float] = field(default_factory=dict)
    killed: Mapping[str, float] = field(default_factory=dict)
    start_failed: frozenset[str] = frozenset()
    termination_time: float = 0.0  # when this agent first saw that the pod shall end, 0: it shall not
    serving: bool = False  # an EndpointSlice we know of still sends traffic here
    left_service_time: float = 0.0  # when the last one stopped, 0: none did since termination began
    verdict: Verdict | None = None
    gone_reported: bool = False


def attempts(observed: Observed, name: str) -> list[Container]:
    """The container's attempts, oldest first."""
    return sorted((c for c in observed.containers if c.name == name), key=lambda c: c.attempt)


def running(observed: Observed) -> list[Container]:
    """Containers with a process, by name and attempt."""
    return sorted((c for c in observed.containers if c.state == "running"), key=lambda c: (c.name, c.attempt))


def dead(container: Container) -> bool:
    """Whether the container ran (or was lost) and will never run again."""
    return container.state in {"exited", "unknown"}


def finished_phase(pod: Pod) -> bool:
    """Whether the stored status says that the pod is over."""
    return pod.status.phase in {"Succeeded", "Failed"}
