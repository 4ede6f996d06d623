"""gRPC without a service: how errors become status codes and back, and how a channel to a replica is made.

Imported by the command line, so it must stay light: nothing here may need cryptography, structlog or numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import msgspec

from api import errors

API_SERVER_NAME = "api.timonier.internal"
"""The name in every replica's certificate. Addresses change, so clients check this one instead."""

MAX_MESSAGE_BYTES = 16 << 20
"""Of one gRPC message, both ways: above the largest transaction (8 MiB)."""

ERROR_KEY = "timonier-error-bin"
"""Trailing metadata that carries the error itself: JSON of `_Wire`. Only our servers send it."""

WARNING_KEY = "timonier-warning-bin"
"""Trailing metadata of a call that was done: what the caller should know, UTF-8, once for each warning."""

MAX_DETAILS = 2_000  # characters; status messages travel in headers, which other clients limit to 8 KiB
MAX_ERROR_BYTES = 32 << 10  # of the JSON in ERROR_KEY
MAX_METADATA_BYTES = 128 << 10

CODES: dict[type[errors.ApiError], grpc.StatusCode] = {
    errors.Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.Expired: grpc.StatusCode.OUT_OF_RANGE,
    errors.TooManyRequests: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.TooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,  # what a code alone means is the last one that has it
    errors.NotReady: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Failed: grpc.StatusCode.INTERNAL,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Unknown: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""Every ApiError has a code; anything else is our bug and becomes INTERNAL without details, or an error behind it."""

_TRANSPORT_ERRORS: dict[grpc.StatusCode, type[errors.ApiError]] = {
    **{code: error for error, code in CODES.items() if error is not errors.Failed},
    grpc.StatusCode.CANCELLED: errors.Unavailable,  # the connection was closed under the call
    grpc.StatusCode.UNIMPLEMENTED: errors.NotFound,
}

_CONNECTION_GONE = (
    "Internal error from Core"  # grpc.aio's own, of what it could not send because the connection was over
)


class _Wire(msgspec.Struct):
    """An error as it travels; `fields` are (path, message)."""

    reason: str
    message: str
    fields: list[tuple[str, str]] = []


@dataclass(frozen=True, slots=True)
class Tls:
    """What one end of a mutual TLS connection needs, PEM. `ca_pem` may hold two CAs during a rotation."""

    ca_pem: bytes
    cert_pem: bytes
    key_pem: bytes


@dataclass(frozen=True, slots=True)
class Status:
    """What a server says at the end of an RPC that failed."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def status_of(error: errors.ApiError) -> Status:
    """The status that carries `error`; `error_of` is the inverse, field errors included."""
    wire = _Wire(error.reason, str(error.args[0]) if error.args else "", _bounded(error.fields))
    code = next((CODES[each] for each in type(error).__mro__ if each in CODES), grpc.StatusCode.INTERNAL)
    return Status(code, str(error)[:MAX_DETAILS], ((ERROR_KEY, msgspec.json.encode(wire)),))


def error_of(failure: grpc.aio.AioRpcError) -> errors.ApiError:
    """The error behind a failed RPC: the server's own, or the nearest for one the transport made."""
    sent = _sent_error(failure)
    if sent is not None:
        message, error = sent.message, errors.ERRORS.get(sent.reason, errors.ApiError)
        return error(message, [errors.FieldError(*field) for field in sent.fields])
    code, details = failure.code(), failure.details() or failure.code().name
    if details == _CONNECTION_GONE:
        return errors.Unavailable("the connection was lost")
    return _TRANSPORT_ERRORS.get(code, errors.ApiError)(details)


def answered(failure: grpc.aio.AioRpcError) -> bool:
    """Whether the server itself said so; otherwise the transport failed and a write's outcome cannot be told."""
    return _sent_error(failure) is not None


def channel(address: str, tls: Tls | None) -> grpc.aio.Channel:
    """Make a channel to the replica at `address` ("host:port"); connects when first used. None: without TLS."""
    options: list[tuple[str, int | str]] = [*CHANNEL_OPTIONS]
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options)
    options.append(("grpc.ssl_target_name_override", API_SERVER_NAME))
    credentials = grpc.ssl_channel_credentials(tls.ca_pem, tls.key_pem, tls.cert_pem)
    return grpc.aio.secure_channel(address, credentials, options=options)


MESSAGE_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    # With the probe on, the window grows until a reader that is stuck has 6 MB buffered for it.
    ("grpc.http2.bdp_probe", 0),
)
"""Options that both ends share."""

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    *MESSAGE_OPTIONS,
    # A frozen or unplugged replica is noticed within 6 s even when nothing is being sent.
    ("grpc.keepalive_time_ms", 3_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A replica that was down and leads again is tried soon: until then calls to it fail at once. The minimum is
    # how long a connect may hang before it is given up.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Channels share nothing, so that one client's back-off never delays another's.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)


def _sent_error(failure: grpc.aio.AioRpcError) -> _Wire | None:
    metadata: Any = failure.trailing_metadata() or ()
    for key, value in metadata:
        if key == ERROR_KEY:
            try:
                return msgspec.json.decode(value, type=_Wire)
            except msgspec.DecodeError:
                return None
    return None


def _bounded(fields: Sequence[errors.FieldError]) -> list[tuple[str, str]]:
    """As many as fit into the trailing metadata; the last entry says how many more there are."""
    kept, room = [], MAX_ERROR_BYTES
    for index, field in enumerate(fields):
        room -= len(field.path.encode()) + len(field.message.encode()) + 8
        if room < 0:
            kept.append(("", f"and {len(fields) - index} more"))
            break
        kept.append((field.path, field.message))
    return kept
