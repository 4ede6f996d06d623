from api.v1 import resource_pb2 as _resource_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Propagation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROPAGATION_UNSPECIFIED: _ClassVar[Propagation]
    BACKGROUND: _ClassVar[Propagation]
    FOREGROUND: _ClassVar[Propagation]
    ORPHAN: _ClassVar[Propagation]
PROPAGATION_UNSPECIFIED: Propagation
BACKGROUND: Propagation
FOREGROUND: Propagation
ORPHAN: Propagation

class Sending(_message.Message):
    __slots__ = ("id", "since", "repeated")
    ID_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    since: int
    repeated: bool
    def __init__(self, id: _Optional[bytes] = ..., since: _Optional[int] = ..., repeated: _Optional[bool] = ...) -> None: ...

class CreateRequest(_message.Message):
    __slots__ = ("object", "dry_run", "sending")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    SENDING_FIELD_NUMBER: _ClassVar[int]
    object: _resource_pb2.Resource
    dry_run: bool
    sending: Sending
    def __init__(self, object: _Optional[_Union[_resource_pb2.Resource, _Mapping]] = ..., dry_run: _Optional[bool] = ..., sending: _Optional[_Union[Sending, _Mapping]] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("resource", "namespace", "name", "stale_seconds", "at_revision", "at_time", "not_older_than")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STALE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    AT_REVISION_FIELD_NUMBER: _ClassVar[int]
    AT_TIME_FIELD_NUMBER: _ClassVar[int]
    NOT_OLDER_THAN_FIELD_NUMBER: _ClassVar[int]
    resource: str
    namespace: str
    name: str
    stale_seconds: float
    at_revision: int
    at_time: str
    not_older_than: int
    def __init__(self, resource: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., stale_seconds: _Optional[float] = ..., at_revision: _Optional[int] = ..., at_time: _Optional[str] = ..., not_older_than: _Optional[int] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("resource", "namespace", "label_selector", "field_selector", "limit", "continue_token", "stale_seconds", "at_revision", "at_time", "not_older_than")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LABEL_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    FIELD_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STALE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    AT_REVISION_FIELD_NUMBER: _ClassVar[int]
    AT_TIME_FIELD_NUMBER: _ClassVar[int]
    NOT_OLDER_THAN_FIELD_NUMBER: _ClassVar[int]
    resource: str
    namespace: str
    label_selector: str
    field_selector: str
    limit: int
    continue_token: str
    stale_seconds: float
    at_revision: int
    at_time: str
    not_older_than: int
    def __init__(self, resource: _Optional[str] = ..., namespace: _Optional[str] = ..., label_selector: _Optional[str] = ..., field_selector: _Optional[str] = ..., limit: _Optional[int] = ..., continue_token: _Optional[str] = ..., stale_seconds: _Optional[float] = ..., at_revision: _Optional[int] = ..., at_time: _Optional[str] = ..., not_older_than: _Optional[int] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("items", "resource_version", "continue_token")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[_resource_pb2.Resource]
    resource_version: int
    continue_token: str
    def __init__(self, items: _Optional[_Iterable[_Union[_resource_pb2.Resource, _Mapping]]] = ..., resource_version: _Optional[int] = ..., continue_token: _Optional[str] = ...) -> None: ...

class UpdateRequest(_message.Message):
    __slots__ = ("object", "dry_run", "sending", "field_manager")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    SENDING_FIELD_NUMBER: _ClassVar[int]
    FIELD_MANAGER_FIELD_NUMBER: _ClassVar[int]
    object: _resource_pb2.Resource
    dry_run: bool
    sending: Sending
    field_manager: str
    def __init__(self, object: _Optional[_Union[_resource_pb2.Resource, _Mapping]] = ..., dry_run: _Optional[bool] = ..., sending: _Optional[_Union[Sending, _Mapping]] = ..., field_manager: _Optional[str] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("resource", "namespace", "name", "uid", "resource_version", "grace_seconds", "propagation", "dry_run", "sending")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    GRACE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PROPAGATION_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    SENDING_FIELD_NUMBER: _ClassVar[int]
    resource: str
    namespace: str
    name: str
    uid: str
    resource_version: int
    grace_seconds: int
    propagation: Propagation
    dry_run: bool
    sending: Sending
    def __init__(self, resource: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., uid: _Optional[str] = ..., resource_version: _Optional[int] = ..., grace_seconds: _Optional[int] = ..., propagation: _Optional[_Union[Propagation, str]] = ..., dry_run: _Optional[bool] = ..., sending: _Optional[_Union[Sending, _Mapping]] = ...) -> None: ...

class DeleteCollectionRequest(_message.Message):
    __slots__ = ("resource", "namespace", "label_selector", "field_selector", "grace_seconds", "propagation", "dry_run", "limit", "continue_token")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LABEL_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    FIELD_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    GRACE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PROPAGATION_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    resource: str
    namespace: str
    label_selector: str
    field_selector: str
    grace_seconds: int
    propagation: Propagation
    dry_run: bool
    limit: int
    continue_token: str
    def __init__(self, resource: _Optional[str] = ..., namespace: _Optional[str] = ..., label_selector: _Optional[str] = ..., field_selector: _Optional[str] = ..., grace_seconds: _Optional[int] = ..., propagation: _Optional[_Union[Propagation, str]] = ..., dry_run: _Optional[bool] = ..., limit: _Optional[int] = ..., continue_token: _Optional[str] = ...) -> None: ...

class DeleteCollectionResponse(_message.Message):
    __slots__ = ("results", "continue_token")
    class Result(_message.Message):
        __slots__ = ("object", "reason", "message")
        OBJECT_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        object: _resource_pb2.Resource
        reason: str
        message: str
        def __init__(self, object: _Optional[_Union[_resource_pb2.Resource, _Mapping]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[DeleteCollectionResponse.Result]
    continue_token: str
    def __init__(self, results: _Optional[_Iterable[_Union[DeleteCollectionResponse.Result, _Mapping]]] = ..., continue_token: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("resource", "namespace", "label_selector", "field_selector", "resource_version")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LABEL_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    FIELD_SELECTOR_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    resource: str
    namespace: str
    label_selector: str
    field_selector: str
    resource_version: int
    def __init__(self, resource: _Optional[str] = ..., namespace: _Optional[str] = ..., label_selector: _Optional[str] = ..., field_selector: _Optional[str] = ..., resource_version: _Optional[int] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_resource_pb2.WatchEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[_resource_pb2.WatchEvent, _Mapping]]] = ...) -> None: ...

class ApplyRequest(_message.Message):
    __slots__ = ("object", "dry_run", "sending", "field_manager")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    SENDING_FIELD_NUMBER: _ClassVar[int]
    FIELD_MANAGER_FIELD_NUMBER: _ClassVar[int]
    object: _resource_pb2.Resource
    dry_run: bool
    sending: Sending
    field_manager: str
    def __init__(self, object: _Optional[_Union[_resource_pb2.Resource, _Mapping]] = ..., dry_run: _Optional[bool] = ..., sending: _Optional[_Union[Sending, _Mapping]] = ..., field_manager: _Optional[str] = ...) -> None: ...

class ApplyResponse(_message.Message):
    __slots__ = ("object", "outcome")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[ApplyResponse.Outcome]
        CREATED: _ClassVar[ApplyResponse.Outcome]
        CONFIGURED: _ClassVar[ApplyResponse.Outcome]
        UNCHANGED: _ClassVar[ApplyResponse.Outcome]
    OUTCOME_UNSPECIFIED: ApplyResponse.Outcome
    CREATED: ApplyResponse.Outcome
    CONFIGURED: ApplyResponse.Outcome
    UNCHANGED: ApplyResponse.Outcome
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    object: _resource_pb2.Resource
    outcome: ApplyResponse.Outcome
    def __init__(self, object: _Optional[_Union[_resource_pb2.Resource, _Mapping]] = ..., outcome: _Optional[_Union[ApplyResponse.Outcome, str]] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("create", "update", "apply", "delete")
    CREATE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    APPLY_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    create: _resource_pb2.Resource
    update: _resource_pb2.Resource
    apply: _resource_pb2.Resource
    delete: DeleteRequest
    def __init__(self, create: _Optional[_Union[_resource_pb2.Resource, _Mapping]] = ..., update: _Optional[_Union[_resource_pb2.Resource, _Mapping]] = ..., apply: _Optional[_Union[_resource_pb2.Resource, _Mapping]] = ..., delete: _Optional[_Union[DeleteRequest, _Mapping]] = ...) -> None: ...

class TransactionRequest(_message.Message):
    __slots__ = ("operations", "dry_run", "sending", "field_manager")
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    SENDING_FIELD_NUMBER: _ClassVar[int]
    FIELD_MANAGER_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[Operation]
    dry_run: bool
    sending: Sending
    field_manager: str
    def __init__(self, operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ..., dry_run: _Optional[bool] = ..., sending: _Optional[_Union[Sending, _Mapping]] = ..., field_manager: _Optional[str] = ...) -> None: ...

class FieldFault(_message.Message):
    __slots__ = ("path", "message")
    PATH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    path: str
    message: str
    def __init__(self, path: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class TransactionResponse(_message.Message):
    __slots__ = ("committed", "results", "resource_version")
    class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OUTCOME_UNSPECIFIED: _ClassVar[TransactionResponse.Outcome]
        CREATED: _ClassVar[TransactionResponse.Outcome]
        CONFIGURED: _ClassVar[TransactionResponse.Outcome]
        UNCHANGED: _ClassVar[TransactionResponse.Outcome]
        DELETED: _ClassVar[TransactionResponse.Outcome]
        REFUSED: _ClassVar[TransactionResponse.Outcome]
    OUTCOME_UNSPECIFIED: TransactionResponse.Outcome
    CREATED: TransactionResponse.Outcome
    CONFIGURED: TransactionResponse.Outcome
    UNCHANGED: TransactionResponse.Outcome
    DELETED: TransactionResponse.Outcome
    REFUSED: TransactionResponse.Outcome
    class Result(_message.Message):
        __slots__ = ("outcome", "object", "reason", "message", "fields")
        OUTCOME_FIELD_NUMBER: _ClassVar[int]
        OBJECT_FIELD_NUMBER: _ClassVar[int]
        REASON_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        FIELDS_FIELD_NUMBER: _ClassVar[int]
        outcome: TransactionResponse.Outcome
        object: _resource_pb2.Resource
        reason: str
        message: str
        fields: _containers.RepeatedCompositeFieldContainer[FieldFault]
        def __init__(self, outcome: _Optional[_Union[TransactionResponse.Outcome, str]] = ..., object: _Optional[_Union[_resource_pb2.Resource, _Mapping]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., fields: _Optional[_Iterable[_Union[FieldFault, _Mapping]]] = ...) -> None: ...
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    committed: bool
    results: _containers.RepeatedCompositeFieldContainer[TransactionResponse.Result]
    resource_version: int
    def __init__(self, committed: _Optional[bool] = ..., results: _Optional[_Iterable[_Union[TransactionResponse.Result, _Mapping]]] = ..., resource_version: _Optional[int] = ...) -> None: ...

class PatchRequest(_message.Message):
    __slots__ = ("resource", "namespace", "name", "type", "patch", "subresource", "dry_run", "sending", "field_manager", "force")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TYPE_UNSPECIFIED: _ClassVar[PatchRequest.Type]
        JSON: _ClassVar[PatchRequest.Type]
        MERGE: _ClassVar[PatchRequest.Type]
        STRATEGIC: _ClassVar[PatchRequest.Type]
        APPLY: _ClassVar[PatchRequest.Type]
    TYPE_UNSPECIFIED: PatchRequest.Type
    JSON: PatchRequest.Type
    MERGE: PatchRequest.Type
    STRATEGIC: PatchRequest.Type
    APPLY: PatchRequest.Type
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PATCH_FIELD_NUMBER: _ClassVar[int]
    SUBRESOURCE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    SENDING_FIELD_NUMBER: _ClassVar[int]
    FIELD_MANAGER_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    resource: str
    namespace: str
    name: str
    type: PatchRequest.Type
    patch: str
    subresource: str
    dry_run: bool
    sending: Sending
    field_manager: str
    force: bool
    def __init__(self, resource: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., type: _Optional[_Union[PatchRequest.Type, str]] = ..., patch: _Optional[str] = ..., subresource: _Optional[str] = ..., dry_run: _Optional[bool] = ..., sending: _Optional[_Union[Sending, _Mapping]] = ..., field_manager: _Optional[str] = ..., force: _Optional[bool] = ...) -> None: ...

class MomentRequest(_message.Message):
    __slots__ = ("revision", "time", "not_older_than")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    NOT_OLDER_THAN_FIELD_NUMBER: _ClassVar[int]
    revision: int
    time: str
    not_older_than: int
    def __init__(self, revision: _Optional[int] = ..., time: _Optional[str] = ..., not_older_than: _Optional[int] = ...) -> None: ...

class MomentResponse(_message.Message):
    __slots__ = ("revision", "time", "oldest_revision", "oldest_time")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    OLDEST_REVISION_FIELD_NUMBER: _ClassVar[int]
    OLDEST_TIME_FIELD_NUMBER: _ClassVar[int]
    revision: int
    time: str
    oldest_revision: int
    oldest_time: str
    def __init__(self, revision: _Optional[int] = ..., time: _Optional[str] = ..., oldest_revision: _Optional[int] = ..., oldest_time: _Optional[str] = ...) -> None: ...

class HistoryRequest(_message.Message):
    __slots__ = ("resource", "namespace", "name", "limit")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    resource: str
    namespace: str
    name: str
    limit: int
    def __init__(self, resource: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class HistoryResponse(_message.Message):
    __slots__ = ("changes", "complete", "oldest_revision", "oldest_time")
    class Change(_message.Message):
        __slots__ = ("revision", "time", "type", "uid", "paths", "user")
        REVISION_FIELD_NUMBER: _ClassVar[int]
        TIME_FIELD_NUMBER: _ClassVar[int]
        TYPE_FIELD_NUMBER: _ClassVar[int]
        UID_FIELD_NUMBER: _ClassVar[int]
        PATHS_FIELD_NUMBER: _ClassVar[int]
        USER_FIELD_NUMBER: _ClassVar[int]
        revision: int
        time: str
        type: _resource_pb2.EventType
        uid: str
        paths: _containers.RepeatedScalarFieldContainer[str]
        user: str
        def __init__(self, revision: _Optional[int] = ..., time: _Optional[str] = ..., type: _Optional[_Union[_resource_pb2.EventType, str]] = ..., uid: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ..., user: _Optional[str] = ...) -> None: ...
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    OLDEST_REVISION_FIELD_NUMBER: _ClassVar[int]
    OLDEST_TIME_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[HistoryResponse.Change]
    complete: bool
    oldest_revision: int
    oldest_time: str
    def __init__(self, changes: _Optional[_Iterable[_Union[HistoryResponse.Change, _Mapping]]] = ..., complete: _Optional[bool] = ..., oldest_revision: _Optional[int] = ..., oldest_time: _Optional[str] = ...) -> None: ...

class Binding(_message.Message):
    __slots__ = ("namespace", "name", "uid", "node")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    uid: str
    node: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., uid: _Optional[str] = ..., node: _Optional[str] = ...) -> None: ...

class BindRequest(_message.Message):
    __slots__ = ("bindings",)
    BINDINGS_FIELD_NUMBER: _ClassVar[int]
    bindings: _containers.RepeatedCompositeFieldContainer[Binding]
    def __init__(self, bindings: _Optional[_Iterable[_Union[Binding, _Mapping]]] = ...) -> None: ...

class BindResponse(_message.Message):
    __slots__ = ("results",)
    class Result(_message.Message):
        __slots__ = ("reason", "message")
        REASON_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        reason: str
        message: str
        def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BindResponse.Result]
    def __init__(self, results: _Optional[_Iterable[_Union[BindResponse.Result, _Mapping]]] = ...) -> None: ...

class LogsRequest(_message.Message):
    __slots__ = ("namespace", "pod", "container", "follow", "previous", "timestamps", "tail_lines", "since_seconds", "since_time", "limit_bytes")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMPS_FIELD_NUMBER: _ClassVar[int]
    TAIL_LINES_FIELD_NUMBER: _ClassVar[int]
    SINCE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SINCE_TIME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    pod: str
    container: str
    follow: bool
    previous: bool
    timestamps: bool
    tail_lines: int
    since_seconds: float
    since_time: str
    limit_bytes: int
    def __init__(self, namespace: _Optional[str] = ..., pod: _Optional[str] = ..., container: _Optional[str] = ..., follow: _Optional[bool] = ..., previous: _Optional[bool] = ..., timestamps: _Optional[bool] = ..., tail_lines: _Optional[int] = ..., since_seconds: _Optional[float] = ..., since_time: _Optional[str] = ..., limit_bytes: _Optional[int] = ...) -> None: ...

class LogsResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class ExecStart(_message.Message):
    __slots__ = ("namespace", "pod", "container", "command", "stdin", "tty")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    TTY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    pod: str
    container: str
    command: _containers.RepeatedScalarFieldContainer[str]
    stdin: bool
    tty: bool
    def __init__(self, namespace: _Optional[str] = ..., pod: _Optional[str] = ..., container: _Optional[str] = ..., command: _Optional[_Iterable[str]] = ..., stdin: _Optional[bool] = ..., tty: _Optional[bool] = ...) -> None: ...

class AttachStart(_message.Message):
    __slots__ = ("namespace", "pod", "container", "stdin", "tty")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    TTY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    pod: str
    container: str
    stdin: bool
    tty: bool
    def __init__(self, namespace: _Optional[str] = ..., pod: _Optional[str] = ..., container: _Optional[str] = ..., stdin: _Optional[bool] = ..., tty: _Optional[bool] = ...) -> None: ...

class ForwardStart(_message.Message):
    __slots__ = ("namespace", "pod", "port")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    pod: str
    port: int
    def __init__(self, namespace: _Optional[str] = ..., pod: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...

class TerminalSize(_message.Message):
    __slots__ = ("width", "height")
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class StreamFrame(_message.Message):
    __slots__ = ("exec", "accept", "logs", "stdin", "stdout", "stderr", "stdin_closed", "resize", "exit_code", "error", "ended", "forward", "stdout_closed", "attach")
    EXEC_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    STDIN_CLOSED_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    STDOUT_CLOSED_FIELD_NUMBER: _ClassVar[int]
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    exec: ExecStart
    accept: str
    logs: LogsRequest
    stdin: bytes
    stdout: bytes
    stderr: bytes
    stdin_closed: bool
    resize: TerminalSize
    exit_code: int
    error: StreamError
    ended: bool
    forward: ForwardStart
    stdout_closed: bool
    attach: AttachStart
    def __init__(self, exec: _Optional[_Union[ExecStart, _Mapping]] = ..., accept: _Optional[str] = ..., logs: _Optional[_Union[LogsRequest, _Mapping]] = ..., stdin: _Optional[bytes] = ..., stdout: _Optional[bytes] = ..., stderr: _Optional[bytes] = ..., stdin_closed: _Optional[bool] = ..., resize: _Optional[_Union[TerminalSize, _Mapping]] = ..., exit_code: _Optional[int] = ..., error: _Optional[_Union[StreamError, _Mapping]] = ..., ended: _Optional[bool] = ..., forward: _Optional[_Union[ForwardStart, _Mapping]] = ..., stdout_closed: _Optional[bool] = ..., attach: _Optional[_Union[AttachStart, _Mapping]] = ...) -> None: ...

class StreamError(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class CreateJoinTokenRequest(_message.Message):
    __slots__ = ("role", "name", "ttl_seconds")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    role: str
    name: str
    ttl_seconds: int
    def __init__(self, role: _Optional[str] = ..., name: _Optional[str] = ..., ttl_seconds: _Optional[int] = ...) -> None: ...

class CreateJoinTokenResponse(_message.Message):
    __slots__ = ("token", "ca_hash", "expires_time")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CA_HASH_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_TIME_FIELD_NUMBER: _ClassVar[int]
    token: str
    ca_hash: str
    expires_time: str
    def __init__(self, token: _Optional[str] = ..., ca_hash: _Optional[str] = ..., expires_time: _Optional[str] = ...) -> None: ...

class CreateTokenRequest(_message.Message):
    __slots__ = ("namespace", "service_account", "audiences", "expiration_seconds", "bound")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    AUDIENCES_FIELD_NUMBER: _ClassVar[int]
    EXPIRATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    service_account: str
    audiences: _containers.RepeatedScalarFieldContainer[str]
    expiration_seconds: int
    bound: BoundObject
    def __init__(self, namespace: _Optional[str] = ..., service_account: _Optional[str] = ..., audiences: _Optional[_Iterable[str]] = ..., expiration_seconds: _Optional[int] = ..., bound: _Optional[_Union[BoundObject, _Mapping]] = ...) -> None: ...

class BoundObject(_message.Message):
    __slots__ = ("kind", "name", "uid", "api_version")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    uid: str
    api_version: str
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., uid: _Optional[str] = ..., api_version: _Optional[str] = ...) -> None: ...

class CreateTokenResponse(_message.Message):
    __slots__ = ("token", "expiration_time")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRATION_TIME_FIELD_NUMBER: _ClassVar[int]
    token: str
    expiration_time: str
    def __init__(self, token: _Optional[str] = ..., expiration_time: _Optional[str] = ...) -> None: ...

class RenewCertificateRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: str
    def __init__(self, request: _Optional[str] = ...) -> None: ...

class RenewCertificateResponse(_message.Message):
    __slots__ = ("certificate",)
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    certificate: str
    def __init__(self, certificate: _Optional[str] = ...) -> None: ...

class BackupRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BackupChunk(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class RemoveReplicaRequest(_message.Message):
    __slots__ = ("replica",)
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    replica: str
    def __init__(self, replica: _Optional[str] = ...) -> None: ...

class RemoveReplicaResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TransferLeadershipRequest(_message.Message):
    __slots__ = ("to",)
    TO_FIELD_NUMBER: _ClassVar[int]
    to: str
    def __init__(self, to: _Optional[str] = ...) -> None: ...

class TransferLeadershipResponse(_message.Message):
    __slots__ = ("leader",)
    LEADER_FIELD_NUMBER: _ClassVar[int]
    leader: str
    def __init__(self, leader: _Optional[str] = ...) -> None: ...

class SecretsKeysRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SecretsKeysResponse(_message.Message):
    __slots__ = ("keys", "plain", "silent", "forgotten")
    class Key(_message.Message):
        __slots__ = ("id", "active", "secrets", "needed_by")
        ID_FIELD_NUMBER: _ClassVar[int]
        ACTIVE_FIELD_NUMBER: _ClassVar[int]
        SECRETS_FIELD_NUMBER: _ClassVar[int]
        NEEDED_BY_FIELD_NUMBER: _ClassVar[int]
        id: str
        active: bool
        secrets: int
        needed_by: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, id: _Optional[str] = ..., active: _Optional[bool] = ..., secrets: _Optional[int] = ..., needed_by: _Optional[_Iterable[str]] = ...) -> None: ...
    KEYS_FIELD_NUMBER: _ClassVar[int]
    PLAIN_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedCompositeFieldContainer[SecretsKeysResponse.Key]
    plain: int
    silent: _containers.RepeatedScalarFieldContainer[str]
    forgotten: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, keys: _Optional[_Iterable[_Union[SecretsKeysResponse.Key, _Mapping]]] = ..., plain: _Optional[int] = ..., silent: _Optional[_Iterable[str]] = ..., forgotten: _Optional[_Iterable[str]] = ...) -> None: ...

class RevokeCertificateRequest(_message.Message):
    __slots__ = ("name", "serial", "expires_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    serial: str
    expires_time: float
    def __init__(self, name: _Optional[str] = ..., serial: _Optional[str] = ..., expires_time: _Optional[float] = ...) -> None: ...

class RevokeCertificateResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRevokedRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRevokedResponse(_message.Message):
    __slots__ = ("revoked",)
    class Revoked(_message.Message):
        __slots__ = ("name", "serial", "by", "time", "expires_time")
        NAME_FIELD_NUMBER: _ClassVar[int]
        SERIAL_FIELD_NUMBER: _ClassVar[int]
        BY_FIELD_NUMBER: _ClassVar[int]
        TIME_FIELD_NUMBER: _ClassVar[int]
        EXPIRES_TIME_FIELD_NUMBER: _ClassVar[int]
        name: str
        serial: str
        by: str
        time: float
        expires_time: float
        def __init__(self, name: _Optional[str] = ..., serial: _Optional[str] = ..., by: _Optional[str] = ..., time: _Optional[float] = ..., expires_time: _Optional[float] = ...) -> None: ...
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    revoked: _containers.RepeatedCompositeFieldContainer[ListRevokedResponse.Revoked]
    def __init__(self, revoked: _Optional[_Iterable[_Union[ListRevokedResponse.Revoked, _Mapping]]] = ...) -> None: ...

class ClusterStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClusterStatusResponse(_message.Message):
    __slots__ = ("cluster_uid", "version", "answered_by", "replicas", "revision", "endpoints", "level", "incarnation")
    CLUSTER_UID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    cluster_uid: str
    version: str
    answered_by: str
    replicas: _containers.RepeatedCompositeFieldContainer[ReplicaStatus]
    revision: int
    endpoints: _containers.RepeatedCompositeFieldContainer[Endpoint]
    level: int
    incarnation: int
    def __init__(self, cluster_uid: _Optional[str] = ..., version: _Optional[str] = ..., answered_by: _Optional[str] = ..., replicas: _Optional[_Iterable[_Union[ReplicaStatus, _Mapping]]] = ..., revision: _Optional[int] = ..., endpoints: _Optional[_Iterable[_Union[Endpoint, _Mapping]]] = ..., level: _Optional[int] = ..., incarnation: _Optional[int] = ...) -> None: ...

class Endpoint(_message.Message):
    __slots__ = ("replica", "address")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    replica: str
    address: str
    def __init__(self, replica: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...

class ReplicaStatus(_message.Message):
    __slots__ = ("id", "role", "term", "last_index", "commit_index", "applied_index", "leader", "ready", "voter", "address", "version", "level", "sync_p50_seconds", "sync_p99_seconds", "lag_entries")
    ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    COMMIT_INDEX_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    VOTER_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    SYNC_P50_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SYNC_P99_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LAG_ENTRIES_FIELD_NUMBER: _ClassVar[int]
    id: str
    role: str
    term: int
    last_index: int
    commit_index: int
    applied_index: int
    leader: str
    ready: bool
    voter: bool
    address: str
    version: str
    level: int
    sync_p50_seconds: float
    sync_p99_seconds: float
    lag_entries: int
    def __init__(self, id: _Optional[str] = ..., role: _Optional[str] = ..., term: _Optional[int] = ..., last_index: _Optional[int] = ..., commit_index: _Optional[int] = ..., applied_index: _Optional[int] = ..., leader: _Optional[str] = ..., ready: _Optional[bool] = ..., voter: _Optional[bool] = ..., address: _Optional[str] = ..., version: _Optional[str] = ..., level: _Optional[int] = ..., sync_p50_seconds: _Optional[float] = ..., sync_p99_seconds: _Optional[float] = ..., lag_entries: _Optional[int] = ...) -> None: ...
