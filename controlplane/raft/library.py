"""pysyncobj's interfaces for a journal and a transport, over our own log and network.

Shapes only, no decisions; the library itself is imported by `node` alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controlplane.raft.log import DurableLog, LogEntry


class Journal:
    """The library's journal interface over a `DurableLog`.

    `on_added` hears of every entry the library adds, `on_truncated` of the index from which on entries went.
    """

    def __init__(
        self,
        durable_log: DurableLog,
        on_added: Callable[[LogEntry], None],
        on_truncated: Callable[[int], None],
    ) -> None:
        self._log = durable_log
        self._on_added = on_added
        self._on_truncated = on_truncated
        self.setCurrentTerm = durable_log.set_term

    def add(self, data: bytes, index: int, term: int) -> None:
        """Append one entry."""
        self._log.add(data, index, term)
        self._on_added((data, index, term))

    def deleteEntriesFrom(self, position: int) -> None:  # noqa: N802 - the library's names
        """Drop the entries from list position `position` on."""
        if position < len(self._log):
            index = self._log[position][1]
            self._log.delete_from(position)
            self._on_truncated(index)

    def __len__(self) -> int:
        return len(self._log)

    def __getitem__(self, position: Any) -> Any:
        return self._log[position]

    def setRaftCommitIndex(self, index: int) -> None:  # noqa: N802 - the library's names
        """Guard everything up to `index` against truncation."""
        self._log.commit_index = max(self._log.commit_index, index)

    def getRaftCommitIndex(self) -> int:  # noqa: N802 - the library's name
        """What is known to be committed at the start: the snapshot, no more."""
        return max(1, self._log.commit_index)

    def getCurrentTerm(self) -> int:  # noqa: N802 - the library's name
        """The term of the last run."""
        return self._log.term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802 - the library's name
        """The vote given in that term."""
        return self._log.vote

    def onOneSecondTimer(self) -> None:  # noqa: N802 - the library's name
        """Nothing: the log syncs every turn."""


class Outlet:
    """The library's transport interface: what it still sends by itself goes to `send`; the rest never happens."""

    ready = True

    def __init__(self, send: Callable[[Any, dict[str, Any]], None]) -> None:
        self.send = send

    def _ignore(self, *_callback: object) -> None:
        """Connections are reported by our transport, and the other message types do not exist."""

    setOnNodeConnectedCallback = setOnNodeDisconnectedCallback = _ignore  # noqa: N815 - the library's names
    setOnMessageReceivedCallback = setOnUtilityMessageCallback = _ignore  # noqa: N815 - the library's names
    setOnReadonlyNodeConnectedCallback = setOnReadonlyNodeDisconnectedCallback = _ignore  # noqa: N815 - the library's names
