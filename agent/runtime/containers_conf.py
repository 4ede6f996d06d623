"""The containers.conf our own Podman service runs with, as text. It must not know where the file goes.

The machine's own configuration is never read (CONTAINERS_CONF names this file) and never changed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

# What containerd gives a container by default, which is what Kubernetes manifests are written against.
DEFAULT_CAPABILITIES = (
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
)

NOFILE_LIMIT = 1 << 20
NPROC_LIMIT = 1 << 15


@dataclass(frozen=True, slots=True)
class PodmanSettings:
    """What differs between hosts.

    `nofile_limit` and `nproc_limit` are counts; without CAP_SYS_RESOURCE they may not exceed the service's own hard
    limits (see `permitted_limit`), or no container starts.
    """

    runtime: str  # "crun" or "runc"
    network_config_dir: str
    nofile_limit: int = NOFILE_LIMIT
    nproc_limit: int = NPROC_LIMIT


def permitted_limit(wanted: int, own_hard_limit: int, *, may_raise: bool) -> int:
    """The largest limit up to `wanted` that a process may hand to a child; a negative hard limit means infinite."""
    if may_raise or own_hard_limit < 0:
        return wanted
    return min(wanted, own_hard_limit)


def containers_conf(settings: PodmanSettings) -> str:
    """Return the file's text.

    `exit_command_delay` shortens how long the two processes behind every exec through the API linger (5 minutes by
    default), and with them the exit code: with 3 s a busy machine was too late to ask for 8 of 50 at once. Healthchecks, events
    and networks are not used: probes and networking are the agent's.
    """
    ulimits = [
        f"nofile={settings.nofile_limit}:{settings.nofile_limit}",
        f"nproc={settings.nproc_limit}:{settings.nproc_limit}",
    ]
    return f"""\
[containers]
default_capabilities = {json.dumps(DEFAULT_CAPABILITIES)}
default_sysctls = []
default_ulimits = {json.dumps(ulimits)}
http_proxy = false
log_driver = "k8s-file"
log_size_max = -1
pids_limit = 0

[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
exit_command_delay = 10
lock_type = "file"
runtime = "{settings.runtime}"

[network]
network_backend = "netavark"
network_config_dir = {json.dumps(settings.network_config_dir)}
"""
