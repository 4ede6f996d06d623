"""Single calls to the control plane beside the session, on its channel: they delay no heartbeat, and end with the session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import grpc.aio
from google.protobuf.message import Message

from component.rpc import error_of
from component.tasks import cancelled_elsewhere_as

Answer = TypeVar("Answer", bound=Message)

DEADLINE_SECONDS = 5.0


class NotAnswered(Exception):
    """The control plane refused, or could not be asked; the message says why. A retry may help."""


class SessionCalls:
    """`channel` is the session's; None while there is none."""

    def __init__(self, channel: Callable[[], grpc.aio.Channel | None]) -> None:
        self._channel = channel

    async def ask(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        """Call a method of `ApiServer` once. NotAnswered."""
        channel = self._channel()
        if channel is None:
            raise NotAnswered("there is no session with the control plane")
        call: Any = channel.unary_unary(
            f"/api.v1.ApiServer/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            with cancelled_elsewhere_as(NotAnswered("the session ended")):  # gRPC does it when a channel is closed
                response: Answer = await call(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise NotAnswered(str(error_of(error))) from error
        except grpc.aio.UsageError as error:
            raise NotAnswered("the session ended") from error
        return response
