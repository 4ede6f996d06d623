"""Asking the control plane for tokens, on the channel of the node's session: a call of its own, so it delays no heartbeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from agent.tokens import TokenNotHad, Wanted
from api.v1 import apiserver_pb2 as pb
from component.rpc import error_of

DEADLINE_SECONDS = 5.0
_METHOD = "/api.v1.ApiServer/CreateToken"


class TokenCalls:
    """`channel` is the session's; None while there is none."""

    def __init__(self, channel: Callable[[], grpc.aio.Channel | None]) -> None:
        self._channel = channel

    async def __call__(self, wanted: Wanted) -> str:
        """Return a new token. TokenNotHad."""
        channel = self._channel()
        if channel is None:
            raise TokenNotHad("there is no session with the control plane")
        call: Any = channel.unary_unary(
            _METHOD,
            request_serializer=pb.CreateTokenRequest.SerializeToString,
            response_deserializer=pb.CreateTokenResponse.FromString,
        )
        request = pb.CreateTokenRequest(
            namespace=wanted.namespace,
            service_account=wanted.account,
            audiences=[wanted.audience] if wanted.audience else [],
            expiration_seconds=wanted.seconds,
            bound=pb.BoundObject(kind="Pod", api_version="v1", name=wanted.pod, uid=wanted.uid),
        )
        try:
            response: pb.CreateTokenResponse = await call(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise TokenNotHad(str(error_of(error))) from error
        except grpc.aio.UsageError as error:  # the session ended a moment ago
            raise TokenNotHad(str(error)) from error
        return response.token
