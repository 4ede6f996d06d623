"""The RPCs of the service ApiServer, made of functions over messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc
from google.protobuf import message_factory

from api.v1 import apiserver_pb2 as pb

SERVICE_NAME: Final = "api.v1.ApiServer"


def method_handlers(behaviours: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """The handler of each RPC in `behaviours`, by name. Whatever answers with bytes has encoded them itself."""
    return {
        method.name: _handler(method, behaviours[method.name])
        for method in pb.DESCRIPTOR.services_by_name["ApiServer"].methods
        if method.name in behaviours
    }


def _handler(method: Any, behaviour: Callable[..., Any]) -> Any:
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[method.client_streaming, method.server_streaming]
    request_type: Any = message_factory.GetMessageClass(method.input_type)
    return make(behaviour, request_type.FromString, _serialized)


def _serialized(message: Any) -> bytes:
    data: bytes = message if isinstance(message, bytes) else message.SerializeToString()
    return data
