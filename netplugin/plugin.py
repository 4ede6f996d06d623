"""The `PodNetwork` of a real node: an asyncio shell around the kernel thread and the DNS server.

All kernel work happens in one thread, because pyroute2's synchronous sockets cannot run inside a running loop, and
because that thread can live in another network namespace than the process: given `netns_path`, the plugin works there
and its process stays where it is. This module must not decide anything about routes, rules or names.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from component.env import Env
from netplugin import resolvers, routes
from netplugin.dataplane import Dataplane
from netplugin.dns_server import DNS_PORT, DnsServer
from netplugin.kernel import events, namespace
from netplugin.kernel.linux import LinuxKernel
from netplugin.kernel.protocol import Kernel
from netplugin.protocol import NetworkConfig, NetworkFailure, NetworkInputs, PodAttachment
from netplugin.vips import Backend, VipKey
from netplugin.zone import ZonePacker

log = structlog.get_logger()

_LEAVERS = 4  # pods cut off at once
_SETTLE_SECONDS = 0.05  # changes come in groups: look once, after the last
_ANSWER_SECONDS = 0.3  # an endpoint that left and is alive has answered what was on its way by then
_RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0)

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
        """Work in the namespace at `netns_path`, without one in the process's own.

        `open_kernel` is called in the kernel thread; by default the kernel is Linux.
        """
        self._config = config
        self._env = env
        self._netns_path = netns_path
        self._open_kernel = open_kernel or (lambda: LinuxKernel(config.link_prefix, netns_path))
        self._executor: ThreadPoolExecutor | None = None
        self._kernel: Kernel | None = None
        self._dataplane: Dataplane | None = None
        self._packer = ZonePacker(config.cluster_domain, (config.service_range, config.pod_range))
        self._leavers: ThreadPoolExecutor | None = None
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._forgetting: set[asyncio.Task[None]] = set()
        self._dns: DnsServer | None = None
        self._watch: asyncio.Task[None] | None = None
        self._events: Sequence[socket.socket] = ()
        self._own_links = routes.pod_links(config.link_prefix)
        self._changed, self._links_changed = asyncio.Event(), asyncio.Event()
        self._firewalls: list[str] = []
        self._dns_problems: list[str] = []

    async def start(self) -> None:
        """See PodNetwork.start."""
        if self._dataplane is not None:
            return
        try:
            kernel, dataplane = await self._open()
            await self._run(dataplane.start)
            self._firewalls = dataplane.problems()
            await self._start_dns(kernel)
            await self._start_watch(kernel)
        except BaseException:
            await self.close()
            raise
        for problem in self.problems():
            log.warning("network_problem_found", problem=problem)

    async def sync(self, inputs: NetworkInputs) -> None:
        """See PodNetwork.sync."""
        dataplane = self._started
        await self._run(dataplane.sync, inputs)
        if left := await self._run(dataplane.take_left):
            forgetting = asyncio.get_running_loop().create_task(self._forget(left))
            self._forgetting.add(forgetting)
            forgetting.add_done_callback(self._forgetting.discard)
        # Packing names takes as long as the services are many: beside the loop, in the thread that is there.
        zone = await self._run(self._packer.pack, inputs.records, inputs.services, inputs.revision)
        if self._dns is not None:
            self._dns.zone = zone

    async def attach(self, pod_uid: str, namespace: str, name: str, netns_path: str) -> PodAttachment:
        """See PodNetwork.attach."""
        if pod_uid in self._leaving:
            await asyncio.wait([self._leaving[pod_uid]])
        attachment = await self._run(self._started.attach, pod_uid, netns_path)
        log.info("pod_attached", namespace=namespace, pod=name, pod_uid=pod_uid, ip=attachment.ip)
        return attachment

    async def detach(self, pod_uid: str) -> None:
        """See PodNetwork.detach."""
        leaving = self._leaving.get(pod_uid)
        if leaving is None:
            leaving = asyncio.get_running_loop().create_task(self._leave(pod_uid))
            self._leaving[pod_uid] = leaving
            leaving.add_done_callback(lambda task: self._left(pod_uid, task))
        # Once begun it is finished, even if the caller gives up: an attach that follows waits for it.
        await asyncio.shield(leaving)

    async def _forget(self, left: Collection[tuple[VipKey, Backend]]) -> None:
        """Free connections that wait for endpoints that left."""
        await asyncio.sleep(_ANSWER_SECONDS)
        try:
            await asyncio.get_running_loop().run_in_executor(self._leavers, self._started.forget_unanswered, left)
        except NetworkFailure as error:
            log.warning("connections_not_forgotten", error=str(error))

    def _left(self, pod_uid: str, leaving: asyncio.Task[None]) -> None:
        del self._leaving[pod_uid]
        if not leaving.cancelled() and leaving.exception() is not None:
            log.warning("pod_not_detached", pod_uid=pod_uid, error=str(leaving.exception()))

    async def _leave(self, pod_uid: str) -> None:
        dataplane = self._started
        await asyncio.get_running_loop().run_in_executor(self._leavers, dataplane.cut_off, pod_uid)
        await self._run(dataplane.release, pod_uid)

    async def attached(self) -> Mapping[str, PodAttachment]:
        """See PodNetwork.attached."""
        return await self._run(self._started.attached)

    def problems(self) -> Sequence[str]:
        """See PodNetwork.problems."""
        return (*self._firewalls, *self._dns_problems)

    def dns_config(self, namespace: str) -> str:
        """See PodNetwork.dns_config."""
        return resolvers.pod_resolv_conf(self._config, namespace)

    async def close(self) -> None:
        """See PodNetwork.close."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        loop = asyncio.get_running_loop()
        for each in self._events:
            loop.remove_reader(each)
            each.close()
        self._events = ()
        if self._dns is not None:
            await self._dns.close()
            self._dns = None
        for forgetting in self._forgetting:
            forgetting.cancel()
        await asyncio.gather(*self._forgetting, *self._leaving.values(), return_exceptions=True)
        if self._leavers is not None:
            await asyncio.to_thread(self._leavers.shutdown)
            self._leavers = None
        if self._executor is not None:
            if self._kernel is not None:
                await self._run(self._kernel.close)
            self._executor.shutdown()
            self._executor = self._kernel = self._dataplane = None

    async def reset(self) -> None:
        """See PodNetwork.reset. Works without `start`, and closes: nothing may put back what was removed."""
        await self.close()
        _, dataplane = await self._open()
        try:
            await self._run(dataplane.reset)
        finally:
            await self.close()

    @property
    def _started(self) -> Dataplane:
        if self._dataplane is None:
            raise NetworkFailure("the network was not started")
        return self._dataplane

    async def _open(self) -> tuple[Kernel, Dataplane]:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="network")
        try:
            self._kernel, self._dataplane = opened = await self._run(self._open_in_thread)
        except NetworkFailure:
            self._executor.shutdown()
            self._executor = None
            raise
        self._leavers = ThreadPoolExecutor(
            _LEAVERS, thread_name_prefix="network-leave", initializer=self._enter_namespace
        )
        return opened

    def _open_in_thread(self) -> tuple[Kernel, Dataplane]:
        self._enter_namespace()
        kernel = self._open_kernel()
        try:
            return kernel, Dataplane(self._config, self._env, kernel)
        except NetworkFailure:
            kernel.close()
            raise

    def _enter_namespace(self) -> None:
        if self._netns_path is not None:
            try:
                namespace.enter(self._netns_path)
            except OSError as error:
                raise NetworkFailure(f"could not enter the network namespace {self._netns_path}: {error}") from error

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        """Run in the kernel thread, after everything given to it before; goes on when the caller gives up."""
        if self._executor is None:
            raise NetworkFailure("the network was not started")
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    # Names

    async def _start_dns(self, kernel: Kernel) -> None:
        self._upstreams()
        server = DnsServer(
            self._config.dns_address, self._packer.empty(), kernel.open_socket, self._upstreams, self._env.rng
        )
        try:
            await server.start()
        except OSError as error:
            await server.close()
            raise NetworkFailure(
                f"could not answer DNS on {self._config.dns_address}:{DNS_PORT}: {error.strerror or error};"
                " stop what listens there or choose another DNS address"
            ) from error
        self._dns = server

    def _upstreams(self) -> list[str]:
        servers, self._dns_problems = resolvers.upstreams(self._config, _read_text)
        return servers

    # Others who change things

    async def _start_watch(self, kernel: Kernel) -> None:
        self._events = await self._run(kernel.open_events)
        loop = asyncio.get_running_loop()
        links, rules = self._events
        loop.add_reader(links, self._note_event, links, self._links_changed)
        loop.add_reader(rules, self._note_event, rules, self._changed)
        self._watch = loop.create_task(self._repair_on_change())

    def _note_event(self, source: socket.socket, changed: asyncio.Event) -> None:
        if events.drain(source, self._own_links):
            changed.set()
            self._changed.set()

    async def _repair_on_change(self) -> None:
        """Look again after each change of links, routes or rules; keep trying while something cannot be repaired."""
        failures = 0
        while True:
            if not failures:
                await self._changed.wait()
            await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS)) - 1] if failures else _SETTLE_SECONDS)
            everything = bool(failures) or self._links_changed.is_set()
            self._changed.clear()
            self._links_changed.clear()
            dataplane = self._started
            try:
                repaired = await self._run(dataplane.repair if everything else dataplane.repair_rules)
            except NetworkFailure as error:
                failures += 1
                log.warning("network_not_repaired", error=str(error))
                continue
            except Exception:
                failures += 1
                log.exception("network_repair_crashed")
                continue
            failures = 0
            if repaired:
                log.warning("network_repaired", what=repaired)
            firewalls = dataplane.problems()
            for problem in sorted(set(firewalls) - set(self._firewalls)):
                log.warning("network_problem_found", problem=problem)
            self._firewalls = firewalls


def _read_text(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None
