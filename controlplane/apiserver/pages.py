"""Lists in pages that all show one revision, however long their reader takes within bounds."""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from api.errors import Expired, Invalid
from api.scheme import Kind
from component.env import Env
from component.slices import let_others_run
from controlplane.apiserver.selecting import Selection
from controlplane.commands import Stored
from controlplane.store.history import LEFT_OUT
from controlplane.store.state import State

KEPT_STATES: Final = 16
KEPT_SECONDS: Final = 300.0
SCANNED_AT_ONCE: Final = 500
"""Objects looked at before others may run: with every body decoded 4 ms, the loop must never be held over 5."""

OVERHEAD_BYTES: Final = 300  # of an object in a response besides its JSON


class _Token(msgspec.Struct, array_like=True, frozen=True):
    revision: int
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects of one revision, by namespace and name, and their size; the token is empty on the last page."""

    items: Sequence[Stored]
    revision: int
    continue_token: str = ""
    size_bytes: int = 0


class Pages:
    """Cuts lists into pages. Keeps the few states that unfinished lists need; a forgotten one gives Expired."""

    def __init__(self, env: Env) -> None:
        self._env = env
        self._kept: OrderedDict[tuple[int, str], tuple[float, State]] = OrderedDict()

    def missing_revision(self, current: State, resource: str, token: str) -> int | None:
        """The revision that the list of a token shows, if only history can tell what it was; else None. Invalid."""
        self._forget()
        start = _decode(token)
        if start is None or start.revision == current.revision or (start.revision, resource) in self._kept:
            return None
        return None if resource in LEFT_OUT else start.revision

    async def page(
        self, current: State, kind: Kind, selection: Selection, limit: int, limit_bytes: int, token: str
    ) -> Page:
        """Return the objects after `token` ("": from the start), at most `limit` and `limit_bytes` (0: any number).

        A page always holds at least one object if one is left. Raises Expired, and Invalid for a token that is none.
        """
        start = _decode(token)
        state = current if start is None else self._at(start.revision, kind.resource, current)
        if state is current:
            state = held_still(current, kind)
        after = None if start is None else (start.namespace, start.name)
        found: list[Stored] = []
        size_bytes = 0
        async for stored in selected(state, kind, selection, after):
            size_bytes += len(stored.body) + OVERHEAD_BYTES
            if found and ((limit and len(found) == limit) or (limit_bytes and size_bytes > limit_bytes)):
                self._keep(kind.resource, state if state is not current else current.clone())
                last = found[-1].envelope.key
                token = _encode(_Token(state.revision, last.namespace, last.name))
                return Page(found, state.revision, token, size_bytes)
            found.append(stored)
        return Page(found, state.revision, "", size_bytes)

    def _keep(self, resource: str, state: State) -> None:
        key = state.revision, resource  # a state from history is right for one resource only
        self._kept[key] = (self._env.monotonic(), state)
        self._kept.move_to_end(key)
        self._forget()

    def _forget(self) -> None:
        oldest = self._env.monotonic() - KEPT_SECONDS
        while self._kept and (len(self._kept) > KEPT_STATES or next(iter(self._kept.values()))[0] < oldest):
            self._kept.popitem(last=False)

    def _at(self, revision: int, resource: str, current: State) -> State:
        self._forget()
        if current.revision == revision:
            return current
        if (revision, resource) in self._kept:
            return self._kept[revision, resource][1]
        raise Expired(f"the list at resource version {revision} is not kept any more: list again from the start")


def held_still(state: State, kind: Kind) -> State:
    """The state, or a copy of it if `selected` would let others run in the middle of this kind's objects."""
    return state.clone() if state.count(kind.resource) >= SCANNED_AT_ONCE else state


async def selected(
    state: State, kind: Kind, selection: Selection, after: tuple[str, str] | None = None
) -> AsyncIterator[Stored]:
    """Selected objects in order after a key. Lets others run between slices: `state` must be `held_still`.

    The caller must not wait between objects either, unless the state is a copy.
    """
    if selection.node and kind.resource == "pods":
        for stored in _placed(state, selection, after):
            if selection.matches(stored.envelope, stored.body):
                yield stored
        return
    while True:
        batch = state.scan(kind.resource, selection.namespace, after, SCANNED_AT_ONCE)
        for stored in batch:
            if selection.everything or selection.matches(stored.envelope, stored.body):
                yield stored
        if len(batch) < SCANNED_AT_ONCE:
            return
        last = batch[-1].envelope.key
        after = (last.namespace, last.name)
        await let_others_run()


def _placed(state: State, selection: Selection, after: tuple[str, str] | None) -> Iterator[Stored]:
    """The pods of the one node that is asked for, from the index."""
    for key in state.by_node(selection.node):
        if selection.namespace not in {"", key.namespace} or (after and (key.namespace, key.name) <= after):
            continue
        stored = state.get(key)
        assert stored is not None, "the index names an object that is not there"
        yield stored


def _encode(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(token)).decode().rstrip("=")


def _decode(token: str) -> _Token | None:
    if not token:
        return None
    try:
        data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        return msgspec.msgpack.decode(data, type=_Token)
    except ValueError as error:
        raise Invalid("the continue token is not one that a list returned") from error
