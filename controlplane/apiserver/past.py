"""Reading the past: from the point that a request names to a state, and the changes of one object.

A revision stands for the end of the transaction that it belongs to, so that nobody ever sees a part of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from api.diff import changed_paths
from api.errors import FieldError, Forbidden, Invalid, NotFound
from component.env import Env, parse_time, rfc3339
from component.slices import let_others_run
from controlplane.admission.request import Identity
from controlplane.apiserver.fairness.aside import Aside
from controlplane.apiserver.freshness import LINEARIZABLE, Freshness, wait_fresh
from controlplane.apiserver.objects import tree_of
from controlplane.commands import MODIFIED, Key
from controlplane.replica import Replica
from controlplane.store.history import LEFT_OUT, Version
from controlplane.store.history_segment import Mark
from controlplane.store.state import State

CHANGES: Final = 100
COMPARED_AT_ONCE: Final = 4  # versions of an object, before others may run


@dataclass(frozen=True, slots=True)
class At:
    """A point in history: a revision, or a time (RFC 3339); neither is now."""

    revision: int | None = None
    time: str = ""

    def __bool__(self) -> bool:
        return self.revision is not None or bool(self.time)


NOW: Final = At()


def check_point(fresh: Freshness, at: At) -> None:
    """Invalid for a read that names a point of the past and how new the state must be."""
    if fresh and at:
        raise Invalid("the past is as it was: name a point of it, or how new the state must be, not both")


@dataclass(frozen=True, slots=True)
class Moment:
    """The end of a transaction, its time, and how far history goes back. Times are RFC 3339, "" when not known."""

    revision: int
    time: str
    oldest_revision: int
    oldest_time: str


@dataclass(frozen=True, slots=True)
class ChangeOf:
    """One change of an object; `paths` are the fields that differ, empty when it came or went; `actor` the user."""

    revision: int
    time: str
    actor: str
    type: int
    uid: str
    paths: Sequence[str]


@dataclass(frozen=True, slots=True)
class ObjectHistory:
    """The latest changes of an object, oldest first; `complete` if history holds no others."""

    changes: Sequence[ChangeOf]
    complete: bool
    oldest_revision: int
    oldest_time: str


class Past:
    """Reads of earlier states. They need no quorum unless the point may be newer than what this replica knows."""

    def __init__(self, replica: Replica, env: Env, aside: Aside) -> None:
        self._replica = replica
        self._aside = aside
        self._env = env

    async def state(self, identity: Identity, resource: str, at: At, key: Key | None = None) -> State:
        """The state at a point as far as one resource, or one object of it, goes. Expired, Invalid, Forbidden."""
        _check(identity, resource)
        end = await self._resolve(at)
        return await self._replica.history.rewound(self._replica.state, resource, end.revision, key)

    async def moment(self, at: At, fresh: Freshness = LINEARIZABLE) -> Moment:
        """What a point stands for; now, on a state as new as `fresh` says. Expired, Invalid."""
        if at:
            end = await self._resolve(at)
        else:
            await wait_fresh(self._replica, fresh)
            end = Mark(self._replica.state.revision, self._replica.state.time_ms)
        oldest = self._replica.history.beginning
        return Moment(end.revision, _time(end.time_ms), oldest.revision, _time(oldest.time_ms))

    async def history(self, identity: Identity, key: Key, limit: int) -> ObjectHistory:
        """The latest changes of an object. NotFound when there are none and it does not exist."""
        _check(identity, key.resource)
        await self._replica.read_barrier()
        state = self._replica.state
        found, complete = await self._replica.history.versions(state, key, limit or CHANGES)
        if not found and state.get(key) is None:
            raise NotFound(f'{key.resource} "{key.name}" not found, nor any change of it in the history that is kept')
        changes = []
        for index, version in enumerate(found):
            if index % COMPARED_AT_ONCE == 0:
                await let_others_run()
            changes.append(await self._aside.run(identity, _size(version), partial(_change, version)))
        oldest = self._replica.history.beginning
        return ObjectHistory(changes, complete, oldest.revision, _time(oldest.time_ms))

    async def _resolve(self, at: At) -> Mark:
        if at.revision is not None and at.time:
            raise Invalid("name a revision or a time, not both")
        if at.revision is not None:
            return await self._resolve_revision(at.revision)
        try:
            time_seconds = parse_time(at.time)
        except ValueError:
            message = f'Invalid value: "{at.time}": must be written as 2026-11-21T10:00:00Z'
            raise Invalid("the time cannot be read", [FieldError("atTime", message)]) from None
        if time_seconds > self._env.now():
            raise Invalid(f"{at.time} has not come yet: it is {self._env.timestamp()}")
        await self._replica.read_barrier()
        return await self._replica.history.newest_at(max(0, int(time_seconds * 1000)))

    async def _resolve_revision(self, revision: int) -> Mark:
        if revision > self._replica.state.revision:
            await self._replica.read_barrier()
        newest = self._replica.state.revision
        if revision > newest:
            raise Invalid(f"revision {revision} has not come yet: the newest is {newest}")
        return await self._replica.history.transaction_end(revision)


def _check(identity: Identity, resource: str) -> None:
    if identity.node:
        raise Forbidden(f'node "{identity.node}" may not read the past')
    if resource in LEFT_OUT:
        raise Invalid(f"{resource} are kept out of history: read them as they are now")


def _size(version: Version) -> int:
    return sum(len(each.body) for each in (version.before, version.after) if each is not None)


def _change(version: Version) -> ChangeOf:
    shown = version.after or version.before
    assert shown is not None, "a change of nothing to nothing"
    paths: Sequence[str] = ()
    if version.type == MODIFIED and version.before is not None and version.after is not None:
        paths = changed_paths(tree_of(version.before.body), tree_of(version.after.body))
    return ChangeOf(version.revision, _time(version.time_ms), version.actor, version.type, shown.envelope.uid, paths)


def _time(time_ms: int) -> str:
    return rfc3339(time_ms / 1000) if time_ms else ""
