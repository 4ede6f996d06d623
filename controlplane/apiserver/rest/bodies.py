"""Bodies of requests: read within bounds, decoded, and made to agree with the path they were sent to."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import structs

from api import manifest, protobuf_objects, strict
from api.errors import TooLarge
from api.object import Tree
from component.client import Propagation
from controlplane.apiserver.rest import negotiation, queries
from controlplane.apiserver.rest.call import DRY_RUN, SENT, SUBJECT, Call
from controlplane.apiserver.rest.queries import Query
from controlplane.apiserver.rest.refusals import Refusal, bad_request

BODY_LIMIT_BYTES: Final = 3 << 20
"""Of an object as sent, which white space may make longer than it is stored; the limit of Kubernetes, too."""

BODY_SECONDS: Final = 30.0
CHECKED_AT_ONCE_BYTES: Final = 32 << 10  # more is looked through in a thread

Wire = TypeVar("Wire")


def expected_bytes(request: web.Request) -> int:
    """How large the body will be, as far as can be told before it has come."""
    if not request.can_read_body:
        return 0
    length = request.content_length
    return BODY_LIMIT_BYTES if length is None else min(length, BODY_LIMIT_BYTES)


async def read(request: web.Request) -> bytes:
    """Return the body, unpacked. TooLarge, or Refusal when it does not come in time."""
    too_large = TooLarge(f"the body is larger than {BODY_LIMIT_BYTES} bytes")
    if (request.content_length or 0) > BODY_LIMIT_BYTES:
        raise too_large
    try:
        if request.content.is_eof():  # it came with the headers, as small ones do
            sent = request.content.read_nowait()
        else:
            async with asyncio.timeout(BODY_SECONDS):
                sent = await _all(request)
    except web.RequestPayloadError as error:
        raise bad_request(f"the body cannot be read: {error}") from error
    except TimeoutError:
        raise Refusal(408, "Timeout", f"the body did not arrive within {BODY_SECONDS:g} s") from None
    if len(sent) > BODY_LIMIT_BYTES:
        raise too_large
    request[SENT] = sent
    return sent


async def _all(request: web.Request) -> bytes:
    """Return the body, or of one that is too large a little more than it may have."""
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > BODY_LIMIT_BYTES:
            break
    return bytes(data)


async def value(request: web.Request) -> Any:
    """Return the body, JSON, YAML or Kubernetes' protobuf, as a tree. Refusal, Invalid.

    A key that is given twice is refused, unless the client said that it does not care.
    """
    form = negotiation.sent_as(request.headers.get("Content-Type", ""))
    data = await read(request)
    if form == negotiation.YAML:
        # The parser may take long; meanwhile the loop goes on.
        return await asyncio.to_thread(manifest.load_value, data, "body")
    if form == negotiation.PROTOBUF:
        try:
            if len(data) <= CHECKED_AT_ONCE_BYTES:
                return protobuf_objects.decode(data)
            return await asyncio.to_thread(protobuf_objects.decode, data)
        except protobuf_objects.Malformed as error:
            raise bad_request(f"the body is not Kubernetes' protobuf: {error}") from None
    return await strict_json(data, request.query)


def json_value(data: bytes) -> Any:
    """Return what JSON says. Refusal."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"the body is not JSON: {error}") from None


async def strict_json(data: bytes, query: Query) -> Any:
    """Return what JSON says; Refusal also for a key that is given twice, of which decoders take the last."""
    decoded = json_value(data)
    if queries.validation(query) == "Strict":
        if len(data) <= CHECKED_AT_ONCE_BYTES:
            _check_keys(data)
        else:
            await asyncio.to_thread(_check_keys, data)
    return decoded


def _check_keys(data: bytes) -> None:
    try:
        _KEYS.decode(data.decode())
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the body is not JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise bad_request(f'the key "{name}" is given twice')
        seen.add(name)


_KEYS: Final = json.JSONDecoder(object_pairs_hook=_unique)


async def object_of(call: Call) -> Tree:
    """Return the object in the body: of the path's kind, in its namespace, without what is not validated strictly."""
    tree = for_path(call, await value(call.request))
    return await known_only(call, tree)


def for_path(call: Call, tree: Any) -> Tree:
    """Return the object, completed by what the path says. Refusal when it contradicts the path."""
    target, kind = call.target, call.kind
    if not isinstance(tree, dict):
        raise bad_request("the body must be an object")
    metadata = tree.get("metadata")
    metadata = {} if metadata is None else metadata
    if type(metadata) is not dict:
        raise bad_request("metadata: expected object")
    own: Tree = {**tree, "metadata": dict(metadata)}
    _agree(own, "apiVersion", kind.api_version)
    _agree(own, "kind", kind.kind)
    if target.namespace:
        _agree(own["metadata"], "namespace", target.namespace)
    if target.name:
        _agree(own["metadata"], "name", target.name)
    elif isinstance(name := metadata.get("name"), str):
        call.request[SUBJECT] = structs.replace(target, name=name)
    return own


async def known_only(call: Call, tree: Tree) -> Tree:
    """Return the tree without unknown fields if the client wants it so; else as it is, for the core to refuse."""
    mode = queries.validation(call.query, call.kind)
    if mode == "Strict":
        return tree
    if len(call.request.get(SENT, b"")) <= CHECKED_AT_ONCE_BYTES:
        kept, dropped = strict.without_unknown(call.kind, tree)
    else:
        kept, dropped = await asyncio.to_thread(strict.without_unknown, call.kind, tree)
    if mode == "Warn":
        call.warnings += [f'unknown field "{field.path}"' for field in dropped]
    return kept


def _agree(tree: Tree, name: str, wanted: str) -> None:
    if tree.get(name) not in (None, "", wanted):  # false or [] would not be right either: they are of no use as text
        raise bad_request(f'{name}: the object says "{tree[name]}", its path "{wanted}"')
    tree[name] = wanted


class _Preconditions(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    uid: str | None = None
    resource_version: str | None = None


class _DeleteOptions(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    api_version: str = ""
    kind: str = "DeleteOptions"
    grace_period_seconds: int | None = None
    orphan_dependents: bool | None = None
    propagation_policy: str | None = None
    preconditions: _Preconditions | None = None
    dry_run: list[str] | None = None


class Deleting(msgspec.Struct, frozen=True):
    """How something is to be deleted; the fields mean what `ApiClient.delete` says."""

    uid: str
    revision: int
    grace_seconds: int | None
    propagation: Propagation
    dry_run: bool


async def deleting(request: web.Request) -> Deleting:
    """Return what the body, a DeleteOptions if there is any, and the query say; the body counts first. Refusal."""
    tree = await value(request) if request.can_read_body else None
    wanted = deleting_of({} if tree is None else tree, request.query)
    request[DRY_RUN] = wanted.dry_run
    return wanted


def deleting_of(tree: Any, query: Query) -> Deleting:
    """Return what a DeleteOptions and the query say. Refusal."""
    options = converted(tree, _DeleteOptions, "DeleteOptions")
    orphan = options.orphan_dependents
    if orphan is None:
        orphan = queries.boolean(query, "orphanDependents", None)
    policy = options.propagation_policy or query.get("propagationPolicy", "")
    if policy and orphan is not None:
        raise bad_request("orphanDependents and propagationPolicy exclude each other")
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    propagation = queries.PROPAGATIONS.get(policy)
    if propagation is None:
        raise bad_request(f'propagationPolicy: Unsupported value: "{policy}": Background, Foreground or Orphan')
    grace = options.grace_period_seconds
    wanted = options.preconditions or _Preconditions()
    version = wanted.resource_version or "0"
    if not (version.isascii() and version.isdigit() and len(version) <= 18):
        raise bad_request(f'preconditions.resourceVersion: Invalid value: "{version}"')
    if options.dry_run not in (None, [], ["All"]):
        raise bad_request("dryRun: Unsupported value: only All can be asked for")
    return Deleting(
        wanted.uid or "",
        int(version),
        queries.number(query, "gracePeriodSeconds") if grace is None else grace,
        propagation,
        dry_run=bool(options.dry_run) or queries.dry_run(query),
    )


def converted(tree: Any, wire: type[Wire], what: str) -> Wire:
    """Return a small typed document out of a body. Refusal that names the field."""
    try:
        found = msgspec.convert(tree, wire)
    except msgspec.ValidationError as error:
        raise bad_request(f"{what}: {error}") from None
    kind = getattr(found, "kind", what)
    if kind != what:
        raise bad_request(f'kind: the body is a "{kind}", not a {what}')
    return found
