"""What every gRPC server of ours does around its handlers: errors become statuses, here and nowhere else.

Handlers raise `api.errors`; they never call `context.abort`. It knows no service and no domain.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import structlog

from api import errors
from component import rpc

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]
Guard = Callable[[str, Context], AbstractAsyncContextManager[None]]
"""Given the full method name ("/api.v1.ApiServer/Get") and the context: what to do before and after the handler."""

INTERNAL = rpc.Status(grpc.StatusCode.INTERNAL, "internal error; the server's log has the cause", ())


@asynccontextmanager
async def answering_errors(method: str, context: Context) -> AsyncIterator[None]:
    """Turn an ApiError into its status. Anything else is our bug: logged once, sent as INTERNAL without details."""
    try:
        yield
    except errors.ApiError as error:
        await _abort(context, rpc.status_of(error))
    except grpc.aio.AbortError:
        raise
    except grpc.aio.InternalError:
        # ExecuteBatchError: the client went away while we wrote. There is nobody left to answer.
        return
    except Exception:
        log.exception("rpc_failed", method=method)
        await _abort(context, INTERNAL)


async def _abort(context: Context, status: rpc.Status) -> None:
    """End the call with a status. A client that has gone already makes grpc fail here, which concerns nobody."""
    with contextlib.suppress(grpc.aio.InternalError):
        await context.abort(status.code, status.details, status.trailing_metadata)


class GuardInterceptor(grpc.aio.ServerInterceptor):
    """Runs every handler of the server, unary or streaming, inside `guard`."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._guarded: dict[str, tuple[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler inside the guard; wrapping is done once per method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = str(handler_call_details.method)
        known = self._guarded.get(method)
        if known is None or known[0] is not handler:
            known = self._guarded[method] = handler, _guarded(handler, method, self._guard)
        return known[1]


def _guarded(handler: Any, method: str, guard: Guard) -> Any:
    behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream

    async def answer(request: Any, context: Context) -> Any:
        async with guard(method, context):
            return await behaviour(request, context)

    async def stream(request: Any, context: Context) -> None:
        async with guard(method, context):
            answers = behaviour(request, context)
            if hasattr(answers, "__aiter__"):
                async with contextlib.aclosing(answers):
                    async for message in answers:
                        await context.write(message)
            else:
                await answers

    if handler.unary_unary:
        make, wrapped = grpc.unary_unary_rpc_method_handler, answer
    elif handler.stream_unary:
        make, wrapped = grpc.stream_unary_rpc_method_handler, answer
    elif handler.unary_stream:
        make, wrapped = grpc.unary_stream_rpc_method_handler, stream
    else:
        make, wrapped = grpc.stream_stream_rpc_method_handler, stream
    return make(wrapped, handler.request_deserializer, handler.response_serializer)
