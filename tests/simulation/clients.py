"""Clients of the simulated cluster: writers and readers of ConfigMaps, and watchers that resume on other replicas.

Each is a process of its own that any replica can serve; it notes what it asked and what it was told.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from api import errors
from api.object import Tree
from component.client import ObjectList
from controlplane.admission.request import MASTERS_GROUP, Identity
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.watches import Batch
from tests.simulation.checks.record import Asked, Seen, Verb, Watched
from tests.simulation.network import Lost
from tests.simulation.recorder import TOKEN_LABEL

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

ADMIN = Identity("kubernetes-admin", (MASTERS_GROUP,))
DEADLINE_SECONDS = 8.0
IDLE_SECONDS = (0.3, 2.5)
RESOURCE = "configmaps"


def config_map(name: str, token: str, uid: str = "", revision: int = 0) -> Tree:
    metadata: Tree = {"name": name, "namespace": "default", "labels": {TOKEN_LABEL: token}}
    if uid:
        metadata["uid"] = uid
    if revision:
        metadata["resourceVersion"] = str(revision)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


class Client:
    """One process that talks to one replica at a time and goes to another when that one does not serve."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self.name = name
        self.rng = cluster.simulator.rng(f"client {name}")
        self.loop = cluster.simulator.process(name)
        self.stopping = False
        self._replica = self.rng.choice(list(cluster.hosts))

    async def ask(self, work: Any) -> Any:
        """Call the API at the current replica; goes elsewhere after an error that another may not have."""
        try:
            return await self._cluster.rpc.call(self.name, self._replica, work)
        except (errors.Unavailable, errors.Unknown, Lost, TimeoutError, asyncio.CancelledError):
            self.move()
            raise

    def move(self) -> None:
        self._replica = self.rng.choice(list(self._cluster.hosts))

    @property
    def replica(self) -> str:
        return self._replica


class Writer(Client):
    """Asks one thing after the other; `known` is what it saw last of each object, as a base for preconditions."""

    def __init__(self, cluster: Cluster, name: str, names: int, pause_seconds: tuple[float, float]) -> None:
        super().__init__(cluster, name)
        self._names = [f"k{number}" for number in range(names)]
        self._pause_seconds = pause_seconds
        self._known: dict[str, tuple[str, int]] = {}
        self._count = 0

    async def run(self) -> None:
        while not self.stopping:
            await self._one()
            await asyncio.sleep(self.rng.uniform(*self._pause_seconds))
            if self.rng.random() < 0.05:
                self.move()

    def _draw(self) -> tuple[Verb, str]:
        name = self.rng.choice(self._names)
        draw = self.rng.random()
        if draw < 0.2:
            return "get", name
        if draw < 0.3:
            return "list", ""
        if name not in self._known:
            return ("create", name) if draw < 0.85 else ("get", name)
        return ("delete", name) if draw < 0.42 else ("update", name)

    async def _one(self) -> None:
        verb, name = self._draw()
        self._count += 1
        token = f"{self.name}-{self._count}" if verb in {"create", "update"} else ""
        asked = Asked(self.name, verb, f"default/{name}" if name else "", self.loop.time(), token)
        self._cluster.recorder.ask(asked)
        work = self._work(asked, name)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                result = await self.ask(work)
        except errors.Unavailable:
            asked.outcome = "unavailable"
        except (errors.Unknown, Lost, TimeoutError):
            asked.outcome = "unknown"
            self._known.pop(name, None)
        except errors.ApiError as error:
            asked.outcome, asked.reason = "refused", error.reason
            self._known.pop(name, None)
            if error.reason == "AlreadyExists":
                self._known[name] = ("", 0)
        else:
            asked.outcome = "ok"
            self._note(asked, name, result)
        asked.return_time = self.loop.time()
        self._cluster.simulator.trace(
            self.name, verb, name, asked.outcome, asked.reason, asked.revision, asked.return_time
        )

    def _work(self, asked: Asked, name: str) -> Any:
        uid, revision = self._known.get(name, ("", 0))
        match asked.verb:
            case "create":
                asked.uid = f"{asked.token}-uid"
                tree = config_map(name, asked.token, asked.uid)
                return lambda api: api.core.create(ADMIN, tree)
            case "update":
                asked.precondition = revision if self.rng.random() < 0.6 else 0
                tree = config_map(name, asked.token, revision=asked.precondition)
                return lambda api: api.core.update(ADMIN, tree)
            case "delete":
                asked.uid = uid
                return lambda api: api.core.delete(ADMIN, RESOURCE, "default", name, uid=uid)
            case "get":
                return lambda api: api.core.get(ADMIN, RESOURCE, "default", name)
            case "list":
                return lambda api: api.core.list(ADMIN, RESOURCE, "default")

    def _note(self, asked: Asked, name: str, result: Any) -> None:
        if isinstance(result, ObjectList):
            asked.revision = result.revision
            asked.seen = {f"{item.namespace}/{item.name}": (item.revision, _token(item)) for item in result.items}
            return
        asked.revision = result.revision
        if asked.verb == "delete":
            asked.uid = result.uid
            self._known.pop(name, None)
            return
        asked.seen = _token(result)
        self._known[name] = (result.uid, result.revision)


class Watcher(Client):
    """Lists, then watches, and resumes where it was on another replica when a watch ends or is quiet for too long."""

    def __init__(self, cluster: Cluster, name: str, *, from_nothing: bool, slow: bool) -> None:
        super().__init__(cluster, name)
        self._from_nothing = from_nothing
        self._slow = slow
        self._watched: Watched | None = None
        self._revision = 0

    @property
    def revision(self) -> int:
        """Up to which it has seen everything."""
        return self._revision

    async def run(self) -> None:
        while not self.stopping:
            try:
                if self._watched is None:
                    await self._list()
                await self._follow()
            except errors.Expired:
                self._cluster.counts["expired"] += 1
                self._watched = None
            except (errors.ApiError, Lost, TimeoutError):
                pass
            self._cluster.counts["resumed"] += 1
            self.move()
            await asyncio.sleep(self.rng.uniform(0.01, 0.2))

    async def _list(self) -> None:
        if self._from_nothing:
            await self._list_by_watch()
            return
        async with asyncio.timeout(DEADLINE_SECONDS):
            listed = await self.ask(lambda api: api.core.list(ADMIN, RESOURCE, ""))
        self._restart(listed.revision)

    async def _list_by_watch(self) -> None:
        """A watch from nothing begins with what there is, up to a bookmark; checked as a list is."""
        asked = Asked(self.name, "list", "", self.loop.time())
        found: dict[str, tuple[int, str]] = {}
        async with asyncio.timeout(DEADLINE_SECONDS):
            async for batch in self._batches(None):
                for event in batch.events:
                    key = event.envelope.key
                    found[f"{key.namespace}/{key.name}"] = (event.revision, event.envelope.labels.get(TOKEN_LABEL, ""))
                if batch.bookmark:
                    asked.outcome, asked.revision, asked.seen = "ok", batch.bookmark, found
                    asked.return_time = self.loop.time()
                    self._cluster.recorder.ask(asked)
                    self._restart(batch.bookmark)
                    return

    def _restart(self, revision: int) -> None:
        self._revision = revision
        self._watched = Watched(self.name, RESOURCE, revision, end=revision)
        self._cluster.recorder.watched.append(self._watched)

    async def _follow(self) -> None:
        assert self._watched is not None
        async with asyncio.timeout(self.rng.uniform(*IDLE_SECONDS)) as deadline:
            async for batch in self._batches(self._revision):
                self._take(batch)
                if self._slow:
                    await asyncio.sleep(self.rng.uniform(0.05, 0.4))
                if self.rng.random() < 0.03:
                    return
                deadline.reschedule(self.loop.time() + self.rng.uniform(*IDLE_SECONDS))

    def _take(self, batch: Batch) -> None:
        assert self._watched is not None
        for event in batch.events:
            key = event.envelope.key
            token = event.envelope.labels.get(TOKEN_LABEL, "")
            self._watched.events.append(Seen(event.revision, event.type, f"{key.namespace}/{key.name}", token))
            self._revision = event.revision
        if batch.bookmark:
            self._revision = self._watched.end = batch.bookmark
        self._cluster.simulator.trace(self.name, "at", self._revision)

    def _batches(self, revision: int | None) -> Any:
        async def follow(api: Any) -> Any:
            core: ApiCore = api.core
            async for batch in core.watch(ADMIN, RESOURCE, "", revision=revision):
                yield batch

        return self._cluster.rpc.stream(self.name, self.replica, follow)


def _token(item: Any) -> str:
    return item.tree()["metadata"].get("labels", {}).get(TOKEN_LABEL, "")
