"""What the Raft process is told at its start."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import msgspec

from controlplane.raft.membership import Member, Membership


class RaftConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`peers` maps the id of every replica of the first membership, this one included or not, to "host:port".

    Later memberships stand in the log. `member_uids` tells replicas that joined later from earlier ones of the same
    id; `learner` is true on one that joined: it waits to be let in. `time_factor` stretches every time-out for slow machines. Empty `cert` means no TLS: tests only.
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
    member_uids: dict[str, str] = {}
    learner: bool = False
    incarnation: int = 0


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Who a node is, and its timing. Election times should be at least ten times the disk's fsync p99.

    `first` is the membership before any that stands in the log.
    """

    replica: str
    first: Membership
    election_min_seconds: float = 0.3
    election_max_seconds: float = 0.6
    append_period_seconds: float = 0.05
    api_silence_seconds: float = 0.75

    @property
    def own(self) -> Member:
        """This replica, in this life, as its files know it."""
        return self.first.member(self.replica) or Member(self.replica, voter=False)


def first_membership(config: RaftConfig) -> Membership:
    """The membership that the files give; a replica that joined knows itself as a learner in it."""
    addresses = {**config.peers, config.replica_id: config.peers.get(config.replica_id, config.listen)}
    return Membership(
        tuple(
            Member(
                replica,
                config.member_uids.get(replica, ""),
                address,
                voter=not (config.learner and replica == config.replica_id),
            )
            for replica, address in sorted(addresses.items())
        ),
        config.incarnation,
    )


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
