"""Bodies that are small on the wire and large, or deep, when they are unpacked: refused at both front ends."""

from __future__ import annotations

import resource as process
import zlib

import grpc
import pytest

from api.errors import Invalid
from api.v1 import apiserver_pb2 as pb
from api.v1 import apiserver_pb2_grpc, resource_pb2
from component import rpc
from tests.api_server import running_cluster
from tests.rest_server import serving_rest

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
HEAD = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":'
BOMB_BYTES = 100 << 20
DEPTHS = 200, 5_000, 200_000


def deep(depth: int) -> str:
    return HEAD + '{"a":' * depth + "1" + "}" * depth + "}"


def peak_bytes() -> int:
    return process.getrusage(process.RUSAGE_SELF).ru_maxrss << 10


async def test_a_packed_message_is_refused_before_it_is_unpacked(tmp_path):
    async with running_cluster(tmp_path) as cluster:
        async with rpc.channel(cluster.addresses[0], cluster.keys.admin) as channel:
            call = channel.unary_unary("/api.v1.ApiServer/Create", request_serializer=lambda _: b"\0" * (10 << 20))
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await call(None, compression=grpc.Compression.Gzip)
        assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.slow
async def test_a_packed_body_that_unpacks_to_a_hundred_megabytes_is_refused(tmp_path):
    packing, piece = zlib.compressobj(1, wbits=31), b" " * (1 << 20)
    packed = b"".join(packing.compress(piece) for _ in range(BOMB_BYTES >> 20)) + packing.flush()
    async with serving_rest(tmp_path) as rest:
        before = peak_bytes()
        answer = await rest.ask("POST", CONFIG_MAPS, packed, headers={"Content-Encoding": "gzip"})
        assert answer.status in {400, 413}
        assert peak_bytes() - before < BOMB_BYTES // 2


async def test_an_object_that_is_nested_too_deeply_is_refused_over_grpc(tmp_path):
    async with running_cluster(tmp_path) as cluster, rpc.channel(cluster.addresses[0], cluster.keys.admin) as channel:
        stub = apiserver_pb2_grpc.ApiServerStub(channel)
        for depth in DEPTHS:
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await stub.Create(pb.CreateRequest(object=resource_pb2.Resource(json=deep(depth))))
            assert isinstance(rpc.error_of(failure.value), Invalid)


@pytest.mark.parametrize("media", ["application/json", "application/yaml"])
async def test_an_object_that_is_nested_too_deeply_is_refused_over_https(tmp_path, media):
    async with serving_rest(tmp_path) as rest:
        for depth in DEPTHS:
            answer = await rest.ask("POST", CONFIG_MAPS, deep(depth), headers={"Content-Type": media})
            assert answer.status in {400, 422}
            assert answer.tree["reason"] in {"BadRequest", "Invalid"}


async def test_aliases_that_multiply_are_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    async with serving_rest(tmp_path) as rest:
        answer = await rest.ask("POST", CONFIG_MAPS, "\n".join(lines), headers={"Content-Type": "application/yaml"})
        assert answer.status in {400, 422}
        assert "aliases included" in answer.tree["message"]


async def test_headers_that_are_too_long_are_refused(tmp_path):
    async with serving_rest(tmp_path) as rest:
        assert (await rest.ask("GET", CONFIG_MAPS, headers={"X-Long": "x" * (70 << 10)})).status in {400, 431}
        assert (await rest.ask("GET", f"{CONFIG_MAPS}?labelSelector={'x' * (70 << 10)}")).status in {400, 414}
