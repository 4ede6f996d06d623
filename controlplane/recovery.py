"""After the quorum is lost for good: going on from the data of one replica, in a new incarnation.

Works on a stopped replica's folders. `look` says what going on would keep; `recover` appends two entries to the log:
a membership of this replica alone, and the command that moves revisions on. Members of the old incarnation are
never let in again, and end themselves when they meet this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from component.env import Env, rfc3339
from controlplane.config import ServerConfig
from controlplane.incarnation import MILLISECONDS, starting_entry
from controlplane.level import check_known
from controlplane.raft import messages
from controlplane.raft.config import first_membership
from controlplane.raft.membership import ChangeRefused, Member, Membership
from controlplane.raft.protocol import Entry
from controlplane.raft.recovery import Storage, open_storage
from controlplane.raft_settings import raft_config
from controlplane.store import snapshot as snapshots
from controlplane.store.state import State


@dataclass(frozen=True, slots=True)
class Remains:
    """What one replica still has. `time` (RFC 3339) is of its last command, `others` voted with it until now."""

    index: int
    term: int
    revision: int
    time: str
    objects: int
    snapshot_index: int
    incarnation: int
    others: tuple[str, ...]


def look(config: ServerConfig) -> Remains:
    """What this replica's folders hold. LogFailure, CorruptSnapshot: unusable; ChangeRefused: it never voted.

    TooNew, UnknownCommandVersion: a newer program wrote them.
    """
    storage = _open(config)
    try:
        membership = newest_membership(storage, config)
        _own_vote(membership, config)
        state = replayed(storage, Path(config.data_dir) / "snapshots")
        latest = storage.snapshots.latest
        return Remains(
            index=storage.log.last_index,
            term=storage.log.term_at(storage.log.last_index),
            revision=state.revision,
            time=rfc3339(state.time_ms / MILLISECONDS),
            objects=sum(state.count(resource) for resource in state.resources()),
            snapshot_index=latest.index if latest is not None else 0,
            incarnation=membership.incarnation,
            others=tuple(sorted(membership.voters - {config.replica})),
        )
    finally:
        storage.close()


def recover(config: ServerConfig, env: Env) -> Membership:
    """Make this replica the only member of a new incarnation; durable at return. Errors as `look`.

    A crash in between leaves the log as it was or complete: both entries are one write.
    """
    storage = _open(config)
    try:
        log = storage.log
        membership = newest_membership(storage, config)
        _own_vote(membership, config)
        index, term = log.last_index + 1, max(log.term, log.term_at(log.last_index)) + 1
        alone = membership.alone(config.replica, index)
        log.set_term(term, config.replica)
        log.add(messages.configuration_entry(alone), index, term)
        log.add(messages.COMMAND + starting_entry(env), index + 1, term)
        log.sync()
        return alone
    finally:
        storage.close()


def newest_membership(storage: Storage, config: ServerConfig) -> Membership:
    """The membership in force at the end of the log."""
    newest = messages.membership_beside(storage.snapshots.membership()) or first_membership(raft_config(config))
    for entry in storage.log[:]:
        found = messages.membership_in(entry)
        if found is not None and found.index > newest.index:
            newest = found
    return newest


def replayed(storage: Storage, folder: Path) -> State:
    """The state at the end of the log: the newest snapshot, and every entry after it."""
    state = snapshots.load_newest(folder)[0]
    latest = storage.snapshots.latest
    if latest is not None and (state is None or state.applied_index < latest.index):
        state = snapshots.load(latest.path, (latest.index, latest.term))
    state = state or State()
    for data, index, term in storage.log[:]:
        if index > state.applied_index:
            state.apply(Entry(index, term, messages.command_in(data)))
    check_known(state.level)
    return state


def _own_vote(membership: Membership, config: ServerConfig) -> None:
    if not membership.vote_of(Member(config.replica, config.replica_uids.get(config.replica, ""))):
        raise ChangeRefused(f"replica {config.replica} has no vote in this cluster: recover from one that has")


def _open(config: ServerConfig) -> Storage:
    return open_storage(Path(config.data_dir) / "raft")
