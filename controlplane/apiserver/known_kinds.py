"""The kinds that a state knows: those of the program, and those of the CustomResourceDefinitions in it.

A definition is compiled once for each state it is in, not for each request; the same state gives the same kinds on every
replica. It must not know requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from api.custom_kind import established, kinds_of
from api.errors import NotFound
from api.object import Object, canonical
from api.schema_trees import completed
from api.scheme import BUILT_IN, DEFINITIONS, Kind, Scheme
from component.slices import let_others_run
from controlplane.apiserver.objects import object_of, tree_of
from controlplane.commands import Stored
from controlplane.store.state import State

Found = TypeVar("Found")

CONVERTED_AT_ONCE: Final = 1_000
"""Objects of a list made before others may run: 1 to 2 ms; a controller lists 100,000 pods in one call."""

COMPLETED_AT_ONCE_BYTES: Final = 32 << 10
"""Of custom objects, which may have to be completed by their schema: some milliseconds."""

OVERHEAD_BYTES: Final = 300  # of an object besides its JSON: what handling it costs whatever its size

_API_VERSION: Final = b'{"apiVersion":"%b"'


class KnownKinds:
    """The kinds of the replica's own state, and of copies of it. `barrier` returns once the state is up to date."""

    def __init__(self, state: Callable[[], State], barrier: Callable[[], Awaitable[None]]) -> None:
        self._state = state
        self._barrier = barrier
        self._seen: tuple[State | None, int] = (None, -1)
        self._now = BUILT_IN
        self._definitions: tuple[Stored, ...] = ()  # those that were looked at last, and what they make
        self._compiled: dict[int, list[Kind]] = {}  # by the identity of what is in `_definitions`
        self._scheme = BUILT_IN

    def now(self) -> Scheme:
        """All kinds there are at the moment, here."""
        state = self._state()
        changes = state.changes(DEFINITIONS)
        if self._seen[0] is not state or self._seen[1] != changes:
            self._now = self.at(state)
            self._seen = state, changes
        return self._now

    def at(self, state: State) -> Scheme:
        """All kinds of a state. Objects are never changed in place, so what is the same one is known already."""
        definitions = tuple(state.each(DEFINITIONS))
        if len(definitions) != len(self._definitions) or not all(map(_same, definitions, self._definitions)):
            known = self._compiled
            compiled = {id(each): known[id(each)] if id(each) in known else _kinds(each) for each in definitions}
            self._definitions, self._compiled = definitions, compiled
            self._scheme = Scheme([kind for kinds in compiled.values() for kind in kinds]) if compiled else BUILT_IN
        return self._scheme

    async def of_resource(self, resource: str) -> Kind:
        """The kind of a plural and group. NotFound, as `find`."""
        return await self.find(lambda kinds: kinds.by_resource(resource))

    async def find(self, look: Callable[[Scheme], Found]) -> Found:
        """What `look` finds among the kinds; NotFound only on a state that is not older than the call."""
        try:
            return look(self.now())
        except NotFound:
            await self._barrier()
            return look(self.now())


def presented(kind: Kind, stored: Object) -> Object:
    """The object as a version of a custom kind shows it: with that version's name, and defaults that came later."""
    custom = kind.custom
    if custom is None:
        return stored
    named = stored.json.startswith(_API_VERSION % kind.api_version.encode())
    if named and not custom.schema.completes:
        return stored
    tree = completed(custom.schema, {**tree_of(stored.json), "apiVersion": kind.api_version})
    return Object(stored.resource, stored.namespace, stored.name, stored.uid, stored.revision, canonical(tree))


async def presented_all(kind: Kind, found: Sequence[Stored]) -> tuple[Object, ...]:
    """All objects as `presented`, with pauses in which others may run."""
    shown: list[Object] = []
    if kind.custom is None:
        for start in range(0, len(found), CONVERTED_AT_ONCE):
            shown += map(object_of, found[start : start + CONVERTED_AT_ONCE])
            await let_others_run()
        return tuple(shown)
    size_bytes = 0
    for stored in found:
        shown.append(presented(kind, object_of(stored)))
        size_bytes += len(stored.body) + OVERHEAD_BYTES
        if size_bytes > COMPLETED_AT_ONCE_BYTES:
            size_bytes = 0
            await let_others_run()
    return tuple(shown)


def _same(one: Stored, other: Stored) -> bool:
    return one is other


def _kinds(stored: Stored) -> list[Kind]:
    definition = tree_of(stored.body)
    return kinds_of(definition) if established(definition) else []
