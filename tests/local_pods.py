"""Pods whose every port is one on loopback, for what reaches into pods through nodes."""

from __future__ import annotations

import asyncio

from api.errors import Unavailable
from api.v1 import apiserver_pb2 as pb
from tests.api_server import NoStreams


class LocalPods(NoStreams):
    """Carries every connection to a port on loopback; port 81 refuses. Counts them."""

    def __init__(self):
        self.port, self.opened, self.open = 0, [], 0

    async def forward(self, frames):
        start = (await anext(frames)).forward
        self.opened.append((start.pod, start.port))
        if start.port == 81:
            raise Unavailable(f"error forwarding port 81 to pod {start.pod}: connection refused")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.open += 1
        inward = asyncio.ensure_future(self._inward(frames, writer))
        try:
            while data := await reader.read(65_536):
                yield pb.StreamFrame(stdout=data)
            yield pb.StreamFrame(stdout_closed=True)
        finally:
            self.open -= 1
            inward.cancel()
            await asyncio.gather(inward, return_exceptions=True)
            writer.close()

    @staticmethod
    async def _inward(frames, writer):
        async for frame in frames:
            if frame.stdin_closed:
                return
            writer.write(frame.stdin)


async def ready_service(client, name, port, target_port, *, ready=True):
    """A Service with one pod behind it, `NAME-0`."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"name": "main", "port": port, "targetPort": target_port}]},
    }
    await client.create(service)
    reference = {"kind": "Pod", "namespace": "default", "name": f"{name}-0"}
    endpoint = {"addresses": ["10.244.0.5"], "conditions": {"ready": ready}, "targetRef": reference}
    await client.create(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": [{"name": "main", "port": target_port}],
        }
    )
