"""The same verbs over gRPC in our words and in etcd's: what a create, an update, a get, a list, a delete and a watch are.

Values have 1 KB on all sides. Ours are ConfigMaps, which the API decodes, defaults, validates, admits and indexes, and
answers with; etcd's are keys and bytes. The same over HTTPS is in `https_side`.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import grpc.aio

from api.v1 import apiserver_pb2 as pb
from api.v1 import resource_pb2
from bench import etcd as peer
from bench.load import CALL_SECONDS, Call, Side, unary

VALUE_BYTES = 1024
LISTED = 2_000  # objects in the namespace that is listed; updates and gets go round these
CHANGING, STANDING, WATCHED = "default", "bench-standing", "bench-watched"
OF_EVERY_NAMESPACE = "kube-root-ca.crt"  # a ConfigMap that controllers keep in each, beside ours

_API = "/api.v1.ApiServer/"


@dataclass(frozen=True, slots=True)
class Verbs:
    """Calls by number. `create` and `delete` work in one place, `create_watched` and `delete_watched` where `watch` looks.

    `stand` makes the object of a number that is listed, updated and read. `watch` yields the numbers that it sees
    created, after a first None once it has begun. `listed` says how many of those objects a list returns.
    """

    stand: Call
    create: Call
    update: Call
    get: Call
    list: Call
    delete: Call
    create_watched: Call
    delete_watched: Call
    watch: Callable[[Side], AsyncIterator[int | None]]
    listed: Callable[[Side], object]


def timonier() -> Verbs:
    """Ours. A list fits one page."""
    request = pb.ListRequest(resource="configmaps", namespace=STANDING).SerializeToString()
    return Verbs(
        stand=unary(_API + "Create", lambda number: _create(STANDING, number)),
        create=unary(_API + "Create", lambda number: _create(CHANGING, number)),
        update=unary(_API + "Update", _update),
        get=unary(
            _API + "Get",
            lambda number: pb.GetRequest(
                resource="configmaps", namespace=STANDING, name=f"c{number % LISTED}"
            ).SerializeToString(),
        ),
        list=unary(_API + "List", lambda _number: request),
        delete=unary(_API + "Delete", lambda number: _delete(CHANGING, number)),
        create_watched=unary(_API + "Create", lambda number: _create(WATCHED, number)),
        delete_watched=unary(_API + "Delete", lambda number: _delete(WATCHED, number)),
        watch=_watch,
        listed=_listed,
    )


def etcd() -> Verbs:
    """The peer's. All its reads are linearizable by default, too."""
    whole = peer.range_of(_key(STANDING, ""), _key(STANDING, "~"))
    return Verbs(
        stand=unary(peer.PUT, lambda number: _put(STANDING, number)),
        create=unary(peer.PUT, lambda number: _put(CHANGING, number)),
        update=unary(peer.PUT, lambda number: _put(STANDING, number % LISTED)),
        get=unary(peer.RANGE, lambda number: peer.range_of(_key(STANDING, f"c{number % LISTED}"))),
        list=unary(peer.RANGE, lambda _number: whole),
        delete=unary(peer.DELETE, lambda number: peer.delete(_key(CHANGING, f"c{number}"))),
        create_watched=unary(peer.PUT, lambda number: _put(WATCHED, number)),
        delete_watched=unary(peer.DELETE, lambda number: peer.delete(_key(WATCHED, f"c{number}"))),
        watch=_watch_etcd,
        listed=lambda side: _listed_etcd(side, whole),
    )


async def make_namespaces(side: Side) -> None:
    """Ours need them; repeating it does no harm."""
    for name in (STANDING, WATCHED):
        tree = f'{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{name}"}}}}'
        request = pb.ApplyRequest(object=resource_pb2.Resource(json=tree)).SerializeToString()
        await side.channels[0].unary_unary(_API + "Apply")(request, timeout=CALL_SECONDS)


def config_map(namespace: str, number: int, stamp: int = 0, uid: str = "") -> str:
    """The object of a number, VALUE_BYTES long; another stamp makes another value."""
    identity = f',"uid":"{uid}"' if uid else ""
    head = (
        f'{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"c{number}","namespace":"{namespace}"{identity}}},'
        f'"data":{{"value":"{stamp:020}'
    )
    return head + "x" * (VALUE_BYTES - len(head) - 3) + '"}}'


def _create(namespace: str, number: int) -> bytes:
    body = config_map(namespace, number, uid=_uid(number))
    request: bytes = pb.CreateRequest(object=resource_pb2.Resource(json=body)).SerializeToString()
    return request


def _update(number: int) -> bytes:
    """Of every object in turn, always to another value: an update that changes nothing writes nothing."""
    body = config_map(STANDING, number % LISTED, number, _uid(number % LISTED))
    request: bytes = pb.UpdateRequest(object=resource_pb2.Resource(json=body)).SerializeToString()
    return request


def _delete(namespace: str, number: int) -> bytes:
    request = pb.DeleteRequest(resource="configmaps", namespace=namespace, name=f"c{number}")
    packed: bytes = request.SerializeToString()
    return packed


def _uid(number: int) -> str:
    """Chosen by the client, as ours does, so that a repeated create is recognised."""
    return str(uuid.UUID(int=number, version=4))


async def _watch(side: Side) -> AsyncIterator[int | None]:
    method = side.channels[0].unary_stream(_API + "Watch", response_deserializer=pb.WatchResponse.FromString)
    call = method(pb.WatchRequest(resource="configmaps", namespace=WATCHED).SerializeToString())
    async for response in call:
        for event in response.events:
            if event.type == resource_pb2.BOOKMARK:
                yield None
            elif event.object.name != OF_EVERY_NAMESPACE:
                yield int(event.object.name[1:])


async def _watch_etcd(side: Side) -> AsyncIterator[int | None]:
    call: grpc.aio.StreamStreamCall = side.channels[0].stream_stream(peer.WATCH)()
    await call.write(peer.watch(_key(WATCHED, ""), _key(WATCHED, "~")))
    async for response in call:
        keys = peer.watched_keys(response)
        if not keys:
            yield None
        for key in keys:
            yield int(key.rpartition(b"/c")[2])


async def _listed(side: Side) -> int:
    request = pb.ListRequest(resource="configmaps", namespace=STANDING).SerializeToString()
    reply = await side.channels[0].unary_unary(_API + "List")(request, timeout=CALL_SECONDS)
    return sum(item.name != OF_EVERY_NAMESPACE for item in pb.ListResponse.FromString(reply).items)


async def _listed_etcd(side: Side, request: bytes) -> int:
    reply = await side.channels[0].unary_unary(peer.RANGE)(request, timeout=CALL_SECONDS)
    return int(peer.decode(reply)[4])


def _key(place: str, name: str) -> bytes:
    return f"/registry/configmaps/{place}/{name}".encode()


def _put(place: str, number: int) -> bytes:
    return peer.put(_key(place, f"c{number}"), b"x" * VALUE_BYTES)
