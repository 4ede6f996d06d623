"""What one node is told: its pods, the ConfigMaps and Secrets they name, and the cluster's Nodes, Services and slices.

The first message holds everything, each later one what changed since. A node never hears of a Secret that none of
its pods uses, and forgets one that none uses any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from api.core import Pod
from api.v1 import node_pb2, resource_pb2
from controlplane.apiserver.references import named_by
from controlplane.commands import DELETED, Envelope, Key, Stored
from controlplane.store.state import State
from controlplane.watch.frames import resource_bytes
from controlplane.watch.hub import Cursor, Hub

SHARED = ("nodes", "services", "endpointslices.discovery.k8s.io")
CONFIG = ("configmaps", "secrets")

_decode_pod = msgspec.json.Decoder(Pod).decode


class NodeInputs:
    """The inputs of one node's session. Call `full` once, then `wait` and `changes` in turn.

    `changes` raises Expired when the session fell behind what is kept or the state was replaced: the
    session ends then and the next one starts with everything.
    """

    def __init__(self, state: State, hub: Hub, node: str) -> None:
        self._state = state
        self._hub = hub
        self._node = node
        self._revision = state.revision
        self._pods = hub.node_cursor(node, self._revision)
        self._shared = [hub.cursor(resource, self._revision) for resource in (*SHARED, *CONFIG)]
        self._named: dict[Key, frozenset[Key]] = {}  # pod -> the configuration it names
        self._waits: dict[Cursor, asyncio.Task[None]] = {}

    def full(self) -> node_pb2.Inputs:
        """Everything as of now."""
        message = node_pb2.Inputs(full=True, results_in=self._revision)
        for key in self._state.by_node(self._node):
            stored = self._state.get(key)
            if stored is not None and key.resource == "pods":
                self._add(message, stored)
                self._named[key] = _configuration(key.namespace, stored.body)
        for resource in SHARED:
            for stored in self._state.scan(resource):
                self._add(message, stored)
        for key in sorted(self._configuration()):
            self._add_key(message, key)
        return message

    async def wait(self) -> None:
        """Return when something may have changed."""
        for cursor in (self._pods, *self._shared):
            if cursor not in self._waits:
                self._waits[cursor] = asyncio.ensure_future(cursor.wait())
        await asyncio.wait(self._waits.values(), return_when=asyncio.FIRST_COMPLETED)
        self._waits = {cursor: task for cursor, task in self._waits.items() if not task.done()}

    def close(self) -> None:
        """Stop waiting."""
        for task in self._waits.values():
            task.cancel()
        self._waits.clear()

    def changes(self) -> node_pb2.Inputs | None:
        """What changed since the last message, None when nothing did that concerns this node."""
        message = node_pb2.Inputs(applies_to=self._revision, results_in=self._hub.revision)
        before = self._configuration()
        self._take_pods(message)
        after = self._configuration()
        for key in sorted(after - before):
            self._add_key(message, key)
        for key in sorted(before - after):
            message.removed.add(resource=key.resource, namespace=key.namespace, name=key.name)
        for cursor in self._shared:
            for event_type, envelope, body, revision in _drain(cursor):
                if envelope.key.resource in SHARED or (envelope.key in before and envelope.key in after):
                    self._change(message, event_type, envelope, body, revision)
        if not message.set and not message.removed:
            return None
        self._revision = message.results_in
        return message

    def _take_pods(self, message: node_pb2.Inputs) -> None:
        for event_type, envelope, body, revision in _drain(self._pods):
            if event_type == DELETED:
                self._named.pop(envelope.key, None)
            else:
                self._named[envelope.key] = _configuration(envelope.key.namespace, body)
            self._change(message, event_type, envelope, body, revision)

    def _configuration(self) -> frozenset[Key]:
        return frozenset().union(*self._named.values())

    def _change(
        self, message: node_pb2.Inputs, event_type: int, envelope: Envelope, body: bytes, revision: int
    ) -> None:
        if event_type == DELETED:
            key = envelope.key
            message.removed.add(resource=key.resource, namespace=key.namespace, name=key.name, uid=envelope.uid)
        else:
            message.set.append(_resource(envelope, body, revision))

    def _add_key(self, message: node_pb2.Inputs, key: Key) -> None:
        stored = self._state.get(key)
        if stored is not None:
            self._add(message, stored)

    def _add(self, message: node_pb2.Inputs, stored: Stored) -> None:
        message.set.append(_resource(stored.envelope, stored.body, stored.revision))


def _drain(cursor: Cursor) -> Iterator[tuple[int, Envelope, bytes, int]]:
    """Everything the cursor has now: appends happen on this loop, so what a drain saw is one revision of the state."""
    seen = -1
    while seen != cursor.revision:
        seen = cursor.revision
        while events := cursor.pull():
            for event in events:
                yield event.type, event.envelope, event.body, event.revision


def _resource(envelope: Envelope, body: bytes, revision: int) -> resource_pb2.Resource:
    return resource_pb2.Resource.FromString(resource_bytes(envelope, body, revision))


def _configuration(namespace: str, body: bytes) -> frozenset[Key]:
    """The ConfigMaps and Secrets a pod names."""
    named = named_by(_decode_pod(body))
    return frozenset(Key(resource, namespace, name) for resource, name in named if resource in CONFIG)
