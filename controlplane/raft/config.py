"""What the Raft process is told at its start."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import msgspec


class RaftConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Static membership: `peers` maps every replica id, this one included or not, to "host:port".

    `time_factor` stretches every time-out for slow machines. Empty `cert` means no TLS: tests only.
    """

    replica_id: str
    cluster_uid: str
    listen: str
    peers: dict[str, str]
    data_dir: str
    socket_path: str
    cert: str = ""
    key: str = ""
    ca: str = ""
    election_min_seconds: float = 0.3
    election_max_seconds: float = 0.6
    time_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Timing of one node. Election times should be at least ten times the disk's fsync p99."""

    replica: str
    peers: tuple[str, ...]
    election_min_seconds: float = 0.3
    election_max_seconds: float = 0.6
    append_period_seconds: float = 0.05
    api_silence_seconds: float = 0.75


def resolve(address: str) -> tuple[str, int]:
    """Split "host:port" or "[v6]:port" and resolve the host once; ValueError or OSError naming the address."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{address!r} is no address of the form host:port")
    try:
        found = socket.getaddrinfo(host.strip("[]") or None, int(port), type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise OSError(f"cannot resolve {address!r}: {error.strerror}") from error
    return str(found[0][4][0]), int(port)
