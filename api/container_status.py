"""What the agent saw of the containers of a pod."""

from __future__ import annotations

import msgspec

from api.container import ResourceRequirements
from api.meta import Quantity, Resource, required


class ResourceHealth(Resource):
    """Health of one device given to the container."""

    health: str | None = None
    message: str | None = None
    resource_id: str = required("", name="resourceID")


class ResourceStatus(Resource):
    """Health of the devices behind one resource name."""

    name: str = required("")
    resources: tuple[ResourceHealth, ...] = ()


class ContainerStateWaiting(Resource):
    """Not running yet, or not again yet; `reason` such as ImagePullBackOff."""

    message: str | None = None
    reason: str | None = None


class ContainerStateRunning(Resource):
    """Running since `started_at`."""

    started_at: str | None = None


class ContainerStateTerminated(Resource):
    """Ended; `reason` such as Completed, Error or OOMKilled. A `signal` of 0 means none."""

    container_id: str | None = msgspec.field(name="containerID", default=None)
    exit_code: int = required(0)
    finished_at: str | None = None
    message: str | None = None
    reason: str | None = None
    signal: int | None = None
    started_at: str | None = None


class ContainerState(Resource):
    """Exactly one is set; none means waiting."""

    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None
    waiting: ContainerStateWaiting | None = None


class LinuxContainerUser(Resource):
    """Numeric ids of the first process."""

    gid: int = required(0)
    supplemental_groups: tuple[int, ...] = ()
    uid: int = required(0)


class ContainerUser(Resource):
    """Identity of the first process, by operating system."""

    linux: LinuxContainerUser | None = None


class ImageVolumeStatus(Resource):
    """The image behind an image volume, by digest."""

    image_ref: str = required("")


class VolumeStatus(Resource):
    """State that depends on the kind of volume."""

    image: ImageVolumeStatus | None = None


class VolumeMountStatus(Resource):
    """How a mount really turned out."""

    name: str = required("")
    mount_path: str = required("")
    read_only: bool | None = None
    recursive_read_only: str | None = None
    volume_status: VolumeStatus | None = None


class ContainerStatus(Resource):
    """One container as seen last.

    `ready` says that it may receive traffic, `started` that its startup probe has succeeded. `restart_count` never goes down.
    """

    name: str = required("")
    image: str = required("")
    allocated_resources: dict[str, Quantity] = {}
    allocated_resources_status: tuple[ResourceStatus, ...] = ()
    container_id: str | None = msgspec.field(name="containerID", default=None)
    image_id: str = required("", name="imageID")
    last_state: ContainerState | None = None
    ready: bool = required(value=False)
    resources: ResourceRequirements | None = None
    restart_count: int = required(0)
    started: bool | None = None
    state: ContainerState | None = None
    stop_signal: str | None = None
    user: ContainerUser | None = None
    volume_mounts: tuple[VolumeMountStatus, ...] = ()
