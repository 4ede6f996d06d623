"""What this machine allows our Podman service: its OCI runtime and the limits it may hand on.

Run as a program it writes the service's configuration below a folder, from inside the service that will read it:

    python -m agent.runtime.podman_host /run/timonier/podman
"""

from __future__ import annotations

import re
import resource
import shutil
import sys
from pathlib import Path

from agent.runtime.containers_conf import NOFILE_LIMIT, NPROC_LIMIT, PodmanSettings, containers_conf, permitted_limit

CONFIGURATION = "containers.conf"
NETWORKS = "networks"  # stays empty: networking is the agent's
_CAP_SYS_RESOURCE = 1 << 24  # capability 24, linux/capability.h


class MissingRuntime(Exception):
    """No OCI runtime is installed; the message carries the remedy."""


def oci_runtime() -> str:
    """The runtime there is, crun if there are two. Raises MissingRuntime."""
    for name in ("crun", "runc"):
        if shutil.which(name):
            return name
    raise MissingRuntime("neither crun nor runc is installed; remedy: apt-get install crun")


def host_settings(network_config_dir: Path) -> PodmanSettings:
    """Settings for a service that inherits this process' limits. Raises MissingRuntime."""
    return PodmanSettings(
        runtime=oci_runtime(),
        network_config_dir=str(network_config_dir),
        nofile_limit=_limit(NOFILE_LIMIT, resource.RLIMIT_NOFILE),
        nproc_limit=_limit(NPROC_LIMIT, resource.RLIMIT_NPROC),
    )


def write(folder: Path) -> None:
    """Write the configuration for a service whose run files are in `folder`. Raises MissingRuntime, OSError."""
    networks = folder / NETWORKS
    networks.mkdir(parents=True, exist_ok=True)
    (folder / CONFIGURATION).write_text(containers_conf(host_settings(networks)), encoding="utf-8")


def main() -> None:
    """Write it below the folder that is the only argument; one line on standard error when that cannot be."""
    try:
        write(Path(sys.argv[1]))
    except (MissingRuntime, OSError) as error:
        sys.exit(f"podman_host: {error}")


def _limit(wanted: int, kind: int) -> int:
    """What this process may give to children, who inherit its limits."""
    capabilities = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    may_raise = bool(capabilities and int(capabilities[1], 16) & _CAP_SYS_RESOURCE)
    return permitted_limit(wanted, resource.getrlimit(kind)[1], may_raise=may_raise)


if __name__ == "__main__":
    main()
