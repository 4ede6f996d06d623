"""Watches: what there is, then every change, as events that all watchers of a kind share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from api.errors import Expired
from api.scheme import DEFINITIONS, Kind
from component.slices import let_others_run
from component.tasks import run_until_one_ends
from controlplane.apiserver import pages
from controlplane.apiserver.first_events import FirstEvents
from controlplane.apiserver.objects import tree_of
from controlplane.apiserver.selecting import Selection
from controlplane.commands import Key, Stored
from controlplane.replica import Replica
from controlplane.store.state import State
from controlplane.watch.events import HubEvent
from controlplane.watch.selection import Match, selection

BOOKMARK_SECONDS: Final = 30.0
FIRST_BATCH: Final = 500
FIRST_BATCH_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in order, then, unless it is 0, a bookmark: everything up to this revision was sent."""

    events: Sequence[HubEvent] = ()
    bookmark: int = 0

    @property
    def size_bytes(self) -> int:
        """Of the objects in it."""
        return sum(len(event.body) for event in self.events)


async def watch(
    replica: Replica,
    kind: Kind,
    selected: Selection,
    revision: int | None,
    *,
    bookmark_seconds: float = BOOKMARK_SECONDS,
    opened: Callable[[], None] = lambda: None,
    first_events: FirstEvents | None = None,
) -> AsyncGenerator[Batch]:
    """Yield changes after `revision`, oldest first; None: first an ADDED for each object there is, then a bookmark.

    A watch that shows nothing for `bookmark_seconds` gets a bookmark, however busy others are. Expired when changes are
    gone, from the rings and from history: list again and watch from there; also when a custom kind is served no more. Entering a
    selection is ADDED, leaving it DELETED with the object as it was. `opened` is called once the work of beginning is done.
    What `first_events` knows is not made again.
    """
    first_events = first_events or FirstEvents()
    definitions = replica.place(DEFINITIONS, replica.state.revision) if kind.custom is not None else None
    served = _served(replica.state, kind)
    first = revision is None
    if revision is None:
        await replica.read_barrier()
        revision = replica.state.revision
    elif revision > replica.state.revision:
        # A replica that lags must not call a revision unknown: only once caught up it knows that there is none.
        await replica.read_barrier()
        await replica.at_least(revision, 0.0)
    place = replica.place(kind.resource, revision, selected.node if kind.resource == "pods" else "")
    if first:
        state = pages.held_still(replica.state, kind)  # of the very revision that the watch goes on from
        present = [stored async for stored in pages.selected(state, kind, selected)]
        opened()
        for portion in _portions(present):
            yield Batch(list(map(first_events.of, portion)))
        yield Batch((), revision)
    else:
        opened()
    match = _match(selected)
    loop = asyncio.get_running_loop()
    bookmark_time = loop.time() + bookmark_seconds
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(bookmark_time):
                await (place.wait() if definitions is None else run_until_one_ends(place.wait(), definitions.wait()))
        if definitions is not None:
            await definitions.pull(None)
        if events := await place.pull(match):
            yield Batch(events)
        elif definitions is not None and not served <= _served(replica.state, kind):
            raise Expired(f'"{kind.resource}" is not served any more, or not in all of its versions: list again')
        elif loop.time() >= bookmark_time:
            yield Batch((), place.revision)
        else:
            await let_others_run()  # looked at many changes of others: let the loop go on
            continue
        bookmark_time = loop.time() + bookmark_seconds


def _served(state: State, kind: Kind) -> frozenset[tuple[str, str]]:
    """The versions in which a custom kind is served, with the identity of its definition."""
    stored = state.get(Key(DEFINITIONS, "", kind.resource)) if kind.custom is not None else None
    if stored is None:
        return frozenset()
    versions = tree_of(stored.body)["spec"]["versions"]
    return frozenset((stored.envelope.uid, each["name"]) for each in versions if each.get("served"))


def _portions(present: Iterable[Stored]) -> Iterator[list[Stored]]:
    """What one batch takes: bounded in bytes, too, as a reader who is slow keeps all of it in memory."""
    portion: list[Stored] = []
    size_bytes = 0
    for stored in present:
        if portion and (len(portion) == FIRST_BATCH or size_bytes + len(stored.body) > FIRST_BATCH_BYTES):
            yield portion
            portion, size_bytes = [], 0
        portion.append(stored)
        size_bytes += len(stored.body)
    if portion:
        yield portion


def _match(selected: Selection) -> Match | None:
    if selected.everything:
        return selection(namespace=selected.namespace)
    return selection(namespace=selected.namespace, predicate=selected.matches)
