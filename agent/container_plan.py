"""From a container of a pod to what the runtime is asked for: pure. Knows Kubernetes' rules, not Podman's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.desired import spec_hash
from agent.environment import ConfigError, expand
from agent.runtime.protocol import ContainerSpec, Image, Mount, ResourceLimits, Sandbox
from api import quantity
from api.core import Container, Pod, PodSecurityContext, SecurityContext
from api.pod_containers import sidecar_names
from api.resources import qos_class

GUARANTEED_OOM_SCORE = -997
BEST_EFFORT_OOM_SCORE = 1000


def cgroup_parent(cgroup_root: str, pod_uid: str) -> str:
    """The cgroup that all containers of a pod are in."""
    return f"{cgroup_root.rstrip('/')}/pod{pod_uid}"


def shm_bytes() -> int:
    """The size of a pod's /dev/shm (what containerd gives)."""
    return 64 << 20


def container_spec(
    pod: Pod,
    container: Container,
    *,
    attempt: int,
    image: Image,
    sandbox: Sandbox,
    variables: Mapping[str, str],
    mounts: Sequence[Mount],
    log_path: str,
    cgroup_root: str,
    memory_capacity_bytes: int,
    process_target: str = "",
) -> ContainerSpec:
    """Return what to run; `variables` is the whole environment, `process_target` the id of a container. Raises ConfigError."""
    pod_context = pod.spec.security_context or PodSecurityContext()
    context = container.security_context or SecurityContext()
    capabilities = context.capabilities
    return ContainerSpec(
        pod_uid=pod.metadata.uid,
        pod_namespace=pod.metadata.namespace,
        pod_name=pod.metadata.name,
        name=container.name,
        attempt=attempt,
        spec_hash=spec_hash(container),
        image=image.id,
        sandbox=sandbox,
        log_path=log_path,
        cgroup_parent=cgroup_parent(cgroup_root, pod.metadata.uid),
        command=_expanded(container.command, variables),
        args=_expanded(container.args, variables),
        env=tuple(variables.items()),
        mounts=tuple(mounts),
        working_dir=container.working_dir or "",
        user=_user(container.name, context, pod_context, image.user),
        groups=tuple(str(group) for group in _groups(pod_context)),
        limits=resource_limits(pod, container, memory_capacity_bytes),
        privileged=bool(context.privileged),
        read_only_root=bool(context.read_only_root_filesystem),
        cap_add=capabilities.add if capabilities is not None else (),
        cap_drop=capabilities.drop if capabilities is not None else (),
        no_new_privileges=context.allow_privilege_escalation is False,
        stdin=bool(container.stdin),
        tty=bool(container.tty),
        host_network=bool(pod.spec.host_network),
        host_pid=bool(pod.spec.host_pid),
        process_target=process_target,
    )


def resource_limits(pod: Pod, container: Container, memory_capacity_bytes: int) -> ResourceLimits:
    """The container's cgroup settings; a request that is absent is the limit."""
    resources = container.resources
    limits = resources.limits if resources is not None else {}
    requests = (dict(limits) | dict(resources.requests)) if resources is not None else {}
    return ResourceLimits(
        cpu_request_millicores=quantity.millicores(requests.get("cpu", 0)),
        cpu_limit_millicores=quantity.millicores(limits.get("cpu", 0)),
        memory_limit_bytes=quantity.whole(limits.get("memory", 0)),
        oom_score_adj=_oom_score(pod, _guarded_bytes(pod, container), memory_capacity_bytes),
    )


def _guarded_bytes(pod: Pod, container: Container) -> int:
    """The memory request that counts when memory runs out: a sidecar goes no earlier than those it serves (KEP-753)."""
    own = _request_bytes(container)
    served = min(map(_request_bytes, pod.spec.containers), default=0)
    return max(own, served) if container.name in sidecar_names(pod.spec) else own


def _request_bytes(container: Container) -> int:
    resources = container.resources
    asked = (dict(resources.limits) | dict(resources.requests)) if resources is not None else {}
    return quantity.whole(asked.get("memory", 0))


def _oom_score(pod: Pod, request_bytes: int, capacity_bytes: int) -> int:
    """Who goes first when the node is out of memory (Kubernetes: "Node out of memory behavior")."""
    match qos_class(pod.spec):
        case "Guaranteed":
            return GUARANTEED_OOM_SCORE
        case "BestEffort":
            return BEST_EFFORT_OOM_SCORE
        case _:
            score = 1000 - 1000 * request_bytes // max(capacity_bytes, 1)
            return min(max(score, 1000 + GUARANTEED_OOM_SCORE), BEST_EFFORT_OOM_SCORE - 1)


def _expanded(words: Sequence[str], variables: Mapping[str, str]) -> tuple[str, ...] | None:
    return tuple(expand(word, variables) for word in words) or None


def _user(name: str, context: SecurityContext, pod_context: PodSecurityContext, image_user: str) -> str:
    user = context.run_as_user if context.run_as_user is not None else pod_context.run_as_user
    group = context.run_as_group if context.run_as_group is not None else pod_context.run_as_group
    non_root = context.run_as_non_root if context.run_as_non_root is not None else pod_context.run_as_non_root
    if non_root and user == 0:
        raise ConfigError(f"container's runAsUser breaks non-root policy (container {name})")
    if non_root and user is None:
        _check_image_user(name, image_user.partition(":")[0])
    if user is None:
        if group is not None:
            raise ConfigError(f"runAsGroup is given without runAsUser (container {name})")
        return ""
    return f"{user}:{group}" if group is not None else str(user)


def _check_image_user(name: str, user: str) -> None:
    """Raises ConfigError unless the image says by number that its user is not root (as Kubernetes)."""
    if user and not user.isdecimal():
        message = f"container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root"
        raise ConfigError(f"{message} (container {name})")
    if not user or int(user) == 0:
        raise ConfigError(f"container has runAsNonRoot and image will run as root (container {name})")


def _groups(context: PodSecurityContext) -> list[int]:
    groups = list(context.supplemental_groups)
    if context.fs_group is not None and context.fs_group not in groups:
        groups.append(context.fs_group)
    return groups
