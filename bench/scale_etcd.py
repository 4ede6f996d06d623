"""The same objects in etcd, for `bench.scale`: three members that store every object's JSON under a key of its own.

etcd stores bytes and answers with them. It does not decode, check, index, schedule or control anything, so its figures are a
floor rather than a rival's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import etcd as peer
from bench.processes import cpu_seconds, memory
from bench.report import until
from component import rpc

CALL_SECONDS = 60.0
RESTART_SECONDS = 60.0
AT_ONCE = 64  # puts under way: one by one, because a put is as large as etcd's unit gets


@dataclass(frozen=True, slots=True)
class Floor:
    """What etcd needed. `stored_megabytes` are the bytes of all objects, the floor of anybody's memory."""

    per_second: float
    cpu_microseconds: float
    megabytes_empty: float
    megabytes: float
    list_milliseconds: float
    list_cpu_milliseconds: float
    restart_seconds: float
    stored_megabytes: float


async def measure(folder: Path, trees: Iterable[Mapping], prefixes: Sequence[str]) -> Floor:
    """Store everything, list the pods below the prefixes one after the other, restart a follower; then stop etcd."""
    etcd = peer.Etcd(folder, time.time())
    try:
        etcd.start()
        leader = await etcd.leader()
        empty = _largest(etcd)
        pairs = [(_key(tree), msgspec.json.encode(tree)) for tree in trees]
        async with rpc.channel(etcd.endpoints[leader], etcd.tls) as channel:
            began, used = time.perf_counter(), cpu_seconds(etcd.pids)
            await _fill(channel.unary_unary(peer.PUT), pairs)
            seconds, cpu = time.perf_counter() - began, cpu_seconds(etcd.pids) - used
            filled = _largest(etcd)
            began, used = time.perf_counter(), cpu_seconds([etcd.pid(leader)])
            read = channel.unary_unary(peer.RANGE)
            for prefix in prefixes:
                await read(peer.range_of(f"/Pod/{prefix}/".encode(), f"/Pod/{prefix}0".encode()), timeout=CALL_SECONDS)
            listed, list_cpu = time.perf_counter() - began, cpu_seconds([etcd.pid(leader)]) - used
        return Floor(
            len(pairs) / seconds,
            cpu / len(pairs) * 1e6,
            empty,
            filled,
            listed * 1e3,
            list_cpu * 1e3,
            await _restart(etcd, next(name for name in etcd.names if name != leader)),
            sum(len(value) for _, value in pairs) / 2**20,
        )
    finally:
        etcd.stop()


async def _fill(put: rpc.grpc.aio.UnaryUnaryMultiCallable, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    left = iter(pairs)

    async def writer() -> None:
        for key, value in left:
            await put(peer.put(key, value), timeout=CALL_SECONDS)

    await asyncio.gather(*(writer() for _ in range(AT_ONCE)))


async def _restart(etcd: peer.Etcd, follower: str) -> float:
    """kill -9 and start again; until the member answers and knows the leader, with everything applied."""
    etcd.kill(follower)
    began = time.perf_counter()
    etcd.start(follower)
    await until(etcd.all_follow, RESTART_SECONDS, "three members that know one leader")
    return time.perf_counter() - began


def _largest(etcd: peer.Etcd) -> float:
    return max(memory(pid).pss for pid in etcd.pids)


def _key(tree: Mapping) -> bytes:
    metadata = tree["metadata"]
    return f"/{tree['kind']}/{metadata.get('namespace', '')}/{metadata['name']}".encode()
