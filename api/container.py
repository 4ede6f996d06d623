"""One container of a pod, as its author describes it."""

from __future__ import annotations

import msgspec

from api.env import EnvFromSource, EnvVar
from api.meta import Quantity, Resource, required
from api.probe import Lifecycle, Probe
from api.security import SecurityContext


class ContainerPort(Resource):
    """A port the container listens on, 1 to 65535; documentation unless `host_port` is set."""

    name: str | None = None
    container_port: int = required(0)
    protocol: str | None = None
    host_ip: str | None = msgspec.field(name="hostIP", default=None)
    host_port: int | None = None


class ResourceClaim(Resource):
    """An entry of the pod's resource claims that this container uses."""

    name: str = required("")
    request: str | None = None


class ResourceRequirements(Resource):
    """`requests` is reserved when the pod is placed, `limits` is enforced while it runs."""

    claims: tuple[ResourceClaim, ...] = ()
    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}


class ContainerResizePolicy(Resource):
    """Whether a change of this resource needs a restart: NotRequired or RestartContainer."""

    resource_name: str = required("")
    restart_policy: str = required("")


class ContainerRestartRuleOnExitCodes(Resource):
    """In or NotIn a list of exit codes."""

    operator: str = required("")
    values: tuple[int, ...] = ()


class ContainerRestartRule(Resource):
    """What to do when the exit code matches; the first matching rule wins."""

    action: str = required("")
    exit_codes: ContainerRestartRuleOnExitCodes | None = None


class VolumeDevice(Resource):
    """A raw block device of the pod made visible in the container."""

    name: str = required("")
    device_path: str = required("")


class VolumeMount(Resource):
    """A volume of the pod made visible below `mount_path`."""

    name: str = required("")
    bind_mount_options: tuple[str, ...] = ()
    mount_path: str = required("")
    mount_propagation: str | None = None
    read_only: bool | None = None
    recursive_read_only: str | None = None
    sub_path: str | None = None
    sub_path_expr: str | None = None


class Container(Resource):
    """A program with its image, environment, resources, mounts, probes and hooks.

    `command` replaces the image's entry point, `args` its default arguments. Names are unique in a pod.
    """

    name: str = required("")
    image: str | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    image_pull_policy: str | None = None
    lifecycle: Lifecycle | None = None
    liveness_probe: Probe | None = None
    ports: tuple[ContainerPort, ...] = ()
    readiness_probe: Probe | None = None
    resize_policy: tuple[ContainerResizePolicy, ...] = ()
    resources: ResourceRequirements | None = None
    restart_policy: str | None = None
    restart_policy_rules: tuple[ContainerRestartRule, ...] = ()
    security_context: SecurityContext | None = None
    startup_probe: Probe | None = None
    stdin: bool | None = None
    stdin_once: bool | None = None
    termination_message_path: str | None = None
    termination_message_policy: str | None = None
    tty: bool | None = None
    volume_devices: tuple[VolumeDevice, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    working_dir: str | None = None


class EphemeralContainer(Container):
    """A container added to a running pod for debugging; never restarted.

    `target_container_name`: the container of the pod whose processes it sees; none: only its own.
    """

    target_container_name: str | None = None
