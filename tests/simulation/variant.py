"""Which classes a run is made of: the production ones, or, in one place, a mutant's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from component.env import Env
from controlplane import backup
from controlplane.apiserver.core import ApiCore
from controlplane.raft.link import SocketLog
from controlplane.raft.node import RaftNode
from controlplane.store.state import State
from tests.simulation.api_half import ObservedHub, ObservedReplica
from tests.simulation.disk import SimLog


@dataclass(frozen=True)
class Variant:
    """A way to build replicas; `name` is empty for the product itself."""

    name: str = ""
    log_type: type[SimLog] = SimLog
    node_type: type[RaftNode] = RaftNode
    socket_log_type: type[SocketLog] = SocketLog
    replica_type: type[ObservedReplica] = ObservedReplica
    hub_type: type[ObservedHub] = ObservedHub
    core_type: type[ApiCore] = ApiCore
    install: Callable[[State, Path, Env], object] = backup.install

    def before_sync(self, raft: Any) -> None:
        """Between the appends and the sync of a turn."""

    def adjust_replica(self, replica: Any) -> None:
        """Before a replica starts."""


PRODUCT = Variant()
