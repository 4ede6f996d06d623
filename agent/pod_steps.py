"""Performs single steps for pods through the runtime, the network and the disk. Keeps nothing, decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.container_plan import container_spec, shm_bytes
from agent.environment import Sources, container_environment, expand
from agent.images import Ensured, Images
from agent.inputs import Inputs
from agent.last_words import last_words
from agent.paths import Paths
from agent.pod_files import hostname, resolv_conf
from agent.probe_actions import ProbeActions
from agent.probes import Answer
from agent.runtime.protocol import Container, ContainerRuntime, Image, Sandbox
from agent.tokens import Tokens
from agent.volumes import (
    container_mounts,
    make_etc,
    make_volumes,
    refresh_volumes,
    remove_files,
    remove_volumes,
)
from api.core import Container as ContainerSpec
from api.core import LifecycleHandler, Pod, Probe
from netplugin.protocol import PodNetwork

STARTS_AT_ONCE = 4
"""More at once make each slower and none earlier (measured: 40 pods a second with four)."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What pods may know of their node. `allocatable`: cpu in millicores, others in whole units."""

    name: str
    ip: str
    memory_capacity_bytes: int
    allocatable: Mapping[str, int] = field(default_factory=dict)
    resolv_conf_path: str = "/etc/resolv.conf"
    cgroup_root: str = "/timonier"


class PodSteps:
    """All steps may be repeated; they raise RuntimeFailure, NetworkFailure, VolumeFailure and ConfigError."""

    def __init__(
        self,
        *,
        runtime: ContainerRuntime,
        network: PodNetwork,
        paths: Paths,
        images: Images,
        probes: ProbeActions,
        inputs: Inputs,
        tokens: Tokens,
        node: NodeFacts,
        cluster_domain: str,
    ) -> None:
        self.runtime = runtime
        self._network = network
        self._paths = paths
        self._images = images
        self._probes = probes
        self._inputs = inputs
        self._tokens = tokens
        self._node = node
        self._cluster_domain = cluster_domain
        self._slots = asyncio.Semaphore(STARTS_AT_ONCE)

    @property
    def node(self) -> NodeFacts:
        """The node that the pods are on."""
        return self._node

    async def make_sandbox(self, pod: Pod) -> Sandbox:
        """Pin the pod's namespaces."""
        spec = pod.spec
        return await self.runtime.make_sandbox(
            pod.metadata.uid,
            hostname(pod),
            shm_bytes=shm_bytes(),
            host_network=bool(spec.host_network),
            host_ipc=bool(spec.host_ipc),
        )

    async def attach(self, pod: Pod, sandbox: Sandbox) -> str:
        """Put the pod on the network; returns its address."""
        meta = pod.metadata
        attachment = await self._network.attach(meta.uid, meta.namespace, meta.name, sandbox.netns_path)
        return attachment.ip

    async def make_volumes(self, pod: Pod, ip: str) -> None:
        """Make volumes and files."""
        sources = replace(self._sources(pod, ip), tokens=await self._tokens.of_pod(pod))
        await asyncio.to_thread(make_volumes, self._paths, pod, sources)
        node_text = await asyncio.to_thread(_text_of, self._node.resolv_conf_path)
        dns = resolv_conf(pod, self._network.dns_config(pod.metadata.namespace), node_text)
        await asyncio.to_thread(make_etc, self._paths, pod, ip, dns, self._cluster_domain)

    async def refresh_volumes(self, pod: Pod, ip: str) -> None:
        """Bring mounted configuration up to date."""
        sources = replace(self._sources(pod, ip), tokens=await self._tokens.of_pod(pod))
        await asyncio.to_thread(refresh_volumes, self._paths, pod, sources)

    async def ensure_image(self, spec: ContainerSpec, pulling: Callable[[], None]) -> Ensured:
        """Make sure that a container's image is here; `pulling` is called when it must be fetched."""
        reference = spec.image or ""
        return await self._images.ensure(reference, spec.image_pull_policy or default_pull_policy(reference), pulling)

    async def create(
        self,
        pod: Pod,
        spec: ContainerSpec,
        attempt: int,
        sandbox: Sandbox,
        ip: str,
        image: Image,
        process_target: str = "",
    ) -> tuple[Container, tuple[str, ...]]:
        """Create one attempt, seeing the processes of another container if need be; returns it and what could not become a variable."""
        environment = container_environment(pod, spec, self._sources(pod, ip))

        def expanded(text: str) -> str:
            return expand(text, environment.variables)

        mounts = await asyncio.to_thread(container_mounts, self._paths, pod, spec, attempt, expanded)
        log_path = self._paths.log(pod.metadata.uid, spec.name, attempt)
        wanted = container_spec(
            pod,
            spec,
            attempt=attempt,
            image=image,
            sandbox=sandbox,
            variables=environment.variables,
            mounts=mounts,
            log_path=str(log_path),
            cgroup_root=self._node.cgroup_root,
            memory_capacity_bytes=self._node.memory_capacity_bytes,
            process_target=process_target,
        )
        async with self._slots:
            return await self.runtime.create(wanted), environment.skipped

    async def start(self, container_id: str) -> Container:
        """Start a created container."""
        async with self._slots:
            return await self.runtime.start(container_id)

    async def hook(
        self, container: Container, spec: ContainerSpec, hook: LifecycleHandler, ip: str, seconds: float
    ) -> Answer:
        """Run a hook of a running container."""
        return await self._probes.hook(container.id, spec, hook, ip or self._node.ip, seconds)

    async def probe(self, container: Container, spec: ContainerSpec, probe: Probe, ip: str) -> Answer:
        """Ask a probe once."""
        return await self._probes.probe(container.id, spec, probe, ip or self._node.ip)

    async def detach(self, uid: str) -> None:
        """Free the pod's address."""
        await self._network.detach(uid)

    async def remove_volumes(self, uid: str) -> None:
        """Remove volumes and files."""
        self._tokens.forget(uid)
        await asyncio.to_thread(remove_volumes, self._paths, uid)

    async def remove_files(self, uid: str) -> None:
        """Remove the rest of what is on disk."""
        await asyncio.to_thread(remove_files, self._paths, uid)

    def last_words(self, container: Container, spec: ContainerSpec | None) -> str:
        """What an ended container left as its message."""
        return last_words(self._paths, container, spec)

    def _sources(self, pod: Pod, ip: str) -> Sources:
        namespace = pod.metadata.namespace
        return Sources(
            config_maps=self._inputs.config_maps(namespace),
            secrets=self._inputs.secrets(namespace),
            services=self._inputs.services({namespace, "default"}),
            node_name=self._node.name,
            host_ip=self._node.ip,
            pod_ip=ip or self._node.ip,
            allocatable=self._node.allocatable,
        )


def default_pull_policy(reference: str) -> str:
    """What an absent pull policy means: Always for `:latest` and no tag, else IfNotPresent."""
    if "@" in reference:
        return "IfNotPresent"
    tag = reference.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in {"", "latest"} else "IfNotPresent"


def _text_of(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")
