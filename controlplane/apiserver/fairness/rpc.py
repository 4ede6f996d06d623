"""Which RPCs go through the gate, and as what.

What nodes, replicas and health checks ask for never waits; watches are let in by the core, for both front ends.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from component.rpc_server import Context, Enter, Ticket
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.authz import API_METHODS
from controlplane.apiserver.fairness.gate import Gate
from controlplane.apiserver.fairness.lists import ListCosts

STREAMS: Final = frozenset(API_METHODS + name for name in ("Logs", "Exec", "PortForward", "Attach", "Backup"))
LISTS: Final = frozenset(API_METHODS + name for name in ("List", "DeleteCollection"))
FREE: Final = frozenset(API_METHODS + name for name in ("Watch", "ClusterStatus", "RenewCertificate"))


def entering(gate: Gate, authenticator: Authenticator, costs: ListCosts) -> Enter:
    """What lets the calls of a gRPC server in."""

    def enter(method: str, request: Any, context: Context) -> Ticket | Awaitable[Ticket] | None:
        if method in FREE or not method.startswith(API_METHODS):
            return None
        identity = authenticator.identify(context)
        if method in STREAMS:
            return gate.hold(identity, "streams")
        size = request.ByteSize()
        if method in LISTS:
            size += costs.size(request.resource, request.namespace, request.limit)
        return gate.enter(identity, size) or gate.wait(identity, size)

    return enter
