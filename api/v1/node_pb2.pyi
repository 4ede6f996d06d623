from api.v1 import resource_pb2 as _resource_pb2
from api.v1 import apiserver_pb2 as _apiserver_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentMessage(_message.Message):
    __slots__ = ("register", "heartbeat", "report")
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    register: Register
    heartbeat: Heartbeat
    report: StatusReport
    def __init__(self, register: _Optional[_Union[Register, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., report: _Optional[_Union[StatusReport, _Mapping]] = ...) -> None: ...

class Register(_message.Message):
    __slots__ = ("node", "cluster_uid", "boot_id", "last_revision", "session_epoch", "node_status", "node_labels", "state_uid")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_UID_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_REVISION_FIELD_NUMBER: _ClassVar[int]
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    NODE_STATUS_FIELD_NUMBER: _ClassVar[int]
    NODE_LABELS_FIELD_NUMBER: _ClassVar[int]
    STATE_UID_FIELD_NUMBER: _ClassVar[int]
    node: str
    cluster_uid: str
    boot_id: str
    last_revision: int
    session_epoch: int
    node_status: str
    node_labels: str
    state_uid: str
    def __init__(self, node: _Optional[str] = ..., cluster_uid: _Optional[str] = ..., boot_id: _Optional[str] = ..., last_revision: _Optional[int] = ..., session_epoch: _Optional[int] = ..., node_status: _Optional[str] = ..., node_labels: _Optional[str] = ..., state_uid: _Optional[str] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("node_status",)
    NODE_STATUS_FIELD_NUMBER: _ClassVar[int]
    node_status: str
    def __init__(self, node_status: _Optional[str] = ...) -> None: ...

class StatusReport(_message.Message):
    __slots__ = ("id", "pods", "events")
    ID_FIELD_NUMBER: _ClassVar[int]
    PODS_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    id: int
    pods: _containers.RepeatedCompositeFieldContainer[PodReport]
    events: _containers.RepeatedCompositeFieldContainer[_resource_pb2.Resource]
    def __init__(self, id: _Optional[int] = ..., pods: _Optional[_Iterable[_Union[PodReport, _Mapping]]] = ..., events: _Optional[_Iterable[_Union[_resource_pb2.Resource, _Mapping]]] = ...) -> None: ...

class PodReport(_message.Message):
    __slots__ = ("namespace", "name", "uid", "status", "gone")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    uid: str
    status: str
    gone: bool
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., uid: _Optional[str] = ..., status: _Optional[str] = ..., gone: _Optional[bool] = ...) -> None: ...

class ServerMessage(_message.Message):
    __slots__ = ("registered", "inputs", "report_result", "open_stream", "heartbeated", "endpoints", "close_stream")
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    REPORT_RESULT_FIELD_NUMBER: _ClassVar[int]
    OPEN_STREAM_FIELD_NUMBER: _ClassVar[int]
    HEARTBEATED_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    CLOSE_STREAM_FIELD_NUMBER: _ClassVar[int]
    registered: Registered
    inputs: Inputs
    report_result: ReportResult
    open_stream: OpenStream
    heartbeated: Heartbeated
    endpoints: Endpoints
    close_stream: CloseStream
    def __init__(self, registered: _Optional[_Union[Registered, _Mapping]] = ..., inputs: _Optional[_Union[Inputs, _Mapping]] = ..., report_result: _Optional[_Union[ReportResult, _Mapping]] = ..., open_stream: _Optional[_Union[OpenStream, _Mapping]] = ..., heartbeated: _Optional[_Union[Heartbeated, _Mapping]] = ..., endpoints: _Optional[_Union[Endpoints, _Mapping]] = ..., close_stream: _Optional[_Union[CloseStream, _Mapping]] = ...) -> None: ...

class Registered(_message.Message):
    __slots__ = ("cluster_uid", "session_epoch", "replica", "endpoints", "network", "state_uid")
    CLUSTER_UID_FIELD_NUMBER: _ClassVar[int]
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    STATE_UID_FIELD_NUMBER: _ClassVar[int]
    cluster_uid: str
    session_epoch: int
    replica: str
    endpoints: _containers.RepeatedCompositeFieldContainer[_apiserver_pb2.Endpoint]
    network: ClusterNetwork
    state_uid: str
    def __init__(self, cluster_uid: _Optional[str] = ..., session_epoch: _Optional[int] = ..., replica: _Optional[str] = ..., endpoints: _Optional[_Iterable[_Union[_apiserver_pb2.Endpoint, _Mapping]]] = ..., network: _Optional[_Union[ClusterNetwork, _Mapping]] = ..., state_uid: _Optional[str] = ...) -> None: ...

class ClusterNetwork(_message.Message):
    __slots__ = ("pod_range", "service_range", "cluster_domain")
    POD_RANGE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_RANGE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    pod_range: str
    service_range: str
    cluster_domain: str
    def __init__(self, pod_range: _Optional[str] = ..., service_range: _Optional[str] = ..., cluster_domain: _Optional[str] = ...) -> None: ...

class Heartbeated(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Endpoints(_message.Message):
    __slots__ = ("endpoints",)
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    endpoints: _containers.RepeatedCompositeFieldContainer[_apiserver_pb2.Endpoint]
    def __init__(self, endpoints: _Optional[_Iterable[_Union[_apiserver_pb2.Endpoint, _Mapping]]] = ...) -> None: ...

class Inputs(_message.Message):
    __slots__ = ("full", "applies_to", "results_in", "set", "removed")
    FULL_FIELD_NUMBER: _ClassVar[int]
    APPLIES_TO_FIELD_NUMBER: _ClassVar[int]
    RESULTS_IN_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    full: bool
    applies_to: int
    results_in: int
    set: _containers.RepeatedCompositeFieldContainer[_resource_pb2.Resource]
    removed: _containers.RepeatedCompositeFieldContainer[ResourceKey]
    def __init__(self, full: _Optional[bool] = ..., applies_to: _Optional[int] = ..., results_in: _Optional[int] = ..., set: _Optional[_Iterable[_Union[_resource_pb2.Resource, _Mapping]]] = ..., removed: _Optional[_Iterable[_Union[ResourceKey, _Mapping]]] = ...) -> None: ...

class ResourceKey(_message.Message):
    __slots__ = ("resource", "namespace", "name", "uid")
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    resource: str
    namespace: str
    name: str
    uid: str
    def __init__(self, resource: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., uid: _Optional[str] = ...) -> None: ...

class ReportResult(_message.Message):
    __slots__ = ("id", "unknown_uids", "retry")
    ID_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_UIDS_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    id: int
    unknown_uids: _containers.RepeatedScalarFieldContainer[str]
    retry: bool
    def __init__(self, id: _Optional[int] = ..., unknown_uids: _Optional[_Iterable[str]] = ..., retry: _Optional[bool] = ...) -> None: ...

class OpenStream(_message.Message):
    __slots__ = ("stream_id", "logs", "exec", "forward", "attach")
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    EXEC_FIELD_NUMBER: _ClassVar[int]
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    stream_id: str
    logs: _apiserver_pb2.LogsRequest
    exec: _apiserver_pb2.ExecStart
    forward: _apiserver_pb2.ForwardStart
    attach: _apiserver_pb2.AttachStart
    def __init__(self, stream_id: _Optional[str] = ..., logs: _Optional[_Union[_apiserver_pb2.LogsRequest, _Mapping]] = ..., exec: _Optional[_Union[_apiserver_pb2.ExecStart, _Mapping]] = ..., forward: _Optional[_Union[_apiserver_pb2.ForwardStart, _Mapping]] = ..., attach: _Optional[_Union[_apiserver_pb2.AttachStart, _Mapping]] = ...) -> None: ...

class CloseStream(_message.Message):
    __slots__ = ("stream_id",)
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    stream_id: str
    def __init__(self, stream_id: _Optional[str] = ...) -> None: ...
