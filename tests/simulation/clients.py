"""Clients of the simulated cluster: writers and readers of Secrets, and watchers that resume on other replicas.

Each is a process of its own that any replica can serve; it notes what it asked and what it was told.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import msgspec

from api import errors
from api.object import Tree
from component.client import ObjectList, Write
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.past import At
from controlplane.apiserver.watches import Batch
from tests.simulation.checks.history import WRITES
from tests.simulation.checks.record import Asked, Seen, Verb, Watched
from tests.simulation.network import Lost
from tests.simulation.recorder import TOKEN_LABEL
from tests.simulation.repeating import ADMIN, RepeatingClient

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

REPEATED_SHARE = 0.5  # of the requests are sent by the product's client
TOGETHER_SHARE = 0.04  # of them are transactions
DEADLINE_SECONDS = 8.0
IDLE_SECONDS = (0.3, 2.5)
RESOURCE = "secrets"
NEW_SHARES: dict[Verb, float] = {"get": 0.3, "list": 0.1, "create": 0.5, "apply": 0.1}
KNOWN_SHARES: dict[Verb, float] = {
    "get": 0.2,
    "past": 0.05,
    "list": 0.1,
    "delete": 0.12,
    "update": 0.4,
    "patch": 0.1,
    "apply": 0.08,
}
"""What is asked of objects that a writer knows, and of others."""


def config_map(name: str, token: str, uid: str = "", revision: int = 0) -> Tree:
    metadata: Tree = {"name": name, "namespace": "default", "labels": {TOKEN_LABEL: token}}
    if uid:
        metadata["uid"] = uid
    if revision:
        metadata["resourceVersion"] = str(revision)
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}


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
        self._repeating = RepeatingClient(cluster, name)
        self._seen: list[int] = []  # revisions it was told of
        self._next: tuple[Verb, str] | None = None  # what a write that was sent twice asks for

    async def run(self) -> None:
        while not self.stopping:
            together = self._next is None and self.rng.random() < TOGETHER_SHARE
            await (self._two() if together else self._one())
            await asyncio.sleep(self.rng.uniform(*self._pause_seconds))
            if self.rng.random() < 0.05:
                self.move()

    def _draw(self) -> tuple[Verb, str]:
        if self._next is not None:
            drawn, self._next = self._next, None
            return drawn
        name = self.rng.choice(self._names)
        shares = KNOWN_SHARES if name in self._known else NEW_SHARES
        verb = self.rng.choices(list(shares), list(shares.values()))[0]
        return verb, "" if verb == "list" else name

    async def _one(self) -> None:
        verb, name = self._draw()
        asked = self._new(verb, name)
        sendings = self._repeating.sendings
        result = await self._settle([asked], self._send(asked, name))
        if asked.outcome == "ok":
            self._note(asked, name, result)
            if self._repeating.sendings > sendings + 1 and verb in WRITES - {"delete"}:
                self._next = ("delete" if self.rng.random() < 0.7 else "update"), name
        self._trace(asked)

    async def _two(self) -> None:
        """Apply two objects in one transaction: both at adjacent revisions, or neither."""
        names = self.rng.sample(self._names, 2)
        both = [self._new("apply", name) for name in names]
        self._cluster.recorder.together.append((both[0].token, both[1].token))
        writes = [Write("apply", config_map(name, each.token)) for name, each in zip(names, both, strict=True)]
        if self.rng.random() < REPEATED_SHARE:
            work = self._repeating.transaction(writes)
        else:
            work = self.ask(lambda api: api.core.transaction(ADMIN, writes))
        result = await self._settle(both, work)
        for each, revision in zip(both, (result.revision - 1, result.revision) if result else (), strict=False):
            each.outcome, each.revision = ("ok", revision) if result.committed else ("refused", 0)
        for name, each in zip(names, both, strict=True):
            self._known.pop(name, None)
            self._trace(each)

    def _new(self, verb: Verb, name: str) -> Asked:
        self._count += 1
        token = f"{self.name}-{self._count}" if verb in WRITES - {"delete"} else ""
        asked = Asked(self.name, verb, f"default/{name}" if name else "", self.loop.time(), token)
        self._cluster.recorder.ask(asked)
        return asked

    async def _settle(self, asked: list[Asked], work: Any) -> Any:
        """Wait for the answer to what stands or falls together and note what it means; None unless it is a result."""
        result = None
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                result = await work
            outcome, reason = "ok", ""
        except errors.Unavailable:
            outcome, reason = "unavailable", ""
        except (errors.Unknown, Lost, TimeoutError):
            outcome, reason = "unknown", ""
        except errors.ApiError as error:
            outcome, reason = "refused", error.reason
        for each in asked:
            each.outcome, each.reason, each.return_time = outcome, reason, self.loop.time()
            name = each.name.removeprefix("default/")
            if outcome in {"unknown", "refused"}:
                self._known.pop(name, None)
            if reason == "AlreadyExists":
                self._known[name] = ("", 0)
        return result

    def _trace(self, asked: Asked) -> None:
        facts = asked.name, asked.outcome, asked.reason, asked.revision, asked.return_time
        self._cluster.simulator.trace(self.name, asked.verb, *facts)

    async def _send(self, asked: Asked, name: str) -> Any:
        """Once, to the current replica, or with the product's client, which repeats it as it sees fit."""
        uid, revision = self._known.get(name, ("", 0))
        match asked.verb:
            case "past":
                asked.precondition = self.rng.choice(self._seen or [1])
            case "create":
                asked.uid = f"{asked.token}-uid"
            case "update":
                asked.precondition = revision if self.rng.random() < 0.6 else 0
            case "delete":
                asked.uid = uid
        if self.rng.random() < REPEATED_SHARE:
            return await _ask(self._repeating, asked, name)
        return await self.ask(lambda api: _ask(OneCore(api.core), asked, name))

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
        if asked.verb == "past":
            return
        self._seen.append(result.revision)
        self._known[name] = (result.uid, result.revision)


class OneCore:
    """The API core of one replica, asked as the product's client is."""

    def __init__(self, core: ApiCore) -> None:
        self._core = core

    async def get(self, resource: str, namespace: str, name: str, at_revision: int | None = None) -> Any:
        return await self._core.reads.get(ADMIN, resource, namespace, name, at=At(at_revision))

    async def list(self, resource: str, namespace: str) -> Any:
        return await self._core.reads.list(ADMIN, resource, namespace)

    def __getattr__(self, verb: str) -> Any:
        return functools.partial(getattr(self._core, verb), ADMIN)


async def _ask(api: Any, asked: Asked, name: str) -> Any:
    plain = config_map(name, asked.token, asked.uid if asked.verb == "create" else "", asked.precondition)
    match asked.verb:
        case "create" | "update":
            return await getattr(api, asked.verb)(plain)
        case "patch":
            patch = msgspec.json.encode({"metadata": {"labels": {TOKEN_LABEL: asked.token}}})
            return await api.patch(RESOURCE, "default", name, "merge", patch)
        case "apply":
            return (await api.apply(plain))[0]
        case "delete":
            return await api.delete(RESOURCE, "default", name, uid=asked.uid)
        case "get" | "past":
            return await api.get(RESOURCE, "default", name, at_revision=asked.precondition or None)
    return await api.list(RESOURCE, "default")


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
            listed = await self.ask(lambda api: api.core.reads.list(ADMIN, RESOURCE, ""))
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
            async for batch in core.reads.watch(ADMIN, RESOURCE, "", revision=revision):
                yield batch

        return self._cluster.rpc.stream(self.name, self.replica, follow)


def _token(item: Any) -> str:
    return item.tree()["metadata"].get("labels", {}).get(TOKEN_LABEL, "")
