from api.v1 import apiserver_pb2 as _apiserver_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SecretsKeys(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, keys: _Optional[_Iterable[bytes]] = ...) -> None: ...

class KeyUsesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class KeyUsesReply(_message.Message):
    __slots__ = ("active", "uses")
    class Use(_message.Message):
        __slots__ = ("key", "needed_by")
        KEY_FIELD_NUMBER: _ClassVar[int]
        NEEDED_BY_FIELD_NUMBER: _ClassVar[int]
        key: str
        needed_by: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, key: _Optional[str] = ..., needed_by: _Optional[_Iterable[str]] = ...) -> None: ...
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    active: str
    uses: _containers.RepeatedCompositeFieldContainer[KeyUsesReply.Use]
    def __init__(self, active: _Optional[str] = ..., uses: _Optional[_Iterable[_Union[KeyUsesReply.Use, _Mapping]]] = ...) -> None: ...

class ForgetKeysRequest(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, keys: _Optional[_Iterable[str]] = ...) -> None: ...

class ForgetKeysReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProposeBatch(_message.Message):
    __slots__ = ("term", "transactions", "id")
    TERM_FIELD_NUMBER: _ClassVar[int]
    TRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    term: int
    transactions: _containers.RepeatedScalarFieldContainer[bytes]
    id: int
    def __init__(self, term: _Optional[int] = ..., transactions: _Optional[_Iterable[bytes]] = ..., id: _Optional[int] = ...) -> None: ...

class ProposeReply(_message.Message):
    __slots__ = ("id", "refused")
    ID_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    id: int
    refused: bool
    def __init__(self, id: _Optional[int] = ..., refused: _Optional[bool] = ...) -> None: ...

class ReadIndexRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReadIndexReply(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class SessionReport(_message.Message):
    __slots__ = ("replica", "sessions")
    class Session(_message.Message):
        __slots__ = ("node", "epoch", "age_seconds")
        NODE_FIELD_NUMBER: _ClassVar[int]
        EPOCH_FIELD_NUMBER: _ClassVar[int]
        AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
        node: str
        epoch: int
        age_seconds: float
        def __init__(self, node: _Optional[str] = ..., epoch: _Optional[int] = ..., age_seconds: _Optional[float] = ...) -> None: ...
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    replica: str
    sessions: _containers.RepeatedCompositeFieldContainer[SessionReport.Session]
    def __init__(self, replica: _Optional[str] = ..., sessions: _Optional[_Iterable[_Union[SessionReport.Session, _Mapping]]] = ...) -> None: ...

class SessionReportReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RaftEntry(_message.Message):
    __slots__ = ("index", "term", "data", "kind")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        COMMAND: _ClassVar[RaftEntry.Kind]
        NO_OP: _ClassVar[RaftEntry.Kind]
        CONFIGURATION: _ClassVar[RaftEntry.Kind]
    COMMAND: RaftEntry.Kind
    NO_OP: RaftEntry.Kind
    CONFIGURATION: RaftEntry.Kind
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    index: int
    term: int
    data: bytes
    kind: RaftEntry.Kind
    def __init__(self, index: _Optional[int] = ..., term: _Optional[int] = ..., data: _Optional[bytes] = ..., kind: _Optional[_Union[RaftEntry.Kind, str]] = ...) -> None: ...

class RaftMessage(_message.Message):
    __slots__ = ("term", "hello", "append_entries", "append_reply", "vote_request", "vote_reply", "pre_vote_request", "pre_vote_reply", "higher_term", "timeout_now", "snapshot_chunk", "farewell")
    TERM_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    APPEND_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    APPEND_REPLY_FIELD_NUMBER: _ClassVar[int]
    VOTE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    VOTE_REPLY_FIELD_NUMBER: _ClassVar[int]
    PRE_VOTE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    PRE_VOTE_REPLY_FIELD_NUMBER: _ClassVar[int]
    HIGHER_TERM_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_NOW_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_CHUNK_FIELD_NUMBER: _ClassVar[int]
    FAREWELL_FIELD_NUMBER: _ClassVar[int]
    term: int
    hello: Hello
    append_entries: AppendEntries
    append_reply: AppendReply
    vote_request: VoteRequest
    vote_reply: VoteReply
    pre_vote_request: VoteRequest
    pre_vote_reply: VoteReply
    higher_term: HigherTerm
    timeout_now: TimeoutNow
    snapshot_chunk: SnapshotChunk
    farewell: Farewell
    def __init__(self, term: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., append_entries: _Optional[_Union[AppendEntries, _Mapping]] = ..., append_reply: _Optional[_Union[AppendReply, _Mapping]] = ..., vote_request: _Optional[_Union[VoteRequest, _Mapping]] = ..., vote_reply: _Optional[_Union[VoteReply, _Mapping]] = ..., pre_vote_request: _Optional[_Union[VoteRequest, _Mapping]] = ..., pre_vote_reply: _Optional[_Union[VoteReply, _Mapping]] = ..., higher_term: _Optional[_Union[HigherTerm, _Mapping]] = ..., timeout_now: _Optional[_Union[TimeoutNow, _Mapping]] = ..., snapshot_chunk: _Optional[_Union[SnapshotChunk, _Mapping]] = ..., farewell: _Optional[_Union[Farewell, _Mapping]] = ...) -> None: ...

class Membership(_message.Message):
    __slots__ = ("members", "incarnation", "index")
    class Member(_message.Message):
        __slots__ = ("replica", "uid", "address", "voter")
        REPLICA_FIELD_NUMBER: _ClassVar[int]
        UID_FIELD_NUMBER: _ClassVar[int]
        ADDRESS_FIELD_NUMBER: _ClassVar[int]
        VOTER_FIELD_NUMBER: _ClassVar[int]
        replica: str
        uid: str
        address: str
        voter: bool
        def __init__(self, replica: _Optional[str] = ..., uid: _Optional[str] = ..., address: _Optional[str] = ..., voter: _Optional[bool] = ...) -> None: ...
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[Membership.Member]
    incarnation: int
    index: int
    def __init__(self, members: _Optional[_Iterable[_Union[Membership.Member, _Mapping]]] = ..., incarnation: _Optional[int] = ..., index: _Optional[int] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("replica", "cluster_uid", "member_uid", "incarnation", "membership_index")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_UID_FIELD_NUMBER: _ClassVar[int]
    MEMBER_UID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_INDEX_FIELD_NUMBER: _ClassVar[int]
    replica: str
    cluster_uid: str
    member_uid: str
    incarnation: int
    membership_index: int
    def __init__(self, replica: _Optional[str] = ..., cluster_uid: _Optional[str] = ..., member_uid: _Optional[str] = ..., incarnation: _Optional[int] = ..., membership_index: _Optional[int] = ...) -> None: ...

class Farewell(_message.Message):
    __slots__ = ("incarnation", "removed")
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    incarnation: int
    removed: bool
    def __init__(self, incarnation: _Optional[int] = ..., removed: _Optional[bool] = ...) -> None: ...

class AppendEntries(_message.Message):
    __slots__ = ("commit_index", "prev_index", "prev_term", "entries", "round")
    COMMIT_INDEX_FIELD_NUMBER: _ClassVar[int]
    PREV_INDEX_FIELD_NUMBER: _ClassVar[int]
    PREV_TERM_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    commit_index: int
    prev_index: int
    prev_term: int
    entries: _containers.RepeatedCompositeFieldContainer[RaftEntry]
    round: int
    def __init__(self, commit_index: _Optional[int] = ..., prev_index: _Optional[int] = ..., prev_term: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[RaftEntry, _Mapping]]] = ..., round: _Optional[int] = ...) -> None: ...

class AppendReply(_message.Message):
    __slots__ = ("next_index", "success", "reset", "round", "electable")
    NEXT_INDEX_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ELECTABLE_FIELD_NUMBER: _ClassVar[int]
    next_index: int
    success: bool
    reset: bool
    round: int
    electable: bool
    def __init__(self, next_index: _Optional[int] = ..., success: _Optional[bool] = ..., reset: _Optional[bool] = ..., round: _Optional[int] = ..., electable: _Optional[bool] = ...) -> None: ...

class VoteRequest(_message.Message):
    __slots__ = ("candidate_term", "last_index", "last_term", "round")
    CANDIDATE_TERM_FIELD_NUMBER: _ClassVar[int]
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAST_TERM_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    candidate_term: int
    last_index: int
    last_term: int
    round: int
    def __init__(self, candidate_term: _Optional[int] = ..., last_index: _Optional[int] = ..., last_term: _Optional[int] = ..., round: _Optional[int] = ...) -> None: ...

class VoteReply(_message.Message):
    __slots__ = ("granted", "round", "led")
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    LED_FIELD_NUMBER: _ClassVar[int]
    granted: bool
    round: int
    led: bool
    def __init__(self, granted: _Optional[bool] = ..., round: _Optional[int] = ..., led: _Optional[bool] = ...) -> None: ...

class HigherTerm(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TimeoutNow(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SnapshotChunk(_message.Message):
    __slots__ = ("index", "index_term", "offset", "data", "last", "round", "size_bytes", "crc32", "membership")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    INDEX_TERM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CRC32_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    index: int
    index_term: int
    offset: int
    data: bytes
    last: bool
    round: int
    size_bytes: int
    crc32: int
    membership: Membership
    def __init__(self, index: _Optional[int] = ..., index_term: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., last: _Optional[bool] = ..., round: _Optional[int] = ..., size_bytes: _Optional[int] = ..., crc32: _Optional[int] = ..., membership: _Optional[_Union[Membership, _Mapping]] = ...) -> None: ...

class LinkMessage(_message.Message):
    __slots__ = ("hello", "propose", "refused", "entries", "credit", "read_index", "read_reply", "status", "tick", "snapshot_saved", "snapshot_install", "error", "change", "change_reply")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PROPOSE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    READ_INDEX_FIELD_NUMBER: _ClassVar[int]
    READ_REPLY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TICK_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_SAVED_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_INSTALL_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    CHANGE_REPLY_FIELD_NUMBER: _ClassVar[int]
    hello: LinkHello
    propose: LinkPropose
    refused: LinkRefused
    entries: LinkEntries
    credit: LinkCredit
    read_index: LinkReadIndex
    read_reply: LinkReadReply
    status: LinkStatus
    tick: LinkTick
    snapshot_saved: LinkSnapshot
    snapshot_install: LinkSnapshot
    error: LinkError
    change: LinkChange
    change_reply: LinkChangeReply
    def __init__(self, hello: _Optional[_Union[LinkHello, _Mapping]] = ..., propose: _Optional[_Union[LinkPropose, _Mapping]] = ..., refused: _Optional[_Union[LinkRefused, _Mapping]] = ..., entries: _Optional[_Union[LinkEntries, _Mapping]] = ..., credit: _Optional[_Union[LinkCredit, _Mapping]] = ..., read_index: _Optional[_Union[LinkReadIndex, _Mapping]] = ..., read_reply: _Optional[_Union[LinkReadReply, _Mapping]] = ..., status: _Optional[_Union[LinkStatus, _Mapping]] = ..., tick: _Optional[_Union[LinkTick, _Mapping]] = ..., snapshot_saved: _Optional[_Union[LinkSnapshot, _Mapping]] = ..., snapshot_install: _Optional[_Union[LinkSnapshot, _Mapping]] = ..., error: _Optional[_Union[LinkError, _Mapping]] = ..., change: _Optional[_Union[LinkChange, _Mapping]] = ..., change_reply: _Optional[_Union[LinkChangeReply, _Mapping]] = ...) -> None: ...

class LinkHello(_message.Message):
    __slots__ = ("applied_index", "applied_term", "replica", "credit_bytes")
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    APPLIED_TERM_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    applied_index: int
    applied_term: int
    replica: str
    credit_bytes: int
    def __init__(self, applied_index: _Optional[int] = ..., applied_term: _Optional[int] = ..., replica: _Optional[str] = ..., credit_bytes: _Optional[int] = ...) -> None: ...

class LinkPropose(_message.Message):
    __slots__ = ("id", "term", "data", "awaited_elsewhere")
    ID_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    AWAITED_ELSEWHERE_FIELD_NUMBER: _ClassVar[int]
    id: int
    term: int
    data: bytes
    awaited_elsewhere: bool
    def __init__(self, id: _Optional[int] = ..., term: _Optional[int] = ..., data: _Optional[bytes] = ..., awaited_elsewhere: _Optional[bool] = ...) -> None: ...

class LinkRefused(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class LinkEntries(_message.Message):
    __slots__ = ("entries", "commit_index")
    class Entry(_message.Message):
        __slots__ = ("index", "term", "data", "own_id")
        INDEX_FIELD_NUMBER: _ClassVar[int]
        TERM_FIELD_NUMBER: _ClassVar[int]
        DATA_FIELD_NUMBER: _ClassVar[int]
        OWN_ID_FIELD_NUMBER: _ClassVar[int]
        index: int
        term: int
        data: bytes
        own_id: int
        def __init__(self, index: _Optional[int] = ..., term: _Optional[int] = ..., data: _Optional[bytes] = ..., own_id: _Optional[int] = ...) -> None: ...
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    COMMIT_INDEX_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[LinkEntries.Entry]
    commit_index: int
    def __init__(self, entries: _Optional[_Iterable[_Union[LinkEntries.Entry, _Mapping]]] = ..., commit_index: _Optional[int] = ...) -> None: ...

class LinkCredit(_message.Message):
    __slots__ = ("bytes", "applied_index")
    BYTES_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    applied_index: int
    def __init__(self, bytes: _Optional[int] = ..., applied_index: _Optional[int] = ...) -> None: ...

class LinkReadIndex(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class LinkReadReply(_message.Message):
    __slots__ = ("id", "index", "refused")
    ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    id: int
    index: int
    refused: bool
    def __init__(self, id: _Optional[int] = ..., index: _Optional[int] = ..., refused: _Optional[bool] = ...) -> None: ...

class LinkStatus(_message.Message):
    __slots__ = ("role", "term", "leader", "commit_index", "last_index", "leading", "membership", "progress", "sync_p50_seconds", "sync_p99_seconds", "cut_off")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    COMMIT_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    LEADING_FIELD_NUMBER: _ClassVar[int]
    MEMBERSHIP_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SYNC_P50_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SYNC_P99_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CUT_OFF_FIELD_NUMBER: _ClassVar[int]
    role: str
    term: int
    leader: str
    commit_index: int
    last_index: int
    leading: bool
    membership: Membership
    progress: _containers.RepeatedCompositeFieldContainer[LinkProgress]
    sync_p50_seconds: float
    sync_p99_seconds: float
    cut_off: bool
    def __init__(self, role: _Optional[str] = ..., term: _Optional[int] = ..., leader: _Optional[str] = ..., commit_index: _Optional[int] = ..., last_index: _Optional[int] = ..., leading: _Optional[bool] = ..., membership: _Optional[_Union[Membership, _Mapping]] = ..., progress: _Optional[_Iterable[_Union[LinkProgress, _Mapping]]] = ..., sync_p50_seconds: _Optional[float] = ..., sync_p99_seconds: _Optional[float] = ..., cut_off: _Optional[bool] = ...) -> None: ...

class LinkProgress(_message.Message):
    __slots__ = ("replica", "match_index", "connected")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    MATCH_INDEX_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    replica: str
    match_index: int
    connected: bool
    def __init__(self, replica: _Optional[str] = ..., match_index: _Optional[int] = ..., connected: _Optional[bool] = ...) -> None: ...

class LinkChange(_message.Message):
    __slots__ = ("id", "add_learner", "remove", "hand_over")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADD_LEARNER_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    HAND_OVER_FIELD_NUMBER: _ClassVar[int]
    id: int
    add_learner: Membership.Member
    remove: str
    hand_over: str
    def __init__(self, id: _Optional[int] = ..., add_learner: _Optional[_Union[Membership.Member, _Mapping]] = ..., remove: _Optional[str] = ..., hand_over: _Optional[str] = ...) -> None: ...

class LinkChangeReply(_message.Message):
    __slots__ = ("id", "refused", "retry")
    ID_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    id: int
    refused: str
    retry: bool
    def __init__(self, id: _Optional[int] = ..., refused: _Optional[str] = ..., retry: _Optional[bool] = ...) -> None: ...

class LinkTick(_message.Message):
    __slots__ = ("applied_index",)
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    applied_index: int
    def __init__(self, applied_index: _Optional[int] = ...) -> None: ...

class LinkSnapshot(_message.Message):
    __slots__ = ("index", "term", "path")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    index: int
    term: int
    path: str
    def __init__(self, index: _Optional[int] = ..., term: _Optional[int] = ..., path: _Optional[str] = ...) -> None: ...

class LinkError(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: str
    def __init__(self, message: _Optional[str] = ...) -> None: ...
