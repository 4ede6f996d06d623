"""One connection's share of a watch over gRPC; `component.rpc_client` strings them together.

Imported by the command line, so it must stay light (see `component.rpc`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from api.v1 import apiserver_pb2 as pb
from component.client import WatchEvent
from component.rpc_failover import Replica
from component.rpc_messages import events_of


async def watch_once(replica: Replica, request: pb.WatchRequest) -> AsyncGenerator[list[WatchEvent]]:
    """One connection's events. The objects there are at first are held back until the bookmark that ends them.

    So a connection that breaks among them can start over without showing any object twice.
    """
    held: list[WatchEvent] | None = None if request.HasField("resource_version") else []
    call = replica.stub.Watch(request)
    try:
        async for response in call:
            batch = list(events_of(request.resource, response.events))
            if held is not None:
                held += batch
                if not any(event.type == "BOOKMARK" for event in batch):
                    continue
                batch, held = held, None
            if batch:
                yield batch
    finally:
        call.cancel()
