"""What the control plane still has to hear: the newest status of each pod, until it is acknowledged. No I/O.

Only the newest status of a pod matters, so memory is bounded by the number of pods.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from agent.events import EventRecorder
from api.object import Tree, canonical
from api.v1 import node_pb2, resource_pb2

PODS_PER_REPORT = 200
EVENTS_PER_REPORT = 100


@dataclass(slots=True)
class _Entry:
    namespace: str
    name: str
    status: str = ""
    gone: bool = False
    version: int = 1
    acknowledged: int = 0


@dataclass(frozen=True, slots=True)
class _Sent:
    versions: dict[str, int]
    events: list[Tree]


class ReportBook:
    """Versions per pod: put makes a new one, an acknowledgement of that very version settles it."""

    def __init__(self, events: EventRecorder) -> None:
        self.changed = asyncio.Event()
        self._events = events
        self._entries: dict[str, _Entry] = {}
        self._dirty: dict[str, None] = {}
        self._in_flight: dict[int, _Sent] = {}

    def seed(self, uid: str, namespace: str, name: str, stored: str) -> None:
        """Start from what the control plane holds for a pod (JSON), so that it need not be told the same again."""
        if uid not in self._entries and stored not in {"", "{}"}:
            self._entries[uid] = _Entry(namespace, name, stored, version=0)

    def put_status(self, uid: str, namespace: str, name: str, status: Tree) -> None:
        """Note a pod's status; the same one again is no news."""
        entry = self._entries.setdefault(uid, _Entry(namespace, name, version=0))
        text = canonical(status).decode()
        if text != entry.status:
            entry.status = text
            self._mark(uid, entry)

    def put_gone(self, uid: str, namespace: str, name: str) -> None:
        """Note that nothing of the pod is left here."""
        entry = self._entries.setdefault(uid, _Entry(namespace, name, version=0))
        entry.gone = True
        self._mark(uid, entry)

    def events_waiting(self) -> None:
        """There is something in the event recorder."""
        self.changed.set()

    def compare(self, uid: str, stored: str) -> None:
        """Report again unless the control plane holds just what was last reported (it may have been restored)."""
        entry = self._entries.get(uid)
        if entry is not None and entry.status and entry.status != stored:
            self._mark(uid, entry)

    def restore(self, uid: str, stored: str) -> None:
        """Take what the control plane holds (JSON) as the last report: it was told more than this node knows now."""
        entry = self._entries.get(uid)
        if entry is not None:
            entry.status, entry.acknowledged = stored, entry.version
            if not entry.gone:
                self._dirty.pop(uid, None)

    def last_status(self, uid: str) -> Tree:
        """The newest status of a pod, empty when there is none."""
        entry = self._entries.get(uid)
        tree: Tree = msgspec.json.decode(entry.status, type=dict) if entry is not None and entry.status else {}
        return tree

    def forget(self, uid: str) -> None:
        """The pod does not exist any more."""
        self._entries.pop(uid, None)
        self._dirty.pop(uid, None)

    @property
    def unacknowledged(self) -> int:
        """How many pods have news that the control plane has not confirmed."""
        return sum(1 for entry in self._entries.values() if entry.acknowledged < entry.version)

    def take(self, report_id: int) -> node_pb2.StatusReport | None:
        """The next report, or None when there is no news. What it holds is in flight until settled or lost."""
        report = node_pb2.StatusReport(id=report_id)
        versions: dict[str, int] = {}
        for uid in list(self._dirty)[:PODS_PER_REPORT]:
            del self._dirty[uid]
            entry = self._entries[uid]
            versions[uid] = entry.version
            report.pods.add(namespace=entry.namespace, name=entry.name, uid=uid, status=entry.status, gone=entry.gone)
        events = self._events.take(EVENTS_PER_REPORT)
        report.events.extend(_event_resource(tree) for tree in events)
        if not self._dirty and not self._events.waiting:
            self.changed.clear()
        if not versions and not events:
            return None
        self._in_flight[report_id] = _Sent(versions, events)
        return report

    def settle(self, report_id: int) -> None:
        """The report was stored."""
        sent = self._in_flight.pop(report_id, None)
        for uid, version in (sent.versions if sent is not None else {}).items():
            entry = self._entries.get(uid)
            if entry is not None:
                entry.acknowledged = max(entry.acknowledged, version)

    def lost(self, report_id: int | None = None) -> None:
        """The report (or, at the end of a session, every one in flight) was not stored: its news are news again."""
        ids = list(self._in_flight) if report_id is None else [report_id]
        for each in ids:
            sent = self._in_flight.pop(each, None)
            if sent is None:
                continue
            for uid, version in sent.versions.items():
                entry = self._entries.get(uid)
                if entry is not None and entry.acknowledged < version:
                    self._dirty[uid] = None
            self._events.put_back(sent.events)
        if self._dirty or self._events.waiting:
            self.changed.set()

    def _mark(self, uid: str, entry: _Entry) -> None:
        entry.version += 1
        self._dirty[uid] = None
        self.changed.set()


def _event_resource(tree: Tree) -> resource_pb2.Resource:
    meta = tree["metadata"]
    return resource_pb2.Resource(
        api_version="v1",
        kind="Event",
        namespace=meta["namespace"],
        name=meta["name"],
        json=canonical(tree).decode(),
    )
