"""A pod network in memory: hands out addresses of the node's range, remembers what it was told."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence

from netplugin.protocol import NetworkFailure, NetworkInputs, PodAttachment


class FakeNetwork:
    """Implements PodNetwork. Without a range of its own (`node_range`) it takes the one its inputs name for the node."""

    def __init__(self, node_name: str = "n1", node_range: str = "") -> None:
        self.started = False
        self.closed = False
        self.synced: list[NetworkInputs] = []
        self.attachments: dict[str, PodAttachment] = {}
        self.found_problems: list[str] = []
        self.sync_gate: asyncio.Event | None = None
        self._node_name = node_name
        self._node_range = node_range
        self._failures: dict[str, list[Exception]] = {}

    def fail_next(self, method: str, message: str) -> None:
        """Let the next call of a method fail."""
        self._failures.setdefault(method, []).append(NetworkFailure(message))

    async def start(self) -> None:
        await self._step("start")
        self.started = True

    async def sync(self, inputs: NetworkInputs) -> None:
        await self._step("sync")
        if self.sync_gate is not None:
            await self.sync_gate.wait()
        self.synced.append(inputs)

    async def attach(self, pod_uid: str, namespace: str, name: str, netns_path: str) -> PodAttachment:
        await self._step("attach")
        known = self.attachments.get(pod_uid)
        if known is None or known.netns_path != netns_path:
            ip = known.ip if known is not None else self._free_address()
            known = self.attachments[pod_uid] = PodAttachment(pod_uid, netns_path, ip)
        return known

    async def detach(self, pod_uid: str) -> None:
        await self._step("detach")
        self.attachments.pop(pod_uid, None)

    async def attached(self) -> Mapping[str, PodAttachment]:
        await self._step("attached")
        return dict(self.attachments)

    def problems(self) -> Sequence[str]:
        return tuple(self.found_problems)

    def dns_config(self, namespace: str) -> str:
        search = f"{namespace}.svc.cluster.local svc.cluster.local cluster.local"
        return f"nameserver 169.254.20.10\nsearch {search}\noptions ndots:5\n"

    async def close(self) -> None:
        self.closed = True

    async def reset(self) -> None:
        self.attachments.clear()
        self.started = False

    def _free_address(self) -> str:
        text = self._node_range
        if not text and self.synced:
            text = next((node.pod_range for node in self.synced[-1].nodes if node.name == self._node_name), "")
        if not text:
            raise NetworkFailure(f"node {self._node_name} has no pod range yet")
        taken = {attachment.ip for attachment in self.attachments.values()}
        for address in list(ipaddress.ip_network(text).hosts())[1:]:
            if str(address) not in taken:
                return str(address)
        raise NetworkFailure(f"no free address in {text}")

    async def _step(self, method: str) -> None:
        await asyncio.sleep(0)
        waiting = self._failures.get(method)
        if waiting:
            raise waiting.pop(0)
