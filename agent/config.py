"""What an agent is told: which node it is, where the control plane is, where its files lie."""

from __future__ import annotations

from typing import Literal

import msgspec

PODMAN_SOCKET = "/run/timonier/podman.sock"
"""Of the Podman that deploy/timonier-podman.service runs for us."""


class AgentConfig(msgspec.Struct, kw_only=True, frozen=True):
    """`agent.yaml`, or `TIM_*` variables, or flags of `tim-agent`.

    `endpoints` are host:port of gRPC, at least one. `node_ip` empty: the source of the route to the API. `capacity`
    overrides what the machine has, `system_reserved` is kept from pods; both map resources to quantities. Cgroups of pods are made
    below `cgroup_root`.
    """

    node_name: str
    endpoints: tuple[str, ...]
    ca_path: str = "/etc/timonier/pki/ca.crt"
    cert_path: str = "/etc/timonier/pki/node.crt"
    key_path: str = "/etc/timonier/pki/node.key"
    data_dir: str = "/var/lib/timonier/agent"
    run_dir: str = "/run/timonier/agent"
    node_ip: str = ""
    podman_socket: str = PODMAN_SOCKET
    network_mode: Literal["auto", "routes", "vxlan"] = "auto"
    link_prefix: str = "tim"
    dns_address: str = "169.254.20.10"
    boot_id_path: str = "/proc/sys/kernel/random/boot_id"
    cgroup_root: str = "/timonier"
    health_port: int = 7445
    max_pods: int = 110
    system_reserved: dict[str, str] = msgspec.field(default_factory=lambda: {"memory": "100Mi"})
    capacity: dict[str, str] = {}
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot work before anything is opened."""
        if not self.node_name:
            raise ValueError("node_name must not be empty")
        if not self.endpoints or not all(":" in endpoint for endpoint in self.endpoints):
            raise ValueError("endpoints must name at least one replica as host:port")
