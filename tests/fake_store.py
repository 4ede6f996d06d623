"""Objects with revisions and their changes in memory: what FakeApi serves, and tests change behind its back."""

from __future__ import annotations

import asyncio
import copy
from collections import defaultdict
from collections.abc import Callable

import msgspec

from api import errors, scheme, selectors
from api.object import Object, Tree, canonical
from component.client import (
    EventType,
    WatchEvent,
)
from component.env import Env, rfc3339

Key = tuple[str, str]


def resource_of(tree: Tree) -> str:
    return scheme.by_kind(tree["apiVersion"], tree["kind"]).resource


class FakeStore:
    """Stored objects by resource, and every change since the last `compact()`.

    `watching` set to False holds all watch events back, as a slow network would.
    """

    def __init__(self, env: Env) -> None:
        self.env = env
        self.revision = 100
        self.watching = True
        self._stored: dict[str, dict[Key, Object]] = defaultdict(dict)
        self._log: dict[str, list[tuple[int, EventType, Object, Object | None]]] = defaultdict(list)
        self._compacted = 0
        self._changed: list[asyncio.Future[None]] = []

    def trees(self, resource: str, namespace: str = "") -> list[Tree]:
        """All objects of a resource as fresh trees, by namespace and name."""
        stored = self._stored[resource]
        return [stored[key].tree() for key in sorted(stored) if namespace in ("", key[0])]

    def tree(self, resource: str, namespace: str, name: str) -> Tree:
        """One object as a fresh tree; KeyError when there is none."""
        return self._stored[resource][namespace, name].tree()

    def names(self, resource: str, namespace: str = "") -> list[str]:
        return [tree["metadata"]["name"] for tree in self.trees(resource, namespace)]

    def put(self, tree: Tree) -> Object:
        """Store a tree as it is, status included, creating or replacing; uid and times are filled in."""
        tree = copy.deepcopy(tree)
        resource = resource_of(tree)
        metadata = tree["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        old = self._stored[resource].get(key)
        known = old.tree()["metadata"] if old else {}
        for name in ("uid", "creationTimestamp", "generation"):
            if name in known:
                metadata.setdefault(name, known[name])
        metadata.setdefault("uid", self.env.new_uid())
        metadata.setdefault("creationTimestamp", rfc3339(self.env.now()))
        return self._store(resource, tree, old)

    def report(self, resource: str, namespace: str, name: str, **status: object) -> Object:
        """Merge `status` into the object's status, as an agent would."""
        tree = self.tree(resource, namespace, name)
        tree["status"] = tree.get("status", {}) | status
        return self.put(tree)

    def report_ready(self, namespace: str, name: str, *, ready: bool = True, ip: str = "") -> Object:
        """Make a pod Running and ready, or not ready."""
        now = rfc3339(self.env.now())
        state = "True" if ready else "False"
        conditions = [
            c
            for c in self.tree("pods", namespace, name).get("status", {}).get("conditions", [])
            if c["type"] != "Ready"
        ]
        conditions.append({"type": "Ready", "status": state, "lastTransitionTime": now})
        extra = {"podIP": ip, "podIPs": [{"ip": ip}]} if ip else {}
        return self.report("pods", namespace, name, phase="Running", conditions=conditions, **extra)

    def finish(self, namespace: str, name: str) -> None:
        """Remove a pod for good, as an agent does when nothing of it is left."""
        self._remove("pods", (namespace, name))

    def compact(self) -> None:
        """Forget all history; watches that are behind get Expired."""
        self._compacted = self.revision
        for entries in self._log.values():
            entries.clear()
        self._wake()

    def waited_for(self) -> bool:
        """Whether somebody who watches has taken all there was, and waits for more."""
        return bool(self._changed)

    def release_watches(self) -> None:
        """Let held back watch events flow again."""
        self.watching = True
        self._wake()

    def _at(self, resource: str, revision: int | None) -> dict[Key, Object]:
        """What is stored, or was at a revision."""
        stored = dict(self._stored[resource])
        if revision is not None and revision < self._compacted:
            raise errors.Expired(f"revision {revision} is not kept")
        for changed, event_type, new, old in reversed(self._log[resource]) if revision is not None else ():
            if changed > revision:
                stored.pop((new.namespace, new.name), None)
                if old is not None:
                    stored[old.namespace, old.name] = old if event_type == "MODIFIED" else new
        return stored

    def _events(self, resource: str, after: int, wanted: Callable[[Object], bool]) -> list[WatchEvent]:
        events: list[WatchEvent] = []
        for revision, event_type, new, old in self._log[resource]:
            if revision <= after:
                continue
            was, fits = old is not None and wanted(old), wanted(new)
            if event_type == "DELETED":
                if was:
                    events.append(WatchEvent("DELETED", revision, new))
            elif fits:
                events.append(WatchEvent("MODIFIED" if was else "ADDED", revision, new))
            elif was:
                events.append(WatchEvent("DELETED", revision, new))
        return events

    @staticmethod
    def _object(resource: str, tree: Tree, revision: int) -> Object:
        metadata = {name: value for name, value in tree["metadata"].items() if name != "resourceVersion"}
        json = canonical(tree | {"metadata": metadata})
        return Object(resource, metadata.get("namespace", ""), metadata["name"], metadata["uid"], revision, json)

    def _store(self, resource: str, tree: Tree, old: Object | None) -> Object:
        new = self._object(resource, tree, self.revision + 1)
        if old is not None and old.json == new.json:
            return old
        self.revision += 1
        self._stored[resource][new.namespace, new.name] = new
        self._log[resource].append((self.revision, "MODIFIED" if old else "ADDED", new, old))
        self._wake()
        return new

    def _remove(self, resource: str, key: Key) -> None:
        old = self._stored[resource].pop(key)
        self.revision += 1
        self._log[resource].append((self.revision, "DELETED", old, old))
        self._wake()

    def _wake(self) -> None:
        waiting, self._changed = self._changed, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)


def matcher(namespace: str, label_selector: str, field_selector: str) -> Callable[[Object], bool]:
    labels = selectors.parse_label_selector(label_selector) if label_selector else None
    fields = selectors.parse_field_selector(field_selector) if field_selector else None

    def matches(item: Object) -> bool:
        if namespace not in ("", item.namespace):
            return False
        if labels is None and fields is None:
            return True
        tree: Tree = msgspec.json.decode(item.json)
        if labels is not None and not labels.matches(tree["metadata"].get("labels", {})):
            return False
        return fields is None or fields.matches(lambda path: selectors.field_value(tree, path))

    return matches
