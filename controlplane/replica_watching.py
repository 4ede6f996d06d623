"""Watching from any revision that history holds: in the hub's rings or, further back, in pages read from history.

The rings hold what happened since the process started, and less where much happens; a watcher that comes from before
that, or was too slow, catches up from history until a ring holds its place. It must not know kinds or connections.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from typing import Final

from api import errors
from controlplane.replica_history import History
from controlplane.store.history import LEFT_OUT
from controlplane.store.replay import Page, page_after
from controlplane.watch.events import HubEvent, Opening, Record
from controlplane.watch.hub import SCAN_EVENTS, Cursor, Hub
from controlplane.watch.selection import Match

PAGE_BYTES: Final = 4 * 1024 * 1024  # of objects, and at most twice as much
KEPT_BYTES: Final = 32 * 1024 * 1024  # of pages, frames included
KEPT_SECONDS: Final = 10.0  # then whoever still needs a page has it read again
BATCH_BYTES: Final = 1024 * 1024  # in one pull: what a slow watcher holds after its page is gone


class _Page:
    """Changes of a resource as watchers see them."""

    def __init__(self, resource: str, page: Page, opening: Opening | None) -> None:
        self.resource = resource
        self.start = page.start
        self.end = page.end
        changes = page.changes
        if opening is not None and resource in opening.resources:
            changes = list(map(opening.opened_change, changes))
        self._records = list(map(Record.of, changes))
        self.size_bytes = sum(record.size_bytes for record in self._records)

    def pull(self, revision: int, match: Match | None, limit: int) -> tuple[list[HubEvent], int]:
        """The next events after a revision of this page, and up to where that is all. Looks at a bounded number."""
        found: list[HubEvent] = []
        size_bytes = 0
        first = bisect_right(self._records, revision, key=lambda record: record.change.revision)
        for record in self._records[first : first + SCAN_EVENTS]:
            revision = record.change.revision
            if event := record.seen_by(match):
                found.append(event)
                size_bytes += record.size_bytes
                if len(found) == limit or size_bytes >= BATCH_BYTES:
                    return found, revision
        return found, self.end if first + SCAN_EVENTS >= len(self._records) else revision


class Backlog:
    """Pages of history, each read once for all watchers that come along it at about the same time.

    One is read at a time, in a thread. Few are kept, so that any number of watchers takes bounded memory; one whose
    page is gone meanwhile has it read again.
    """

    def __init__(
        self,
        history: History,
        *,
        page_bytes: int = PAGE_BYTES,
        kept_bytes: int = KEPT_BYTES,
        kept_seconds: float = KEPT_SECONDS,
        opening: Opening | None = None,
    ) -> None:
        self._history = history
        self._opening = opening
        self._page_bytes = page_bytes
        self._kept_bytes = kept_bytes
        self._kept_seconds = kept_seconds
        self._pages: list[_Page] = []  # the one used last at the end
        self._reading = asyncio.Lock()
        self._forgetting: asyncio.TimerHandle | None = None

    async def pull(self, resource: str, revision: int, match: Match | None, limit: int) -> tuple[list[HubEvent], int]:
        """The next events after `revision` and the revision up to which these are all. Expired."""
        if resource in LEFT_OUT:
            raise _expired(resource, revision)
        async with self._reading:
            page = self._kept(resource, revision) or await self._read(resource, revision)
        return page.pull(revision, match, limit)

    def _kept(self, resource: str, revision: int) -> _Page | None:
        if revision < self._history.beginning.revision:
            return None  # outside the window, although somebody may still be reading it
        for page in self._pages:
            if page.resource == resource and page.start <= revision < page.end:
                self._pages.remove(page)
                self._pages.append(page)
                return page
        return None

    async def _read(self, resource: str, revision: int) -> _Page:
        try:
            page = await self._history.read_after(
                revision,
                lambda parts: _Page(resource, page_after(parts, resource, revision, self._page_bytes), self._opening),
            )
        except errors.Expired as error:
            raise _expired(resource, revision, f" ({error})") from None
        assert page.end > revision, "a change is neither in the rings nor in history"
        self._pages.append(page)
        size_bytes = sum(each.size_bytes for each in self._pages)
        while size_bytes > self._kept_bytes and len(self._pages) > 1:
            size_bytes -= self._pages.pop(0).size_bytes
        if self._forgetting is None:
            self._forgetting = asyncio.get_running_loop().call_later(self._kept_seconds, self._forget)
        return page

    def _forget(self) -> None:
        self._pages.clear()
        self._forgetting = None


class Place:
    """One watcher's place: a cursor in a ring or, as long as none holds it, a revision in history."""

    def __init__(self, hub: Hub, backlog: Backlog, resource: str, revision: int, node: str) -> None:
        self._hub = hub
        self._backlog = backlog
        self._resource = resource
        self._node = node
        self._cursor: Cursor | None = None
        self._revision = revision  # counts while there is no cursor
        self._enter()

    @property
    def revision(self) -> int:
        """Every change up to this revision was pulled or is not for this watcher: what a bookmark may say."""
        return self._revision if self._cursor is None else self._cursor.revision

    async def wait(self) -> None:
        """Return once `pull` has something to look at, or an error to raise. May be cancelled at any time."""
        if self._cursor is not None:
            await self._cursor.wait()

    async def pull(self, match: Match | None, limit: int = 512) -> list[HubEvent]:
        """Return the next changes that match, oldest first and at most `limit`, and move past them.

        Looks at a bounded number of changes: an empty list does not mean that `wait` would wait. Raises Expired when
        changes are gone from history as well, or the state was replaced.
        """
        if self._cursor is not None:
            try:
                return self._cursor.pull(match, limit)
            except errors.Expired:
                self._revision, self._cursor = self._cursor.revision, None
        found, self._revision = await self._backlog.pull(self._resource, self._revision, match, limit)
        self._enter()
        return found

    def _enter(self) -> None:
        """Go on in the ring if it holds everything from here on."""
        if self._hub.holds(self._resource, self._revision):
            self._cursor = self._hub.node_cursor(self._node, self._revision, self._resource)


def _expired(resource: str, revision: int, detail: str = "") -> errors.Expired:
    return errors.Expired(
        f"changes of {resource} after resource version {revision} are not kept any more{detail}: "
        "list again and watch from there"
    )
