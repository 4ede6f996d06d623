"""Fuzzes every RPC of a lab of three replicas, from the descriptors of the protos: `python -m tests.fuzz.rpc --minutes 10`.

Needs root. Messages are filled at random, with words that mean something to this cluster among them; then some are mutated
in their bytes, are no messages, are huge or deeply nested; streams are cut in the middle, left open or fed without end.
Callers are the administrator, nodes, a replica and nobody in particular. The seed is printed; a finding's file has the bytes
that were sent, and `--again FILE` sends them once more.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from api.scheme import KINDS
from api.v1 import apiserver_pb2, node_pb2, raft_pb2, resource_pb2
from component import pki
from component.rpc import Tls, channel
from component.rpc_server import INTERNAL
from tests.fuzz.command_line import begin
from tests.fuzz.findings import Findings, tell
from tests.fuzz.messages import MessageFuzzer
from tests.fuzz.target import Pace, Target, finish, running
from tests.fuzz.trees import mutate, population

CALL_SECONDS = 2.0
METADATA_PART = 0.1
WRITES_OF_TREES = ("Create", "Update", "UpdateStatus", "Apply")
CALLERS = {
    "admin": ("kubernetes-admin", "system:masters"),
    "nobody": ("jane",),
    "node": ("system:node:n1", "system:nodes"),
    "odd node": ("system:node:", "system:nodes"),
    "replica": ("system:replica:r9", "system:replicas"),
}
SERVICES = [
    apiserver_pb2.DESCRIPTOR.services_by_name["ApiServer"],
    node_pb2.DESCRIPTOR.services_by_name["NodeService"],
    raft_pb2.DESCRIPTOR.services_by_name["ReplicaLink"],
]
OUT_OF_BOUNDS = {
    "Propose": "replica",  # its bytes go into the log as they are: fuzzed as commands of the state machine
    "ChangeMembership": "replica",  # takes replicas out of the cluster, and is meant to
    "RemoveReplica": "admin",
}
WORDS = (
    *("web", "settings", "words", "machine", "made", "n1", "kube-system", "default", "missing"),
    *("metadata.name=web", "app=web", "app in (web,", "v1", "Pod", "ConfigMap", "pods", "pods.", "deployments.apps"),
    *("main", "/bin/true", "status", "1", "0", "99999999999999999999", "client", "2030-01-31T12:00:00Z"),
    '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}',
    '{"spec":{"replicas":3}}',
    '[{"op":"remove","path":"/spec"}]',
)
METADATA = (
    (("impersonate-user", "jane"),),
    (("impersonate-user", ""),),
    (("impersonate-group", "system:masters"),),
    (("impersonate-user", "jane"), ("impersonate-extra-a", "b"), ("impersonate-uid", "1")),
    (("impersonate-user", "system:serviceaccount:default:worker"),),
    (("authorization", "Bearer a.b.c"),),
)
UNREADABLE = "Exception deserializing request!"  # what gRPC's library says of bytes that are no message
NEVER = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)
Metadata = Sequence[Sequence[str]]


class Fuzzing:
    """One run against one target."""

    def __init__(self, target: Target, findings: Findings, rng: random.Random, pace: Pace) -> None:
        self._target, self._findings, self._rng, self._pace = target, findings, rng, pace
        self._methods = [method for service in SERVICES for method in service.methods]
        words = (*WORDS, *(kind.resource for kind in KINDS))
        self._fuzzer = MessageFuzzer(rng, [3, 8, 20, 1000], words)
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}
        self._tls: dict[str, Tls] = {}
        self.busy = 0

    async def run(self, seconds: float) -> None:
        """Fill, send and judge until the time is over."""
        self._tls = {caller: tls_of(self._target, *who) for caller, who in CALLERS.items()}
        end_time = told_time = time.monotonic()
        end_time += seconds
        for tree in population():
            await self._one("admin", _method("Create"), [_writing("Create", tree)])
        try:
            while time.monotonic() < end_time:
                async with asyncio.TaskGroup() as group:  # some at once, as real clients come
                    for _ in range(self._rng.choice((1, 4, 8))):
                        group.create_task(self._one(*self._drawn()))
                await self._pace.rest_async()
                if time.monotonic() - told_time > 60:
                    told_time = time.monotonic()
                    for line in await asyncio.to_thread(self._target.trouble):
                        self._findings.add("processes", line, {})
                    tell(f"{self._findings.cases} cases; {self._target.probes.line()}")
        finally:
            for each in self._channels.values():
                await each.close()

    def _drawn(self) -> tuple[str, MethodDescriptor, list[bytes]]:
        rng = self._rng
        if rng.random() < 0.3:
            name = rng.choice(WRITES_OF_TREES)
            return "admin", _method(name), [_writing(name, mutate(rng.choice(population()), rng))]
        method = rng.choice(self._methods)
        caller = rng.choice([each for each in CALLERS if OUT_OF_BOUNDS.get(method.name) != each])
        request = message_factory.GetMessageClass(method.input_type)
        number = rng.choice((1, 3, 30)) if method.client_streaming else 1
        return caller, method, [self._bytes(request) for _ in range(number)]

    def _bytes(self, request: type[Message]) -> bytes:
        rng = self._rng
        message = self._fuzzer.fill(request())
        match rng.randrange(12):
            case 0:
                return rng.randbytes(rng.choice((1, 30, 3000)))
            case 1 | 2:
                return (self._fuzzer.mutated(message) or message).SerializeToString()
            case 3:
                return _grown(message, rng)
            case _:
                return message.SerializeToString()

    async def _one(self, caller: str, method: MethodDescriptor, sent: list[bytes]) -> None:
        address = self._rng.choice(self._target.addresses)
        how = self._rng.choice(("whole", "whole", "whole", "cancelled", "left open"))
        metadata = self._rng.choice(METADATA) if self._rng.random() < METADATA_PART else ()
        request = {
            "caller": caller,
            "method": method.full_name,
            "address": address,
            "how": how,
            "metadata": metadata,
            "messages": [base64.b64encode(each).decode() for each in sent[:50] if len(each) < 200_000],
        }
        if (caller, address) not in self._channels:
            self._channels[caller, address] = channel(address, self._tls[caller])
        code, details = await call(self._channels[caller, address], method, sent, how, metadata)
        self._findings.answered(f"{code.name}")
        if code is grpc.StatusCode.UNAVAILABLE:
            self.busy += 1
        unary_bug = code is grpc.StatusCode.INTERNAL and not method.client_streaming and details != UNREADABLE
        if code in NEVER or unary_bug or details == INTERNAL.details:
            self._findings.add(f"{method.full_name} as {caller}", f"{code.name}: {details}", request)


async def call(
    connection: grpc.aio.Channel, method: MethodDescriptor, sent: list[bytes], how: str, metadata: Metadata = ()
) -> tuple[grpc.StatusCode, str]:
    """Call an RPC with messages as bytes and read what comes; how it ended, as the caller sees it."""

    async def messages() -> AsyncIterator[bytes]:
        for each in sent:
            yield each
        if how == "left open":
            await asyncio.sleep(CALL_SECONDS)

    kind = f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"
    path = f"/{method.containing_service.full_name}/{method.name}"
    first = messages() if method.client_streaming else sent[0]
    begun = getattr(connection, kind)(path)(first, timeout=CALL_SECONDS, metadata=[*map(tuple, metadata)])
    if how == "cancelled":
        await asyncio.sleep(0.01)
        begun.cancel()
    try:
        if method.server_streaming:
            async for _ in begun:
                pass
        else:
            await begun
    except grpc.aio.AioRpcError as failure:
        return failure.code(), failure.details() or ""
    except asyncio.CancelledError:
        if how != "cancelled":
            raise
    return await begun.code(), await begun.details() or ""


def tls_of(target: Target, user: str, *groups: str) -> Tls:
    """A certificate for anybody, signed by the lab's own authority."""
    folder = target.hosts[0].state_dir / "etc" / "pki"
    authority = pki.KeyPair((folder / "ca.crt").read_bytes(), (folder / "ca.key").read_bytes())
    pair = pki.issue(authority, user, time.time(), groups=groups)
    return Tls(authority.cert_pem, pair.cert_pem, pair.key_pem)


def _method(name: str) -> MethodDescriptor:
    return next(method for service in SERVICES for method in service.methods if method.name == name)


def _writing(name: str, tree: dict[str, Any]) -> bytes:
    packed = resource_pb2.Resource(json=json.dumps(tree))
    data: bytes = message_factory.GetMessageClass(_method(name).input_type)(object=packed).SerializeToString()
    return data


def _grown(message: Message, rng: random.Random) -> bytes:
    """A message with one huge text, or JSON nested as deep as nobody needs it."""
    texts = [each for each in message.DESCRIPTOR.fields if each.type == each.TYPE_STRING and not each.is_repeated]
    if texts:
        depth = rng.choice((200, 5000, 100_000))
        grown = rng.choice(("x" * 10**5, "x" * 3_000_000, '{"a":' * depth + "1" + "}" * depth, "[" * depth))
        setattr(message, rng.choice(texts).name, grown)
    return message.SerializeToString()


async def again(target: Target, path: Path) -> None:
    """Send a finding's messages once more and print how it ends."""
    found = json.loads(path.read_text(encoding="utf-8"))
    connection = channel(target.addresses[0], tls_of(target, *CALLERS[found["caller"]]))
    method = next(each for service in SERVICES for each in service.methods if each.full_name == found["method"])
    sent = [base64.b64decode(each) for each in found["messages"]]
    tell(str(await call(connection, method, sent, found["how"], found["metadata"])))
    await connection.close()


def main() -> int:
    """Run, print, and tell by the exit code."""
    given = begin(__doc__, Path("build/fuzz-rpc"))
    with running(f"rpc-{given.seed % 10**6}-{os.getpid() % 10**4}", given.folder / "credentials") as target:
        if given.again:
            asyncio.run(again(target, given.again))
            return 0
        os.nice(3)
        findings = Findings(given.folder)
        fuzzing = Fuzzing(target, findings, random.Random(given.seed), Pace(target, given.cores))
        with suppress(KeyboardInterrupt):
            asyncio.run(fuzzing.run(given.minutes * 60))
        return finish(target, findings, busy=fuzzing.busy)


if __name__ == "__main__":
    raise SystemExit(main())
