"""What can be done for one pod: one frozen value per action.

`agent.pod_sync` decides which; `agent.worker` performs them. Every action may be repeated without harm.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MakeSandbox:
    """Pin the pod's namespaces, or find the ones there are."""


@dataclass(frozen=True, slots=True)
class AttachNetwork:
    """Give the pod its address."""


@dataclass(frozen=True, slots=True)
class MakeVolumes:
    """Make the volumes and the pod's own files ready to be mounted."""


@dataclass(frozen=True, slots=True)
class RefreshVolumes:
    """Bring the contents of mounted ConfigMaps and Secrets up to date."""


@dataclass(frozen=True, slots=True)
class PullImage:
    """Make sure that the container's image is here. Runs beside the other actions."""

    container: str


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """Create the given attempt; 0 is the first."""

    container: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Start a created container."""

    container_id: str


@dataclass(frozen=True, slots=True)
class BeginStop:
    """Decide to end a running container; `grace_seconds` counts from now."""

    container_id: str
    reason: str
    message: str
    grace_seconds: float


@dataclass(frozen=True, slots=True)
class RunPreStop:
    """Run the container's preStop hook. Runs beside the other actions."""

    container_id: str
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class SignalTerm:
    """Ask the container to end."""

    container_id: str


@dataclass(frozen=True, slots=True)
class Kill:
    """End the container now."""

    container_id: str


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Remove a container that does not run, with its log."""

    container_id: str


@dataclass(frozen=True, slots=True)
class Detach:
    """Free the pod's address."""


@dataclass(frozen=True, slots=True)
class RemoveVolumes:
    """Unmount and remove the pod's volumes and files."""


@dataclass(frozen=True, slots=True)
class RemoveFiles:
    """Remove what is kept for a finished pod: logs and messages of its containers."""


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """Unpin the pod's namespaces and remove its cgroups."""


@dataclass(frozen=True, slots=True)
class ReportGone:
    """Tell the control plane that nothing of the pod is left."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing more to do before this instant (seconds since the epoch) unless something happens."""

    until_time: float


Action = (
    MakeSandbox
    | AttachNetwork
    | MakeVolumes
    | RefreshVolumes
    | PullImage
    | CreateContainer
    | StartContainer
    | BeginStop
    | RunPreStop
    | SignalTerm
    | Kill
    | RemoveContainer
    | Detach
    | RemoveVolumes
    | RemoveSandbox
    | RemoveFiles
    | ReportGone
    | Wait
)
