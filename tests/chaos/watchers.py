"""Watchers on every replica, and the changes they saw together: the rows that all answers are compared with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from api.errors import ApiError, Expired, Unavailable
from component.client import WatchEvent
from component.rpc_client import RpcClient
from tests.chaos.ports import RESOURCE
from tests.chaos.workload import TOKEN_LABEL
from tests.simulation.checks.record import ADDED, DELETED, MODIFIED, Asked, Row, Seen, Watched

TYPES = {"ADDED": ADDED, "MODIFIED": MODIFIED, "DELETED": DELETED}
PAUSE_SECONDS = 0.2


@dataclass
class Sightings:
    """Everything any watcher saw, each change kept once; `problems` names the first who saw something else."""

    seen: dict[int, Seen] = field(default_factory=dict)
    uids: dict[int, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, watcher: str, seen: Seen, uid: str) -> Seen:
        known = self.seen.setdefault(seen.revision, seen)
        self.uids.setdefault(seen.revision, uid)
        if known != seen:
            self.problems.append(f"{watcher} saw {seen}, somebody else {known}")
        return known

    def rows(self, asked: list[Asked]) -> list[Row]:
        """The changes in order. Their time is when their writer asked for them: nobody knows when they happened."""
        writers: Mapping[str, float] = {each.token: each.invoke_time for each in asked if each.token}
        deleters: dict[tuple[str, str], float] = {}
        for each in sorted(asked, key=lambda each: each.outcome == "ok"):  # who was told so did it, whoever else tried
            if each.verb == "delete" and each.outcome in {"ok", "unknown", "open"}:
                began = deleters.get((each.name, each.uid), each.invoke_time)
                deleters[each.name, each.uid] = each.invoke_time if each.outcome == "ok" else began
        rows = []
        for revision, seen in sorted(self.seen.items()):
            uid = self.uids[revision]
            when = deleters.get((seen.name, uid)) if seen.type == DELETED else writers.get(seen.token)
            began = float("inf") if when is None else when
            rows.append(Row(revision, seen.type, RESOURCE, seen.name, uid, seen.token, began))
        return rows


class Watcher:
    """Watches the workload's objects through the given replicas and goes on where it was after whatever breaks."""

    def __init__(self, name: str, client: RpcClient, namespace: str, sightings: Sightings) -> None:
        self.name = name
        self.watched: list[Watched] = []
        self.broken = 0
        self.expired = 0
        self._client = client
        self._namespace = namespace
        self._sightings = sightings

    @property
    def revision(self) -> int:
        """Up to which it has seen everything."""
        return self.watched[-1].end if self.watched else 0

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until told to stop; starts with a list."""
        watching = asyncio.create_task(self._watch())
        await stop.wait()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await self._client.close()
        if not watching.cancelled() and (problem := watching.exception()):
            raise problem

    async def _watch(self) -> None:
        expired = True
        while True:
            try:
                if expired:
                    listed = await self._client.list(RESOURCE, self._namespace)
                    self.watched.append(Watched(self.name, RESOURCE, listed.revision, end=listed.revision))
                    expired = False
                await self._follow(self.watched[-1])
            except Expired:
                expired = True
                self.expired += 1
            except Unavailable:
                self.broken += 1
            except ApiError as error:
                self._sightings.problems.append(f"{self.name} was refused: {error.reason}: {error}")
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _follow(self, watched: Watched) -> None:
        async for batch in self._client.watch(RESOURCE, self._namespace, revision=watched.end):
            for event in batch:
                self._note(watched, event)

    def _note(self, watched: Watched, event: WatchEvent) -> None:
        watched.end = max(watched.end, event.revision)
        if event.object is None:
            return
        tree = event.object.tree()
        metadata = tree["metadata"]
        name = f"{metadata['namespace']}/{metadata['name']}"
        seen = Seen(event.revision, TYPES[event.type], name, metadata["labels"][TOKEN_LABEL])
        watched.events.append(self._sightings.add(self.name, seen, metadata["uid"]))


async def caught_up(watchers: list[Watcher], revision: int, seconds: float) -> list[str]:
    """Wait until all have seen everything up to a revision; returns who did not in time."""
    end_time = time.monotonic() + seconds
    while behind := [watcher for watcher in watchers if watcher.revision < revision]:
        if time.monotonic() > end_time:
            return [f"{each.name} has seen up to {each.revision} only, not {revision}" for each in behind]
        await asyncio.sleep(0.05)
    return []
