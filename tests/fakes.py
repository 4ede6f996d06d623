"""FakeApi: the API as one process's memory, for tests of everything that speaks `ApiClient`.

It keeps the contract's promises about revisions, watches, conflicts, preconditions, generations, finalizers and
graceful deletion; it neither defaults, validates nor authorises. Pods have no agent: tests play it with `put`,
`report` and `finish`.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import msgspec

from api import errors, merge, scheme, selectors
from api.core import Node, Pod
from api.errors import ApiError
from api.json_patch import json_patch
from api.object import Object, Tree, canonical
from api.resources import allocatable, pod_requests
from component.client import (
    ApplyOutcome,
    Binding,
    Collection,
    EventType,
    ObjectList,
    OperationResult,
    Propagation,
    WatchEvent,
)
from component.env import Env, rfc3339

Key = tuple[str, str]


class FakeClock:
    """A clock that stands still until it is told to move; starts in 2025."""

    def __init__(self, start_time: float = 1_750_000_000.0) -> None:
        self.seconds = start_time

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def fake_env(clock: FakeClock | None = None, seed: int = 0) -> Env:
    """An Env with a still clock, seeded random numbers and counted uids."""
    clock = clock or FakeClock()
    counter = itertools.count(1)
    return Env(clock, clock, random.Random(seed), lambda: f"uid-{next(counter)}")


@dataclass(frozen=True, slots=True)
class Call:
    """One verb as it reached the API."""

    verb: str
    resource: str
    namespace: str
    name: str


def resource_of(tree: Tree) -> str:
    return scheme.by_kind(tree["apiVersion"], tree["kind"]).resource


class FakeApi:
    """An in-memory ApiClient.

    `fault`, when set, is asked before every verb and may return an error to raise. `calls` lists the verbs that
    came in. `compact()` forgets history, so that older watches and resumes get Expired.
    """

    def __init__(self, env: Env | None = None, *, namespaces: Sequence[str] = ("default", "kube-system")) -> None:
        self.env = env or fake_env()
        self.revision = 100
        self.calls: list[Call] = []
        self.allowed_stale_seconds: list[float | None] = []  # by each get and list
        self.fault: Callable[[Call], ApiError | None] | None = None
        self._stored: dict[str, dict[Key, Object]] = defaultdict(dict)
        self._log: dict[str, list[tuple[int, EventType, Object, Object | None]]] = defaultdict(list)
        self._compacted = 0
        self._changed: list[asyncio.Future[None]] = []
        self.watching = True  # False holds all watch events back, as a slow network would
        for name in namespaces:
            self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    # What tests use to look and to play the other parts -----------------------------------------------------------

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

    def release_watches(self) -> None:
        """Let held back watch events flow again."""
        self.watching = True
        self._wake()

    # ApiClient -----------------------------------------------------------------------------------------------------

    async def create(self, tree: Tree, *, dry_run: bool = False) -> Object:
        tree = copy.deepcopy(tree)
        resource = resource_of(tree)
        kind = scheme.by_resource(resource)
        metadata = tree["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        await self._called("create", resource, namespace, name)
        if kind.namespaced:
            self._check_namespace(namespace)
        if (namespace, name) in self._stored[resource]:
            raise errors.AlreadyExists(f'{resource} "{name}" already exists')
        metadata.pop("resourceVersion", None)
        metadata |= {"uid": self.env.new_uid(), "creationTimestamp": rfc3339(self.env.now()), "generation": 1}
        if kind.has_status:
            tree.pop("status", None)
        if resource == "pods":
            tree["status"] = {"phase": "Pending"}
        if resource == "namespaces":
            tree.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
            tree["status"] = {"phase": "Active"}
        if dry_run:
            return self._object(resource, tree, 0)
        return self._store(resource, tree, None)

    async def get(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        at_revision: int | None = None,
        stale_seconds: float | None = None,
    ) -> Object:
        self.allowed_stale_seconds.append(stale_seconds)
        await self._called("get", resource, namespace, name)
        found = self._at(resource, at_revision).get((namespace, name))
        if found is None:
            raise errors.NotFound(f'{resource} "{name}" not found')
        return found

    async def list(
        self,
        resource: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        at_revision: int | None = None,
        stale_seconds: float | None = None,
    ) -> ObjectList:
        self.allowed_stale_seconds.append(stale_seconds)
        await self._called("list", resource, namespace, "")
        wanted = _matcher(namespace, label_selector, field_selector)
        stored = self._at(resource, at_revision)
        found = [stored[key] for key in sorted(stored) if wanted(stored[key])]
        start = int(continue_token or 0)
        stop = start + limit if limit else len(found)
        return ObjectList(tuple(found[start:stop]), self.revision, str(stop) if stop < len(found) else "")

    async def update(self, tree: Tree, *, dry_run: bool = False) -> Object:
        tree = copy.deepcopy(tree)
        resource = resource_of(tree)
        metadata = tree["metadata"]
        await self._called("update", resource, metadata.get("namespace", ""), metadata["name"])
        old = self._find(resource, metadata.get("namespace", ""), metadata["name"])
        self._check_current(old, tree)
        stored = old.tree()
        for name in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
            metadata.pop(name, None)
            if name in stored["metadata"]:
                metadata[name] = stored["metadata"][name]
        if scheme.by_resource(resource).has_status:
            tree.pop("status", None)
            if "status" in stored:
                tree["status"] = stored["status"]
        if _desired(tree) != _desired(stored):
            metadata["generation"] = stored["metadata"].get("generation", 0) + 1
        if dry_run:
            return self._object(resource, tree, old.revision)
        stored_now = self._store(resource, tree, old)
        if self._unblocked(resource, tree):
            self._remove(resource, (stored_now.namespace, stored_now.name))
        return stored_now

    async def update_status(self, tree: Tree) -> Object:
        tree = copy.deepcopy(tree)
        resource = resource_of(tree)
        metadata = tree["metadata"]
        await self._called("update_status", resource, metadata.get("namespace", ""), metadata["name"])
        old = self._find(resource, metadata.get("namespace", ""), metadata["name"])
        self._check_current(old, tree)
        stored = old.tree()
        stored["status"] = tree.get("status", {})
        return self._store(resource, stored, old)

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str = "",
        revision: int = 0,
        grace_seconds: int | None = None,
        propagation: Propagation = "",
        dry_run: bool = False,
    ) -> Object:
        await self._called("delete", resource, namespace, name)
        old = self._find(resource, namespace, name)
        if (uid and uid != old.uid) or (revision and revision != old.revision):
            raise errors.Conflict(f'{resource} "{name}" is another one by now')
        tree = old.tree()
        metadata = tree["metadata"]
        added = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation)
        finalizers = metadata.get("finalizers", [])
        if added and added not in finalizers:
            finalizers = [*finalizers, added]
            metadata["finalizers"] = finalizers
        grace = self._grace_seconds(resource, tree, grace_seconds)
        if dry_run:
            return old
        if not finalizers and not grace and not (resource == "namespaces" and tree["spec"].get("finalizers")):
            self._remove(resource, (namespace, name))
            return old
        now = rfc3339(self.env.now() + grace)
        metadata["deletionTimestamp"] = min(now, metadata.get("deletionTimestamp", now))
        metadata["deletionGracePeriodSeconds"] = min(grace, metadata.get("deletionGracePeriodSeconds", grace))
        return self._store(resource, tree, old)

    async def delete_collection(
        self, collection: Collection, *, dry_run: bool = False
    ) -> AsyncIterator[Sequence[OperationResult]]:
        """All of it in one page; faults may be planted for "delete_collection" and for each "delete"."""
        await self._called("delete_collection", collection.resource, collection.namespace, "")
        found = await self.list(
            collection.resource,
            collection.namespace,
            label_selector=collection.label_selector,
            field_selector=collection.field_selector,
        )
        results = []
        for each in found.items:
            grace, propagation = collection.grace_seconds, collection.propagation
            try:
                gone = await self.delete(
                    each.resource,
                    each.namespace,
                    each.name,
                    uid=each.uid,
                    grace_seconds=grace,
                    propagation=propagation,
                    dry_run=dry_run,
                )
                results.append(OperationResult("deleted", gone))
            except errors.NotFound:
                continue
            except errors.ApiError as error:
                results.append(OperationResult("refused", each, error))
        yield results

    async def apply(self, tree: Tree, *, dry_run: bool = False) -> tuple[Object, ApplyOutcome]:
        metadata = tree["metadata"]
        old = self._stored[resource_of(tree)].get((metadata.get("namespace", ""), metadata["name"]))
        if old is None:
            return await self.create(tree, dry_run=dry_run), "created"
        new = await self.update(tree, dry_run=dry_run)
        return new, "unchanged" if new.revision == old.revision else "configured"

    async def patch(
        self,
        resource,
        namespace,
        name,
        patch_type,
        patch,
        *,
        subresource="",
        field_manager="",
        force=False,
        dry_run=False,
    ) -> Object:
        """As the API's; a patch of type "apply" is merged, and nobody owns anything."""
        await self._called("patch", resource, namespace, name)
        body = json.loads(patch)
        if patch_type == "apply" and (namespace, name) not in self._stored[resource]:
            return await self.create(body, dry_run=dry_run)
        tree = self._find(resource, namespace, name).tree()
        match patch_type:
            case "apply":
                tree = merge.merge_patch(tree, body)
            case "json":
                tree = json_patch(tree, body)
            case "merge":
                tree = merge.merge_patch(tree, body)
            case "strategic":
                tree = merge.strategic_merge(scheme.by_resource(resource), tree, body)
        if (tree["metadata"]["name"], tree["metadata"].get("namespace", "")) != (name, namespace):
            raise errors.Invalid(f'{resource} "{name}" is invalid: metadata: a patch cannot change it')
        return await (self.update_status(tree) if subresource else self.update(tree, dry_run=dry_run))

    async def bind(self, bindings: Sequence[Binding]) -> Sequence[ApiError | None]:
        await self._called("bind", "pods", "", str(len(bindings)))
        return [self._bind(binding) for binding in bindings]

    async def watch(
        self,
        resource: str,
        namespace: str = "",
        *,
        revision: int | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[Sequence[WatchEvent]]:
        await self._called("watch", resource, namespace, "")
        wanted = _matcher(namespace, label_selector, field_selector)
        if revision is None:
            stored = self._stored[resource]
            first = [WatchEvent("ADDED", o.revision, o) for key in sorted(stored) if wanted(o := stored[key])]
            revision = self.revision
            yield [*first, WatchEvent("BOOKMARK", revision, None)]
        while True:
            if revision < self._compacted:
                raise errors.Expired(f"revision {revision} of {resource} is compacted")
            events = self._events(resource, revision, wanted) if self.watching else []
            if self.watching:
                revision = self.revision
            if events:
                yield events
            if not self.watching or revision == self.revision:
                changed = asyncio.get_running_loop().create_future()
                self._changed.append(changed)
                await changed

    # Inside --------------------------------------------------------------------------------------------------------

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

    async def _called(self, verb: str, resource: str, namespace: str, name: str) -> None:
        call = Call(verb, resource, namespace, name)
        self.calls.append(call)
        await asyncio.sleep(0)
        error = self.fault(call) if self.fault else None
        if error:
            raise error

    def _check_namespace(self, namespace: str) -> None:
        found = self._stored["namespaces"].get(("", namespace))
        if found is None:
            raise errors.NotFound(f'namespaces "{namespace}" not found')
        if "deletionTimestamp" in found.tree()["metadata"]:
            raise errors.Forbidden(f'namespace "{namespace}" is being terminated')

    def _find(self, resource: str, namespace: str, name: str) -> Object:
        found = self._stored[resource].get((namespace, name))
        if found is None:
            raise errors.NotFound(f'{resource} "{name}" not found')
        return found

    @staticmethod
    def _check_current(old: Object, tree: Tree) -> None:
        metadata = tree["metadata"]
        version = metadata.get("resourceVersion", "")
        if (version and version != str(old.revision)) or (metadata.get("uid", "") not in ("", old.uid)):
            raise errors.Conflict(f'{old.resource} "{old.name}": revision {version} is not the stored {old.revision}')

    @staticmethod
    def _grace_seconds(resource: str, tree: Tree, asked: int | None) -> int:
        if resource != "pods" or not tree["spec"].get("nodeName"):
            return 0
        return asked if asked is not None else tree["spec"].get("terminationGracePeriodSeconds", 30)

    @staticmethod
    def _unblocked(resource: str, tree: Tree) -> bool:
        metadata = tree["metadata"]
        if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
            return False
        return resource != "pods" and not (resource == "namespaces" and tree["spec"].get("finalizers"))

    def _bind(self, binding: Binding) -> ApiError | None:
        key = (binding.namespace, binding.name)
        old = self._stored["pods"].get(key)
        if old is None:
            return errors.NotFound(f'pods "{binding.name}" not found')
        tree = old.tree()
        if old.uid != binding.uid or tree["spec"].get("nodeName") or "deletionTimestamp" in tree["metadata"]:
            return errors.Conflict(f'pods "{binding.name}" is bound, deleted or another one')
        node = self._stored["nodes"].get(("", binding.node))
        if node is None:
            return errors.NotFound(f'nodes "{binding.node}" not found')
        free = self._free(node)
        if any(amount > free.get(name, 0) for name, amount in pod_requests(old.view(Pod).spec).items() if amount):
            return errors.TooLarge(f'nodes "{binding.node}" has not enough left')
        tree["spec"]["nodeName"] = binding.node
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(self.env.now())}
        conditions = [c for c in tree.get("status", {}).get("conditions", []) if c["type"] != "PodScheduled"]
        tree.setdefault("status", {})["conditions"] = [*conditions, scheduled]
        self._store("pods", tree, old)
        return None

    def _free(self, node: Object) -> dict[str, int]:
        free = dict(allocatable(node.view(Node).status))
        for stored in self._stored["pods"].values():
            pod = stored.view(Pod)
            if pod.spec.node_name == node.name and pod.status.phase not in ("Succeeded", "Failed"):
                for name, amount in pod_requests(pod.spec).items():
                    free[name] = free.get(name, 0) - amount
        return free

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


def _desired(tree: Tree) -> Tree:
    return {name: value for name, value in tree.items() if name not in ("metadata", "status")}


def _matcher(namespace: str, label_selector: str, field_selector: str) -> Callable[[Object], bool]:
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
