"""FakeApi: the API as one process's memory, for tests of everything that speaks `ApiClient`.

It keeps the contract's promises about revisions, watches, conflicts, preconditions, generations, finalizers and
graceful deletion; it neither defaults, validates nor authorises. Pods have no agent: tests play it with `put`,
`report` and `finish`.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from api import errors, merge, scheme
from api.core import Node, Pod
from api.errors import ApiError
from api.json_patch import json_patch
from api.object import Object, Tree
from api.resources import allocatable, pod_requests
from component.client import (
    ApplyOutcome,
    Binding,
    Collection,
    ObjectList,
    OperationResult,
    Propagation,
    WatchEvent,
)
from component.env import Env, rfc3339
from tests.fake_env import fake_env
from tests.fake_store import FakeStore, matcher, resource_of


@dataclass(frozen=True, slots=True)
class Call:
    """One verb as it reached the API."""

    verb: str
    resource: str
    namespace: str
    name: str


class FakeApi(FakeStore):
    """An in-memory ApiClient.

    `fault`, when set, is asked before every verb and may return an error to raise. `calls` lists the verbs that
    came in.
    """

    def __init__(self, env: Env | None = None, *, namespaces: Sequence[str] = ("default", "kube-system")) -> None:
        super().__init__(env or fake_env())
        self.calls: list[Call] = []
        self.allowed_stale_seconds: list[float | None] = []  # by each get and list
        self.fault: Callable[[Call], ApiError | None] | None = None
        for name in namespaces:
            self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

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
        wanted = matcher(namespace, label_selector, field_selector)
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
        return await (self.update_status(tree) if subresource == "status" else self.update(tree, dry_run=dry_run))

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
        wanted = matcher(namespace, label_selector, field_selector)
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


def _desired(tree: Tree) -> Tree:
    return {name: value for name, value in tree.items() if name not in ("metadata", "status")}
