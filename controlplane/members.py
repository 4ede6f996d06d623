"""Who the replicas are now, for every part of the API process that speaks to them or tells others about them.

Starts from the configuration, which may be long past, and follows the membership that Raft reports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from controlplane.config import ServerConfig, join_host_port
from controlplane.raft.membership import Membership
from controlplane.raft.protocol import RaftStatus

log = structlog.get_logger()


class Members:
    """Hosts of the replicas by id; ports are the same everywhere. Callbacks run on the event loop."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._hosts: Mapping[str, str] = dict(config.replicas)
        self._voters = frozenset(config.replicas)
        self._age = (-1, -1)
        self._listeners: list[Callable[[], None]] = []

    @property
    def own(self) -> str:
        """This replica's id."""
        return self._config.replica

    @property
    def grpc_port(self) -> int:
        """The gRPC port of every replica."""
        return self._config.grpc_port

    @property
    def hosts(self) -> Mapping[str, str]:
        """The host of every member, learners too."""
        return self._hosts

    @property
    def voters(self) -> frozenset[str]:
        """The members that vote."""
        return self._voters

    @property
    def endpoints(self) -> Mapping[str, str]:
        """Where clients and agents should go: gRPC host:port of the voters, by id."""
        return {
            replica: join_host_port(host, self._config.grpc_port)
            for replica, host in self._hosts.items()
            if replica in self._voters
        }

    @property
    def peers(self) -> Mapping[str, str]:
        """GRPC host:port of every other member, by id."""
        return {
            replica: join_host_port(host, self._config.grpc_port)
            for replica, host in self._hosts.items()
            if replica != self._config.replica
        }

    @property
    def https_addresses(self) -> tuple[str, ...]:
        """HTTPS host:port of the voters."""
        return tuple(
            join_host_port(host, self._config.https_port)
            for replica, host in self._hosts.items()
            if replica in self._voters
        )

    def raft_address(self, host: str) -> str:
        """Where a replica on `host` has its Raft process."""
        return join_host_port(host, self._config.raft_port)

    def listen(self, callback: Callable[[], None]) -> None:
        """Call back after every change."""
        self._listeners.append(callback)

    def status_changed(self, status: RaftStatus) -> None:
        """Take up the membership that the local Raft process reports."""
        membership = status.membership
        if membership is None or membership.age == self._age:
            return
        self._age = membership.age
        hosts = {each.replica: host_of(each.address) for each in membership.members}
        if (hosts, membership.voters) == (self._hosts, self._voters):
            return
        self._hosts, self._voters = hosts, membership.voters
        log.info("membership_changed", voters=sorted(membership.voters), learners=sorted(membership.learners))
        for callback in self._listeners:
            callback()


def host_of(address: str) -> str:
    """The host of host:port, without the brackets of an IPv6 address."""
    return address.rpartition(":")[0].strip("[]")


def is_settled(status: RaftStatus, membership: Membership) -> bool:
    """Whether the newest membership that this replica knows is committed, so that it will not be rolled back."""
    return membership.index <= status.commit_index
