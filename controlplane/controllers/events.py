"""Events for people: what happened to an object and why, aggregated, bounded, and never in anybody's way.

Recording only notes; a task of its own writes later. Repeats of one event are counted on one object; many similar
ones about the same object (more than ten in ten minutes) are combined, as Kubernetes' recorders do.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

import structlog

from api import errors, scheme
from api.errors import ApiError
from api.names import derived_name
from api.object import Object, Tree
from component.client import ApiClient
from component.env import Env, parse_time, rfc3339
from controlplane.controllers.actions import Record
from controlplane.controllers.turns import Turns

log = structlog.get_logger()

MAX_PENDING = 1_000
MAX_KNOWN = 4_096
MAX_CALLS = 16
FLUSH_SECONDS = 0.1  # events wait a little, so that they do not compete with the work they tell about
BACKOFF_SECONDS = 1.0
SIMILAR_LIMIT = 10
SIMILAR_SECONDS = 600.0
LIFETIME_SECONDS = 3_600.0
EXPIRY_SECONDS = 60.0
PAGE = 500

COMBINED = "(combined from similar events): "

Key = tuple[str, str, str, str, str]  # uid of the object, component, kind, reason, message


@dataclass(slots=True)
class _Occurrence:
    """One event since it was written last."""

    regarding: Object
    message: str
    first_time: float
    last_time: float
    new: int = 1
    stored: Tree | None = None


@dataclass(slots=True)
class _Similar:
    """How many different messages of one reason an object got in the current window."""

    since: float
    messages: set[str] = field(default_factory=set)


class EventWriter:
    """Collects the records of all components and writes them until cancelled; the oldest are dropped when too many."""

    def __init__(self, client: ApiClient, env: Env, turns: Turns) -> None:
        self._client = client
        self._env = env
        self._turns = turns
        self._pending: OrderedDict[Key, _Occurrence] = OrderedDict()
        self._known: OrderedDict[Key, _Occurrence] = OrderedDict()
        self._similar: OrderedDict[Key, _Similar] = OrderedDict()
        self._wake = asyncio.Event()
        self._dropped = 0

    def recorder(self, component: str) -> Recorder:
        """A recorder that speaks for `component`."""
        return Recorder(self, component)

    def note(self, component: str, record: Record) -> None:
        """Take one record; never blocks."""
        now = self._env.now()
        message = self._combined(component, record, now)
        key = (record.regarding.uid, component, record.kind, record.reason, message[0])
        occurrence = self._pending.get(key)
        if occurrence is None:
            occurrence = self._known.pop(key, None)
            if occurrence is None:
                occurrence = _Occurrence(record.regarding, message[1], now, now, new=0)
            self._pending[key] = occurrence
        occurrence.new += 1
        occurrence.last_time = now
        occurrence.message = message[1]
        if len(self._pending) > MAX_PENDING:
            self._pending.popitem(last=False)
            self._dropped += 1
        self._wake.set()

    async def run(self) -> None:
        """Write what was noted."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            self._wake.clear()
            while self._pending:
                count = min(MAX_CALLS, len(self._pending))
                batch = [self._pending.popitem(last=False) for _ in range(count)]
                written = await asyncio.gather(*(self._write(key, occurrence) for key, occurrence in batch))
                if not all(written):
                    await asyncio.sleep(BACKOFF_SECONDS)
            if self._dropped:
                log.warning("events_dropped", count=self._dropped)
                self._dropped = 0

    def _combined(self, component: str, record: Record, now: float) -> tuple[str, str]:
        """Return what identifies the message, and the message."""
        key = (record.regarding.uid, component, record.kind, record.reason, "")
        similar = self._similar.get(key)
        if similar is None or now - similar.since > SIMILAR_SECONDS:
            similar = self._similar[key] = _Similar(now)
            if len(self._similar) > MAX_KNOWN:
                self._similar.popitem(last=False)
        if record.message in similar.messages:
            return record.message, record.message
        if len(similar.messages) < SIMILAR_LIMIT:
            similar.messages.add(record.message)
            return record.message, record.message
        return COMBINED, COMBINED + record.message

    async def _write(self, key: Key, occurrence: _Occurrence) -> bool:
        """Create or count up one event; False when that should be tried again later."""
        await self._turns.rest()
        counted, occurrence.new = occurrence.new, 0
        try:
            stored = await self._store(key, occurrence, counted)
        except (errors.Unavailable, errors.Unknown) as error:
            log.info("event_delayed", reason=error.reason, message=str(error))
            occurrence.new += counted
            self._pending.setdefault(key, occurrence)
            self._wake.set()
            return False
        except ApiError as error:
            # Its namespace is going, or somebody else wrote under its name: not worth more.
            log.info("event_dropped", reason=error.reason, message=str(error))
            return True
        occurrence.stored = stored.tree()
        if key not in self._pending:
            self._known[key] = occurrence
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return True

    async def _store(self, key: Key, occurrence: _Occurrence, counted: int) -> Object:
        if occurrence.stored is not None:
            tree = occurrence.stored
            tree["count"] += counted
            tree["lastTimestamp"] = rfc3339(occurrence.last_time)
            tree["message"] = occurrence.message
            try:
                return await self._client.update(tree)
            except (errors.NotFound, errors.Conflict):
                occurrence.first_time = occurrence.last_time
        return await self._client.create(_event(key, occurrence, counted))


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records events in the name of one component."""

    writer: EventWriter
    component: str

    def record(self, record: Record) -> None:
        """Note what happened; never blocks or fails."""
        self.writer.note(self.component, record)


def _event(key: Key, occurrence: _Occurrence, counted: int) -> Tree:
    _, component, kind, reason, _ = key
    item = occurrence.regarding
    of = scheme.by_resource(item.resource)
    regarding: Tree = {"apiVersion": of.api_version, "kind": of.kind, "name": item.name, "uid": item.uid}
    if item.namespace:
        regarding["namespace"] = item.namespace
    if item.revision:
        regarding["resourceVersion"] = str(item.revision)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": derived_name(item.name, *key, occurrence.first_time, length=16),
            "namespace": item.namespace or "default",
        },
        "involvedObject": regarding,
        "type": kind,
        "reason": reason,
        "message": occurrence.message,
        "count": counted,
        "firstTimestamp": rfc3339(occurrence.first_time),
        "lastTimestamp": rfc3339(occurrence.last_time),
        "source": {"component": component},
        "reportingComponent": component,
    }


def expired(tree: Tree, now: float) -> bool:
    """Whether nothing was heard of the event for an hour."""
    known = (tree.get("lastTimestamp"), (tree.get("series") or {}).get("lastObservedTime"), tree.get("eventTime"))
    seen = [each for each in known if each] or [tree["metadata"].get("creationTimestamp")]
    return seen != [None] and max(map(parse_time, seen)) + LIFETIME_SECONDS <= now


async def expire_events(client: ApiClient, env: Env) -> None:
    """Delete expired events every minute until cancelled; the leader's job."""
    while True:
        await asyncio.sleep(EXPIRY_SECONDS)
        try:
            await _expire_once(client, env.now())
        except ApiError as error:
            log.info("event_expiry_failed", reason=error.reason, message=str(error))


async def _expire_once(client: ApiClient, now: float) -> None:
    token = ""
    while True:
        page = await client.list("events", limit=PAGE, continue_token=token)
        for item in page.items:
            if expired(item.tree(), now):
                try:
                    await client.delete("events", item.namespace, item.name, uid=item.uid)
                except (errors.NotFound, errors.Conflict):
                    continue
        token = page.continue_token
        if not token:
            return
