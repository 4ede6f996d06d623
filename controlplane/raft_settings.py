"""What the Raft process of a replica is told, from the replica's configuration."""

from __future__ import annotations

from pathlib import Path

from controlplane.config import ServerConfig, join_host_port
from controlplane.raft.config import RaftConfig


def raft_config(config: ServerConfig) -> RaftConfig:
    """The configuration of the Raft process."""
    pki_dir = Path(config.pki_dir)
    return RaftConfig(
        replica_id=config.replica,
        cluster_uid=config.cluster_uid,
        listen=join_host_port(config.listen, config.raft_port),
        peers={replica: join_host_port(host, config.raft_port) for replica, host in config.replicas.items()},
        data_dir=str(Path(config.data_dir) / "raft"),
        socket_path=str(config.raft_socket),
        cert=str(pki_dir / "raft.crt"),
        key=str(pki_dir / "raft.key"),
        ca=str(pki_dir / "raft-ca.crt"),
        time_factor=config.time_factor,
        member_uids=config.replica_uids,
        learner=config.joined,
        incarnation=config.incarnation,
    )
