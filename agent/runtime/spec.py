"""What Podman is told to create, from a ContainerSpec. Pure: no socket, no file, no clock.

Field names are those of libpod's SpecGenerator (POST /libpod/containers/create). Networks, /etc/hosts,
/etc/resolv.conf, probes and restarts are the agent's, so everything Podman would do about them is switched off.
"""

from __future__ import annotations

from typing import Any

from agent.runtime.protocol import ContainerSpec, Mount, ResourceLimits

LABEL_POD_UID = "timonier.pod-uid"
LABEL_POD_NAMESPACE = "timonier.pod-namespace"
LABEL_POD_NAME = "timonier.pod-name"
LABEL_CONTAINER = "timonier.container"
LABEL_ATTEMPT = "timonier.attempt"
LABEL_SPEC_HASH = "timonier.spec-hash"
LABEL_LOG_PATH = "timonier.log-path"
LABEL_SANDBOX = "timonier.sandbox"

CPU_PERIOD_MICROSECONDS = 100_000
MIN_CPU_QUOTA_MICROSECONDS = 1_000  # the kernel refuses less
MIN_CPU_SHARES = 2


def container_name(pod_uid: str, name: str, attempt: int) -> str:
    """The name of one attempt at running a container; derived, so that a repeated create finds it."""
    return f"{pod_uid}_{name}_{attempt}"


def belongs_to(name: str, pod_uid: str) -> bool:
    """Whether a `container_name` is one of this pod's."""
    return name.startswith(f"{pod_uid}_")


def create_request(
    spec: ContainerSpec, *, hostname: str, hostname_path: str, processes_path: str = ""
) -> dict[str, Any]:
    """Return the JSON body of the create call; `processes_path` is a process namespace to join, "" for one of its own.

    `hostname` is the pod's (HOSTNAME unless the environment says otherwise), `hostname_path` a file to bind to
    /etc/hostname; both are "" when the pod has the host's name.
    """
    request: dict[str, Any] = {
        "name": container_name(spec.pod_uid, spec.name, spec.attempt),
        "image": spec.image,
        "labels": labels(spec),
        "env": _environment(spec, hostname),
        "mounts": [_mount(mount) for mount in _mounts(spec, hostname_path)],
        "log_configuration": {"driver": "k8s-file", "path": spec.log_path},
        "cgroup_parent": spec.cgroup_parent,
        "resource_limits": _resources(spec.limits),
        "oom_score_adj": spec.limits.oom_score_adj,
        "netns": _namespace("" if spec.host_network else spec.sandbox.netns_path),
        "ipcns": _namespace(spec.sandbox.ipcns_path),
        "utsns": _namespace(spec.sandbox.utsns_path),
        "pidns": _processes(spec, processes_path),
        "stdin": spec.stdin,
        "terminal": spec.tty,
        "privileged": spec.privileged,
        "read_only_filesystem": spec.read_only_root,
        "no_new_privileges": spec.no_new_privileges,
        "restart_policy": "no",
        "use_image_hosts": True,
        "use_image_resolve_conf": True,
        "httpproxy": False,
        "systemd": "false",
        "sdnotifyMode": "ignore",
        "healthconfig": {"Test": ["NONE"]},
    }
    optional: dict[str, Any] = {
        "entrypoint": list(spec.command or ()),
        "command": list(spec.args or ()),
        "work_dir": spec.working_dir,
        "create_working_dir": True,  # as the runtimes below Kubernetes do; Podman would refuse to start
        "user": spec.user,
        "groups": list(spec.groups),
        "cap_add": list(spec.cap_add),
        "cap_drop": list(spec.cap_drop),
    }
    return request | {key: value for key, value in optional.items() if value}


def labels(spec: ContainerSpec) -> dict[str, str]:
    """Everything a restarted agent must know about a container that Podman does not keep by itself."""
    return {
        LABEL_POD_UID: spec.pod_uid,
        LABEL_POD_NAMESPACE: spec.pod_namespace,
        LABEL_POD_NAME: spec.pod_name,
        LABEL_CONTAINER: spec.name,
        LABEL_ATTEMPT: str(spec.attempt),
        LABEL_SPEC_HASH: spec.spec_hash,
        LABEL_LOG_PATH: spec.log_path,
        LABEL_SANDBOX: spec.sandbox.id,
    }


def _environment(spec: ContainerSpec, hostname: str) -> dict[str, str]:
    """Without a HOSTNAME, Podman would set one from the container's id."""
    return ({"HOSTNAME": hostname} if hostname else {}) | dict(spec.env)


def _mounts(spec: ContainerSpec, hostname_path: str) -> list[Mount]:
    """The pod's own mounts, then what every container of a sandbox shares unless the pod mounts there itself."""
    shared = [
        Mount(spec.sandbox.shm_path, "/dev/shm"),  # noqa: S108 - the path inside the container, not a temporary file
        Mount(hostname_path, "/etc/hostname", read_only=True),
    ]
    taken = {mount.target.rstrip("/") for mount in spec.mounts}
    return [*spec.mounts, *(mount for mount in shared if mount.source and mount.target not in taken)]


def _mount(mount: Mount) -> dict[str, Any]:
    options = ["rbind", "ro" if mount.read_only else "rw", mount.propagation]
    return {"type": "bind", "source": mount.source, "destination": mount.target, "options": options}


def _namespace(path: str) -> dict[str, str]:
    return {"nsmode": "path", "value": path} if path else {"nsmode": "host"}


def _processes(spec: ContainerSpec, path: str) -> dict[str, str]:
    """In a pod that sees the host's processes every container does."""
    return {"nsmode": "path", "value": path} if path else {"nsmode": "host" if spec.host_pid else "private"}


def _resources(limits: ResourceLimits) -> dict[str, Any]:
    """Cgroup settings, converted as the kubelet converts them (cm.MilliCPUToShares, MilliCPUToQuota)."""
    cpu: dict[str, int] = {"shares": max(MIN_CPU_SHARES, limits.cpu_request_millicores * 1024 // 1000)}
    if limits.cpu_limit_millicores:
        quota = limits.cpu_limit_millicores * CPU_PERIOD_MICROSECONDS // 1000
        cpu |= {"quota": max(MIN_CPU_QUOTA_MICROSECONDS, quota), "period": CPU_PERIOD_MICROSECONDS}
    resources: dict[str, Any] = {"cpu": cpu}
    if limits.memory_limit_bytes:  # swap counts memory and swap together: no swap
        resources["memory"] = {"limit": limits.memory_limit_bytes, "swap": limits.memory_limit_bytes}
    if limits.pids_limit:
        resources["pids"] = {"limit": limits.pids_limit}
    return resources
