"""Between pysyncobj's dictionaries and our protobuf messages.

Pure. Only the types named here exist on the wire; whatever else the library could send or understand does not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from google.protobuf.message import DecodeError

from api.v1 import raft_pb2
from controlplane.raft.frames import FrameError
from controlplane.raft.log import LogEntry, LogFailure
from controlplane.raft.membership import Member, Membership

COMMAND = bytes([raft_pb2.RaftEntry.COMMAND])
NO_OP = bytes([raft_pb2.RaftEntry.NO_OP])
CONFIGURATION = bytes([raft_pb2.RaftEntry.CONFIGURATION])
KINDS = frozenset(raft_pb2.RaftEntry.Kind.values())
MOST_TERMS_AHEAD = 2**32  # a replica that was away misses one for each election


def check_term(term: int, current: int) -> None:
    """FrameError for a term that no election led to: at the last number there is, none could be held any more."""
    if term > current + MOST_TERMS_AHEAD:
        raise FrameError(f"a message of term {term}, when {current} is the current one")


def from_library(message: dict[str, Any]) -> raft_pb2.RaftMessage:
    """What the library sends by itself: votes."""
    match message["type"]:
        case "request_vote":
            request = raft_pb2.VoteRequest(
                candidate_term=message["term"],
                last_index=message["last_log_index"],
                last_term=message["last_log_term"],
            )
            return raft_pb2.RaftMessage(vote_request=request)
        case "response_vote":
            return raft_pb2.RaftMessage(vote_reply=raft_pb2.VoteReply(granted=True))
        case other:
            raise AssertionError(f"the library sends {other}")


def vote_request(term: int, request: raft_pb2.VoteRequest) -> dict[str, Any]:
    """A vote request for the library; FrameError when it contradicts the term of its message."""
    if request.candidate_term != term:
        raise FrameError("a vote request of another term than its sender's")
    return {
        "type": "request_vote",
        "term": term,
        "last_log_index": request.last_index,
        "last_log_term": request.last_term,
    }


def append_reply(reply: raft_pb2.AppendReply, *, reset: bool) -> dict[str, Any]:
    """An answer to an append for the library."""
    return {"type": "next_node_idx", "next_node_idx": reply.next_index, "success": reply.success, "reset": reset}


def append_entries(
    term: int, commit_index: int, prev_index: int, prev_term: int, entries: list[LogEntry]
) -> dict[str, Any]:
    """An append for the library, which truncates after `prev_index` and adds the entries."""
    return {
        "type": "append_entries",
        "term": term,
        "commit_index": commit_index,
        "prevLogIdx": prev_index,
        "prevLogTerm": prev_term,
        "entries": entries,
    }


def contact(term: int, commit_index: int) -> dict[str, Any]:
    """A sign of life of the leader for the library that leaves the log alone."""
    return {"type": "append_entries", "term": term, "commit_index": commit_index}


def entries(append: raft_pb2.AppendEntries, term: int) -> list[LogEntry]:
    """The entries of an append of `term`; FrameError when they do not follow each other or cannot be of it.

    LogFailure when one is of a kind that only a newer version knows: skipping it would be worse than stopping.
    """
    found: list[LogEntry] = []
    for index, entry in enumerate(append.entries, start=append.prev_index + 1):
        if entry.index != index:
            raise FrameError("an append whose entries do not follow each other")
        if entry.kind not in KINDS:
            raise LogFailure(f"entry {index} is of kind {entry.kind}, which only a newer version knows; upgrade")
        found.append((bytes((entry.kind,)) + entry.data, index, entry.term))
        _check_entry(found[-1], term)
    return found


def _check_entry(entry: LogEntry, term: int) -> None:
    """FrameError for what must not get into the log: it could not be read again."""
    if entry[2] > term:
        raise FrameError(f"entry {entry[1]} of term {entry[2]} in a message of term {term}")
    try:
        membership_in(entry)
    except DecodeError:
        raise FrameError(f"entry {entry[1]} is a membership that does not parse") from None


def command_in(data: bytes) -> bytes:
    """What the API process gets of an entry: its command, or nothing of an entry that is Raft's own."""
    return data[1:] if data.startswith(COMMAND) else b""


def membership_message(membership: Membership) -> raft_pb2.Membership:
    """A membership for the wire, the log and the side of a snapshot."""
    message = raft_pb2.Membership(incarnation=membership.incarnation, index=membership.index)
    for each in membership.members:
        message.members.add(replica=each.replica, uid=each.uid, address=each.address, voter=each.voter)
    return message


def membership_of(message: raft_pb2.Membership) -> Membership:
    """Inverse of `membership_message`."""
    return Membership(tuple(sorted(map(member_of, message.members))), message.incarnation, message.index)


def membership_beside(content: bytes) -> Membership | None:
    """The membership kept beside a snapshot; None for the first one. LogFailure when it does not parse."""
    if not content:
        return None
    try:
        return membership_of(raft_pb2.Membership.FromString(content))
    except DecodeError:
        raise LogFailure(
            "the membership beside the snapshot does not parse; remove this replica from the cluster and join it anew"
        ) from None


def member_of(message: raft_pb2.Membership.Member) -> Member:
    """One member of a message."""
    return Member(message.replica, message.uid, message.address, message.voter)


def configuration_entry(membership: Membership) -> bytes:
    """The data of the log entry that puts a membership in force."""
    return CONFIGURATION + membership_message(membership).SerializeToString()


def membership_in(entry: LogEntry) -> Membership | None:
    """The membership that an entry puts in force; None for any other entry."""
    data, index, _ = entry
    if data[:1] != CONFIGURATION:
        return None
    return replace(membership_of(raft_pb2.Membership.FromString(data[1:])), index=index)
