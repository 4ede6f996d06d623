"""Calls beside the session when the session ends under them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import pytest

from agent.session_calls import NotAnswered, SessionCalls
from api.errors import Forbidden
from api.v1 import apiserver_pb2 as pb
from component.rpc import channel, status_of

REQUEST = pb.CreateTokenRequest(namespace="default", service_account="robot")


class Replica:
    """Answers CreateToken when it is told to, or never."""

    def __init__(self):
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.refusal = None

    async def create_token(self, request, context):
        self.asked.set()
        if self.refusal is not None:
            status = status_of(self.refusal)
            await context.abort(status.code, status.details, status.trailing_metadata)
        await self.answer.wait()
        return pb.CreateTokenResponse(token=f"of {request.service_account}")


@asynccontextmanager
async def serving():
    replica = Replica()
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        replica.create_token, pb.CreateTokenRequest.FromString, pb.CreateTokenResponse.SerializeToString
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("api.v1.ApiServer", {"CreateToken": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    connected = channel(f"127.0.0.1:{port}", None)
    try:
        yield replica, connected
    finally:
        await connected.close()
        await server.stop(0)


def ask(connected):
    return SessionCalls(lambda: connected).ask("CreateToken", REQUEST, pb.CreateTokenResponse)


async def test_an_answer_is_returned():
    async with serving() as (replica, connected):
        replica.answer.set()
        assert (await ask(connected)).token == "of robot"


async def test_a_refusal_is_told_in_its_own_words():
    async with serving() as (replica, connected):
        replica.refusal = Forbidden("not yours")
        with pytest.raises(NotAnswered, match="not yours"):
            await ask(connected)


async def test_a_session_that_ends_meanwhile_does_not_end_whoever_asked():
    async with serving() as (replica, connected):
        asking = asyncio.ensure_future(ask(connected))
        await replica.asked.wait()
        await connected.close()
        with pytest.raises(NotAnswered, match="the session ended"):
            await asking
        assert not asking.cancelled()


async def test_a_session_that_has_ended_is_asked_in_vain():
    async with serving() as (_, connected):
        await connected.close()
        with pytest.raises(NotAnswered, match="the session ended"):
            await ask(connected)


async def test_whoever_asked_can_be_cancelled_all_the_same():
    async with serving() as (replica, connected):
        asking = asyncio.ensure_future(ask(connected))
        await replica.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
