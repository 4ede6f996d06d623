"""What a replica is told: who it is, who its peers are, where its files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from controlplane.apiserver.fairness.limits import DEFAULTS, Limits


class ServerConfig(msgspec.Struct, kw_only=True, frozen=True):
    """`server.yaml`, or `TIM_SERVER_*` variables, or flags of `tim-server`.

    `replicas` maps every member's id to its address (an IP or a name), this one's included; all members must agree
    on it when the cluster begins; later changes are the cluster's own. On a replica that joined a running cluster,
    `joined` is true and `replicas` are those of that day, with their `replica_uids` and the cluster's `incarnation`.
    `time_factor` scales every time-out of the control plane, for slow machines.
    History goes back for `history_hours`, but takes at most `history_mebibytes` on disk; 0 of either keeps none.
    All objects together may take `state_quota_mebibytes`; the leader's value counts.
    `token_auth_file` names a file of users' tokens, "" for none; every replica needs it.
    `audit_level` says how much of writes and refused requests is recorded, "" for Metadata; `audit_policy_file` names
    a policy instead. `audit_log` is the file, "" for audit/audit.log in `data_dir`: one that has reached
    `audit_log_mebibytes` is put aside, and so many as `audit_log_kept` says stay.
    `limits` are what one user may take of this replica (`fairness.limits.Limits`).
    Admission plugins in `disabled_admission_plugins` are left out; all replicas should agree.
    """

    replica: str
    cluster_uid: str
    replicas: dict[str, str]
    listen: str = "0.0.0.0"  # noqa: S104 - identities stand in certificates, so every address may be served
    grpc_port: int = 7443
    raft_port: int = 7444
    https_port: int = 6443
    pki_dir: str = "/etc/timonier/pki"
    data_dir: str = "/var/lib/timonier"
    run_dir: str = "/run/timonier"
    pod_range: str = "10.244.0.0/16"
    service_range: str = "10.96.0.0/16"
    cluster_domain: str = "cluster.local"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    time_factor: float = 1.0
    history_hours: float = 24.0
    history_mebibytes: int = 256
    state_quota_mebibytes: int = 1024
    token_auth_file: str = ""
    disabled_admission_plugins: list[str] = []
    audit_level: Literal["", "None", "Metadata", "Request", "RequestResponse"] = ""
    audit_policy_file: str = ""
    audit_log: str = ""
    audit_log_mebibytes: int = 64
    audit_log_kept: int = 5
    limits: Limits = DEFAULTS
    joined: bool = False
    replica_uids: dict[str, str] = {}
    incarnation: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot work before anything is opened."""
        if self.replica not in self.replicas:
            raise ValueError(f"replica {self.replica!r} is not among replicas: {', '.join(self.replicas)}")
        if len(self.replicas) % 2 == 0 and not self.joined:
            raise ValueError(f"{len(self.replicas)} replicas cannot form a better quorum than one less: use 1, 3 or 5")
        if self.history_hours < 0 or self.history_mebibytes < 0:
            raise ValueError("history_hours and history_mebibytes must be 0 or more")
        if self.state_quota_mebibytes < 1:
            raise ValueError(f"state_quota_mebibytes {self.state_quota_mebibytes} must be 1 or more")
        if self.audit_level and self.audit_policy_file:
            raise ValueError("audit_level and audit_policy_file exclude each other: the policy's rules name the levels")
        if self.audit_log_mebibytes < 1 or self.audit_log_kept < 0:
            raise ValueError("audit_log_mebibytes must be 1 or more and audit_log_kept 0 or more")
        if self.time_factor <= 0:
            raise ValueError(f"time_factor {self.time_factor:g} must be more than 0")

    @property
    def endpoints(self) -> dict[str, str]:
        """The gRPC address of every replica, host:port by id."""
        return {replica: join_host_port(host, self.grpc_port) for replica, host in self.replicas.items()}

    @property
    def audit_path(self) -> Path:
        """The file that requests are recorded in."""
        return Path(self.audit_log or Path(self.data_dir, "audit", "audit.log"))

    @property
    def raft_socket(self) -> Path:
        """Where the two processes of this replica meet."""
        return Path(self.run_dir) / "raft.sock"


def join_host_port(host: str, port: int) -> str:
    """Write 10.0.0.1:7443, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
