"""Simulated nodes and the users of their pods: agents that heartbeat and run what is bound to them, a user who scales
Deployments, and a second scheduler that binds without looking.

They are ordinary API clients. What an agent starts it tells the recorder, so that no pod may run on two nodes.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from api import errors
from api.object import Tree
from component.client import Binding
from component.env import rfc3339
from controlplane.admission.request import node_identity
from controlplane.apiserver.objects import object_at
from controlplane.commands import Key
from tests import builders
from tests.simulation.clients import ADMIN, Client
from tests.simulation.network import Lost

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

HEARTBEAT_SECONDS = 1.0
CALL_SECONDS = 3.0
NODE_CPU = "2"
POD_CPU = "500m"
RETRIABLE = (errors.ApiError, Lost, TimeoutError)


class Agent(Client):
    """One node; `running` is what it runs, by pod uid."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        super().__init__(cluster, name)
        self._identity = node_identity(name)
        self._pods: dict[str, Tree] = {}
        self._changed = asyncio.Event()
        self._epoch = 0
        self.running: set[str] = set()

    async def run(self) -> None:
        self._changed = asyncio.Event()
        for work in (self._heartbeat(), self._follow(), self._work()):
            self.loop.create_task(work)

    async def _call(self, work: Any) -> Any:
        async with asyncio.timeout(CALL_SECONDS):
            return await self.ask(work)

    async def _heartbeat(self) -> None:
        while True:
            try:
                self._epoch += 1
                await self._register()
                while True:
                    await self._call(self._heard)
                    await asyncio.sleep(HEARTBEAT_SECONDS)
            except RETRIABLE:
                await asyncio.sleep(self.rng.uniform(0.05, 0.3))

    async def _heard(self, api: Any) -> None:
        if api.directory.report() and any(node == self.name for node, _, _ in api.directory.report()):
            api.directory.heard(self.name, self._epoch)
        else:
            api.directory.opened(self.name, self._epoch)
        stored = api.replica.state.get(Key("nodes", "", self.name))
        if stored is not None and b'"Unknown"' in stored.body:
            raise errors.Unavailable("the control plane gave the node up: report again")

    async def _register(self) -> None:
        tree = builders.node(self.name, cpu=NODE_CPU, memory="4Gi", pods="20")
        try:
            await self._call(lambda api: api.core.create(ADMIN, tree))
        except errors.AlreadyExists:
            stored = (await self._call(lambda api: api.core.reads.get(ADMIN, "nodes", "", self.name))).tree()
            stored["status"] = tree["status"]
            await self._call(lambda api: api.core.update_status(self._identity, stored))

    async def _follow(self) -> None:
        while True:
            try:
                await self._watch()
            except RETRIABLE:
                self.move()
            await asyncio.sleep(self.rng.uniform(0.02, 0.2))

    async def _watch(self) -> None:
        found: dict[str, Tree] = {}
        whole = False
        async with asyncio.timeout(3.0) as deadline:
            async for batch in self._cluster.rpc.stream(self.name, self.replica, self._pod_watch):
                for event in batch.events:
                    tree = object_at(event.envelope, event.body, event.revision).tree()
                    pods = self._pods if whole else found
                    if event.type == 3:
                        pods.pop(event.envelope.uid, None)
                    else:
                        pods[event.envelope.uid] = tree
                if batch.bookmark and not whole:
                    whole, self._pods = True, found
                self._changed.set()
                deadline.reschedule(self.loop.time() + 3.0)

    def _pod_watch(self, api: Any) -> Any:
        return api.core.reads.watch(ADMIN, "pods", "", field_selector=f"spec.nodeName={self.name}")

    async def _work(self) -> None:
        while True:
            try:
                async with asyncio.timeout(0.5):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            for uid, pod in list(self._pods.items()):
                try:
                    await self._sync(uid, pod)
                except RETRIABLE:
                    await asyncio.sleep(0.05)

    async def _sync(self, uid: str, pod: Tree) -> None:
        metadata = pod["metadata"]
        if "deletionTimestamp" in metadata:
            self.running.discard(uid)
            await self._call(
                lambda api: api.core.delete(
                    self._identity, "pods", metadata["namespace"], metadata["name"], uid=uid, grace_seconds=0
                )
            )
            return
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
        if pod["status"].get("phase") == "Running" and ready:
            return
        if uid not in self.running:
            self.running.add(uid)
            self._cluster.recorder.ran(uid, self.name)
        since = rfc3339(self._cluster.simulator.now + 1_750_000_000)
        others = [c for c in pod["status"].get("conditions", ()) if c["type"] != "Ready"]
        conditions = [*others, {"type": "Ready", "status": "True", "lastTransitionTime": since}]
        tree = {**pod, "status": {**pod["status"], "phase": "Running", "conditions": conditions}}
        await self._call(lambda api: api.core.update_status(self._identity, tree))


class User(Client):
    """Scales and changes Deployments, deletes pods, and sometimes binds pods of its own wherever it likes."""

    def __init__(self, cluster: Cluster, name: str, nodes: list[str]) -> None:
        super().__init__(cluster, name)
        self._nodes = nodes
        self._count = 0

    async def run(self) -> None:
        while not self.stopping:
            for name in ("web0", "web1"):
                await self._try(self._scale(name, self.rng.randrange(0, 5)))
            await asyncio.sleep(self.rng.uniform(0.05, 0.3))
            for work in (self._bind_own, self._delete_one, self._delete_one, self._delete_own):
                if self.rng.random() < 0.5:
                    await self._try(work())
        await self._finish()

    async def _finish(self) -> None:
        """The last word, said until it was heard: what controllers must arrive at."""
        for name, replicas in (("web0", 2), ("web1", 3)):
            while not await self._try(self._scale(name, replicas)):
                await asyncio.sleep(0.1)
        while not await self._try(self._delete_own()):
            await asyncio.sleep(0.1)

    async def _try(self, work: Any) -> bool:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await work
        except RETRIABLE:
            return False
        return True

    async def _scale(self, name: str, replicas: int) -> None:
        tree = builders.deployment(name, replicas)
        tree["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": POD_CPU}}
        image = f"example/web:{self.rng.randrange(1, 3)}"
        tree["spec"]["template"]["spec"]["containers"][0]["image"] = image
        for field in ("creationTimestamp", "generation"):
            tree["metadata"].pop(field, None)
        await self.ask(lambda api: api.core.apply(ADMIN, tree))

    async def _bind_own(self) -> None:
        """Pods bound past the scheduler, which wants them too, to one node that may be full: the API must say so."""
        made = []
        for _ in range(self.rng.randrange(1, 5)):
            self._count += 1
            tree = builders.pod(f"own{self._count}", node="", requests={"cpu": POD_CPU}, labels={"app": "own"})
            del tree["status"], tree["metadata"]["creationTimestamp"]
            made.append(await self.ask(lambda api, tree=tree: api.core.create(ADMIN, tree)))
        node = self.rng.choice(self._nodes)
        bindings = [Binding(pod.namespace, pod.name, pod.uid, node) for pod in made]
        answers = await self.ask(lambda api: api.core.bind(ADMIN, bindings))
        self._cluster.counts["full_nodes"] += sum(isinstance(each, errors.TooLarge) for each in answers)

    async def _delete_one(self) -> None:
        listed = await self.ask(lambda api: api.core.reads.list(ADMIN, "pods", "default"))
        if listed.items:
            pod = self.rng.choice(listed.items)
            await self.ask(
                lambda api: api.core.delete(ADMIN, "pods", "default", pod.name, uid=pod.uid, grace_seconds=1)
            )

    async def _delete_own(self) -> None:
        listed = await self.ask(lambda api: api.core.reads.list(ADMIN, "pods", "default", label_selector="app=own"))
        for pod in listed.items:
            await self._delete_pod(pod)

    async def _delete_pod(self, pod: Any) -> None:
        with contextlib.suppress(errors.NotFound):
            await self.ask(
                lambda api: api.core.delete(ADMIN, "pods", "default", pod.name, uid=pod.uid, grace_seconds=1)
            )
