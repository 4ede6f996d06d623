"""What a table says of one replica; it must not know which command prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # gRPC is loaded when a call is made
    from api.v1.apiserver_pb2 import ReplicaStatus

UNREACHABLE = "unreachable"


def role(status: ReplicaStatus) -> str:
    """Its role; a member that does not vote yet is a learner whatever else it is."""
    return status.role if status.voter or status.role == UNREACHABLE else "learner"


def sync_times(status: ReplicaStatus) -> str:
    """Median and 99th percentile of its latest fsyncs in milliseconds; "" while there was none."""
    if not status.sync_p50_seconds:
        return ""
    return f"{status.sync_p50_seconds * 1000:.1f}/{status.sync_p99_seconds * 1000:.1f} ms"
