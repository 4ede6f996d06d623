"""What every gRPC server of ours does around its handlers: errors become statuses, here and nowhere else.

Handlers raise `api.errors`; they never call `context.abort`. It knows no service and no domain.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Protocol

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError

from api import errors
from component import rpc

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[Any, Any]
Check = Callable[[str, Context], Awaitable[None] | None]
"""Given the full method name ("/api.v1.ApiServer/Get") and the context: raises an ApiError unless the call may go on.

A check that has to wait for its answer returns what to wait for.
"""

Serve = Callable[[Any, Context], Awaitable[Any]]

Ended = Callable[[Any, BaseException | None], None]
"""Told once when a call is over: the answer, None of a stream, and what it ended with. It must not raise."""

Record = Callable[[str, Any, Context], Ended]
"""Told when a call begins, before its check: method, request (None if unreadable; `Messages` of a stream) and context."""


class Ticket(Protocol):
    """A call that was let in."""

    def end(self) -> None:
        """The call is over, however it ended."""

    def unread(self, size: int) -> Callable[[], None]:
        """A large answer is ready; returns what to call once its reader has it, or has gone."""


Enter = Callable[[str, Any, Context], Ticket | Awaitable[Ticket] | None]
"""Told of every call that passed its check: method, request (None if streamed) and context. None: it needs no ticket.

A call that has to wait gets what to wait for. It may raise an ApiError.
"""

LARGE_ANSWER_BYTES: Final = 32 << 10
"""What a connection takes without its reader: half of a stream's first window."""

UNREADABLE = "the request does not parse"
INTERNAL = rpc.Status(grpc.StatusCode.INTERNAL, "internal error; the server's log has the cause", ())


class CheckedCalls(grpc.aio.ServerInterceptor):
    """Checks every call of the server, unary or streaming, before its handler runs, and answers the errors of both.

    With `enter` calls may be made to wait, and with `record` every call is told of at its beginning and its end. One
    interceptor and plain calls: a second one, or a context manager, costs every call 20 µs.
    """

    def __init__(self, check: Check, record: Record | None = None, enter: Enter | None = None) -> None:
        self._check = check
        self._record = record or _unrecorded
        self._enter = enter or _free
        self._checked: dict[str, tuple[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler behind the check; wrapping is done once per method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method: str = handler_call_details.method
        known = self._checked.get(method)
        if known is None or known[0] is not handler:
            known = self._checked[method] = handler, _checked(handler, method, self._check, self._record, self._enter)
        return known[1]


class Messages:
    """What a client streams; `first` is the first message, None until it has come."""

    def __init__(self, messages: AsyncIterator[Any]) -> None:
        self._messages = messages
        self.first: Any = None

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> Any:
        """Return the next message. grpc wants its iterator left alone until somebody reads."""
        message = await anext(self._messages)
        if self.first is None:
            self.first = message
        return message


def _unrecorded(_method: str, _request: Any, _context: Context) -> Ended:
    return _nobody_told


def _nobody_told(_answer: Any, _error: BaseException | None) -> None:
    pass


def _free(_method: str, _request: Any, _context: Context) -> None:
    pass


class _NoTicket:
    def end(self) -> None:
        pass

    def unread(self, size: int) -> Callable[[], None]:  # noqa: ARG002 - the protocol's signature
        return self.end


_NO_TICKET: Final = _NoTicket()


def _checked(handler: Any, method: str, check: Check, record: Record, enter: Enter) -> Any:
    behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream

    async def admit(request: Any, context: Context) -> Ticket:
        if (pending := check(method, context)) is not None:
            await pending
        if request is None:
            raise errors.Invalid(UNREADABLE)
        ticket = enter(method, request, context)
        if ticket is None:
            return _NO_TICKET
        return await ticket if isinstance(ticket, Awaitable) else ticket

    async def answer(request: Any, context: Context) -> Any:
        ticket = await admit(request, context)
        try:
            found = await behaviour(request, context)
            _note_unread(ticket, found, context)
            return found
        finally:
            ticket.end()

    async def stream(request: Any, context: Context) -> None:
        ticket = await admit(request, context)
        try:
            await send(request, context)
        finally:
            ticket.end()

    async def send(request: Any, context: Context) -> None:
        answers = behaviour(request, context)
        if hasattr(answers, "__aiter__"):
            async with contextlib.aclosing(answers):
                async for message in answers:
                    await context.write(message)
        else:
            await answers

    serve = stream if handler.response_streaming else answer
    return _rewrapped(handler, _told(serve, method, record, streaming=handler.request_streaming))


def _note_unread(ticket: Ticket, answer: Any, context: Context) -> None:
    """Count a large answer until it is read: gRPC keeps it so long, if need be for as long as the connection lasts."""
    size = len(answer) if isinstance(answer, bytes) else answer.ByteSize()
    if size < LARGE_ANSWER_BYTES:
        return
    taken = ticket.unread(size)

    def done(_: Context) -> None:
        taken()

    context.add_done_callback(done)  # type: ignore[arg-type] # the stub wants a class of its own


def _told(serve: Serve, method: str, record: Record, *, streaming: bool) -> Serve:
    """`serve`, recorded, and with its errors as statuses; `streaming`: the client sends many messages.

    Whoever cancels the call's task with an ApiError as the message has the client told of it.
    """

    async def call(request: Any, context: Context) -> Any:
        if streaming:
            request = Messages(request)
        ended = record(method, request, context)
        try:
            answer = await serve(request, context)
        except Exception as error:  # noqa: BLE001 - told, and logged unless it is an ApiError
            ended(None, error)
            return await _answer_error(method, context, error)
        except asyncio.CancelledError as cancelled:
            reason = next((each for each in cancelled.args if isinstance(each, errors.ApiError)), None)
            ended(None, reason or cancelled)
            if reason is None:
                raise
            return await _answer_error(method, context, reason)
        except BaseException as error:
            ended(None, error)
            raise
        ended(answer, None)
        return answer

    return call


def _rewrapped(handler: Any, behaviour: Serve) -> Any:
    """The handler with another behaviour."""
    if handler.unary_unary:
        make = grpc.unary_unary_rpc_method_handler
    elif handler.stream_unary:
        make = grpc.stream_unary_rpc_method_handler
    elif handler.unary_stream:
        make = grpc.unary_stream_rpc_method_handler
    else:
        make = grpc.stream_stream_rpc_method_handler
    parse = handler.request_deserializer if handler.request_streaming else _tolerant(handler.request_deserializer)
    return make(behaviour, parse, handler.response_serializer)


def _tolerant(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """`parse`, or None for what does not parse: grpc would log a traceback and answer UNKNOWN, before any check."""

    def parse_or_none(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return None

    return parse_or_none


async def _answer_error(method: str, context: Context, error: Exception) -> None:
    """Turn an ApiError into its status. Anything else is our bug: logged once, sent as INTERNAL without details."""
    match error:
        case errors.ApiError():
            await _abort(context, rpc.status_of(error))
        case grpc.aio.AbortError():
            raise error
        case grpc.aio.InternalError():
            # ExecuteBatchError: the client went away while we wrote. There is nobody left to answer.
            return
        case DecodeError():  # of a message in a stream
            await _abort(context, rpc.status_of(errors.Invalid(UNREADABLE)))
        case _:
            log.error("rpc_failed", method=method, exc_info=error)
            await _abort(context, INTERNAL)


async def _abort(context: Context, status: rpc.Status) -> None:
    """End the call with a status. A client that has gone already makes grpc fail here, which concerns nobody."""
    with contextlib.suppress(grpc.aio.InternalError):
        await context.abort(status.code, status.details, status.trailing_metadata)
