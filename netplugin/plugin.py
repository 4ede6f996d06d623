"""The `PodNetwork` of a real node: an asyncio shell around the kernel thread and the DNS server.

All kernel work happens in one thread, because pyroute2's synchronous sockets cannot run inside a running loop, and
because that thread can live in another network namespace than the process: given `netns_path`, the plugin works there
and its process stays where it is. This module must not decide anything about routes or rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from component.env import Env
from netplugin.dataplane import Dataplane
from netplugin.kernel import namespace
from netplugin.kernel.linux import LinuxKernel
from netplugin.kernel.protocol import Kernel
from netplugin.protocol import NetworkConfig, NetworkFailure, NetworkInputs, PodAttachment

log = structlog.get_logger()

T = TypeVar("T")


class Plugin:
    """Implements `PodNetwork` on Linux. Needs root in the network namespace it works in."""

    def __init__(
        self,
        config: NetworkConfig,
        env: Env,
        netns_path: str | None = None,
        open_kernel: Callable[[], Kernel] | None = None,
    ) -> None:
        self._config = config
        self._env = env
        self._netns_path = netns_path
        self._open_kernel = open_kernel or (lambda: LinuxKernel(config.link_prefix, netns_path))
        self._executor: ThreadPoolExecutor | None = None
        self._kernel: Kernel | None = None
        self._dataplane: Dataplane | None = None

    async def start(self) -> None:
        """See PodNetwork.start."""
        if self._dataplane is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="network")
            try:
                self._kernel, self._dataplane = await self._run(self._open)
            except BaseException:
                self._executor.shutdown(wait=False)
                self._executor = None
                raise
        await self._run(self._started.start)

    async def sync(self, inputs: NetworkInputs) -> None:
        """See PodNetwork.sync."""
        await self._run(self._started.sync, inputs)

    async def attach(self, pod_uid: str, namespace: str, name: str, netns_path: str) -> PodAttachment:
        """See PodNetwork.attach."""
        attachment = await self._run(self._started.attach, pod_uid, netns_path)
        log.info("pod_attached", namespace=namespace, pod=name, pod_uid=pod_uid, ip=attachment.ip)
        return attachment

    async def detach(self, pod_uid: str) -> None:
        """See PodNetwork.detach."""
        await self._run(self._started.detach, pod_uid)

    async def attached(self) -> Mapping[str, PodAttachment]:
        """See PodNetwork.attached."""
        return await self._run(self._started.attached)

    def problems(self) -> Sequence[str]:
        """See PodNetwork.problems."""
        return ()

    def dns_config(self, namespace: str) -> str:
        """See PodNetwork.dns_config."""
        domain = self._config.cluster_domain
        return f"nameserver {self._config.dns_address}\nsearch {namespace}.svc.{domain} svc.{domain} {domain}\noptions ndots:5\n"

    async def close(self) -> None:
        """See PodNetwork.close."""
        if self._executor is None:
            return
        if self._kernel is not None:
            await self._run(self._kernel.close)
        self._executor.shutdown()
        self._executor = self._kernel = self._dataplane = None

    async def reset(self) -> None:
        """See PodNetwork.reset."""
        await self._run(self._started.reset)

    @property
    def _started(self) -> Dataplane:
        if self._dataplane is None:
            raise NetworkFailure("the network was not started")
        return self._dataplane

    def _open(self) -> tuple[Kernel, Dataplane]:
        if self._netns_path is not None:
            try:
                namespace.enter(self._netns_path)
            except OSError as error:
                raise NetworkFailure(f"could not enter the network namespace {self._netns_path}: {error}") from error
        kernel = self._open_kernel()
        return kernel, Dataplane(self._config, self._env, kernel)

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run in the kernel thread, after everything given to it before, even when the caller gives up."""
        if self._executor is None:
            raise NetworkFailure("the network was not started")
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
