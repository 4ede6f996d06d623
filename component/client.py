"""The API as its clients see it: one port, implemented over gRPC and, inside a replica, in process.

Scheduler and controllers get the in-process implementation of the leading replica, everything else
`component.rpc_client`. Both raise `api.errors`; neither caches.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from api.errors import ApiError
from api.object import Object, Tree

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
Propagation = Literal["", "Background", "Foreground", "Orphan"]
PatchType = Literal["json", "merge", "strategic", "apply"]
ApplyOutcome = Literal["created", "configured", "unchanged"]
OperationOutcome = Literal["created", "configured", "unchanged", "deleted", "refused", ""]


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change. `object` is None only in a BOOKMARK; in DELETED it is the object as it was last."""

    type: EventType
    revision: int
    object: Object | None


@dataclass(frozen=True, slots=True)
class ObjectList:
    """All matching objects at `revision`, by namespace and name; `continue_token` is empty on the last page."""

    items: tuple[Object, ...]
    revision: int
    continue_token: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """A pod (with its uid, so that a namesake is not bound by mistake) and the node it goes to."""

    namespace: str
    name: str
    uid: str
    node: str


@dataclass(frozen=True, slots=True)
class Write:
    """One object of a transaction to be stored; the tree's uid and resourceVersion count as in the verb alone.

    `size` is how many bytes its JSON had, where that is known.
    """

    verb: Literal["create", "update", "apply"]
    tree: Tree
    size: int = 0


@dataclass(frozen=True, slots=True)
class Removal:
    """One object of a transaction to be deleted; the fields mean what `ApiClient.delete` says."""

    resource: str
    namespace: str
    name: str
    uid: str = ""
    revision: int = 0
    grace_seconds: int | None = None
    propagation: Propagation = ""


Operation = Write | Removal


@dataclass(frozen=True, slots=True)
class OperationResult:
    """What became of one operation. `outcome` "": it could be done, but others of its transaction could not."""

    outcome: OperationOutcome
    object: Object | None = None
    error: ApiError | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """Objects to delete together: those that `ApiClient.list` would return, each as `ApiClient.delete` says."""

    resource: str
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    grace_seconds: int | None = None
    propagation: Propagation = ""


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """One result for each operation, in order; `revision` at which all is visible, 0 unless it was committed."""

    committed: bool
    results: tuple[OperationResult, ...]
    revision: int = 0


class ApiClient(Protocol):
    """Verbs over all kinds; `resource` is plural.group. Every method may raise Unavailable, Unknown, Forbidden."""

    async def create(self, tree: Tree, *, dry_run: bool = False) -> Object:
        """Store a new object. Invalid, AlreadyExists, NotFound (its namespace)."""

    async def get(self, resource: str, namespace: str, name: str, *, at_revision: int | None = None) -> Object:
        """Return one object, linearizably; or as it was at a revision. NotFound, Expired."""

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
    ) -> ObjectList:
        """Return all matching objects at one revision, the newest or the given one. Expired.

        Namespace "" means all; `limit` 0 follows the pages.
        """

    async def update(self, tree: Tree, *, dry_run: bool = False) -> Object:
        """Replace all but the status. Conflict when metadata.resourceVersion or uid is not the stored one."""

    async def update_status(self, tree: Tree) -> Object:
        """Replace the status only. Conflict, NotFound."""

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
        """Mark for deletion or delete; a non-empty uid and revision are preconditions. NotFound, Conflict."""

    def delete_collection(
        self, collection: Collection, *, dry_run: bool = False
    ) -> AsyncIterator[Sequence[OperationResult]]:
        """Delete what there is when it is asked for, yielding what became of each, some at a time.

        Objects come without their JSON: "deleted" (or marked), or "refused" with an error. What somebody else deleted
        meanwhile is left out; so may be, where a replica was lost in between, some that were deleted just before.
        """

    async def apply(self, tree: Tree, *, dry_run: bool = False) -> tuple[Object, ApplyOutcome]:
        """Create, or merge three ways with what was last applied. Invalid."""

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        patch_type: PatchType,
        patch: bytes,
        *,
        subresource: Literal["", "status", "ephemeralcontainers"] = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Change the stored object, or only a part of it, as `patch` (JSON) says. NotFound, Invalid, Conflict (a resourceVersion in the patch).

        "apply" makes the object if there is none; Conflict with the fields that others own, which `force` takes over.
        `field_manager` "": the client's own name.
        """

    async def bind(self, bindings: Sequence[Binding]) -> Sequence[ApiError | None]:
        """Assign pods to nodes; one answer per binding, None for a pod that was bound."""

    def watch(
        self,
        resource: str,
        namespace: str = "",
        *,
        revision: int | None = None,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[Sequence[WatchEvent]]:
        """Yield batches of changes after `revision`, oldest first; None: ADDED for all there is, BOOKMARK, then changes.

        Raises Expired when the cluster's history does not go back to the revision: list again.
        """
