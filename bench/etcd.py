"""The peer for replicated writes: three members of the system's etcd on loopback, with mutual TLS like our replicas.

Its calls are packed by hand, so that no client library stands between: both sides are measured by the same code.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from bench.replicas import free_ports, keep
from component import pki, rpc

BINARY = "/usr/bin/etcd"
PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"
DELETE = "/etcdserverpb.KV/DeleteRange"
WATCH = "/etcdserverpb.Watch/Watch"
_STATUS = "/etcdserverpb.Maintenance/Status"
_MOVE_LEADER = "/etcdserverpb.Maintenance/MoveLeader"
START_SECONDS = 30.0


class Etcd:
    """Three members with default settings (fsync on every write) whose files are below `folder`.

    With `tls` clients and members authenticate each other by certificates, as our replicas do.
    """

    def __init__(self, folder: Path, now: float, *, tls: bool = True) -> None:
        self._folder = folder
        self._ports = free_ports(6)
        self._scheme = "https" if tls else "http"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.names = ("m0", "m1", "m2")
        self.endpoints = {name: f"127.0.0.1:{self._ports[3 + index]}" for index, name in enumerate(self.names)}
        self.tls: rpc.Tls | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if tls:
            ca = pki.make_ca("bench", now)
            member = pki.issue(ca, "member", now, dns_names=["localhost", rpc.API_SERVER_NAME])
            for name, content in {"ca": ca.cert_pem, "crt": member.cert_pem, "key": member.key_pem}.items():
                (folder / f"tls.{name}").write_bytes(content)
            self.tls = rpc.Tls(ca.cert_pem, member.cert_pem, member.key_pem)

    def start(self, *names: str) -> None:
        """Start members, all of them by default."""
        for name in names or self.names:
            self._processes[name] = keep(self._command(name), self._folder / f"{name}.log")

    def kill(self, name: str) -> None:
        """SIGKILL one member."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """SIGKILL all members."""
        for name in list(self._processes):
            self.kill(name)

    @property
    def pids(self) -> list[int]:
        """Of the members that run."""
        return [process.pid for process in self._processes.values()]

    def pid(self, name: str) -> int:
        """Of one member."""
        return self._processes[name].pid

    async def leader(self) -> str:
        """The name of the member that leads and is known to do so by itself."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                for name, endpoint in self.endpoints.items():
                    reply = await self._status(endpoint)
                    # Field 4 is the leader's id, field 1 the header whose field 2 is the member's own.
                    if reply.get(4) and decode(reply[1]).get(2) == reply[4]:
                        return name
                await asyncio.sleep(0.05)

    async def all_follow(self) -> bool:
        """Whether every member answers and knows one leader."""
        leaders = {(await self._status(endpoint)).get(4) for endpoint in self.endpoints.values()}
        return len(leaders) == 1 and None not in leaders

    async def move_leader(self, name: str) -> None:
        """Ask whoever leads to hand over to `name`; a refusal, as when nobody leads, is no error."""
        target = decode((await self._status(self.endpoints[name])).get(1, b"")).get(2)
        if target is None:
            return
        for endpoint in self.endpoints.values():  # all but the leader refuse
            async with rpc.channel(endpoint, self.tls) as channel:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await channel.unary_unary(_MOVE_LEADER)(bytes([1 << 3]) + _varint(target), timeout=5)

    async def _status(self, endpoint: str) -> dict:
        async with rpc.channel(endpoint, self.tls) as channel:
            try:
                return decode(await channel.unary_unary(_STATUS)(b"", timeout=2))
            except grpc.aio.AioRpcError:
                return {}

    def _command(self, name: str) -> list[str]:
        number = self.names.index(name)
        scheme, ports = self._scheme, self._ports
        members = ",".join(f"{each}={scheme}://localhost:{ports[index]}" for index, each in enumerate(self.names))
        command = [BINARY, "--name", name, "--data-dir", str(self._folder / name), "--initial-cluster", members]
        command += ["--listen-peer-urls", f"{scheme}://127.0.0.1:{ports[number]}"]
        command += ["--initial-advertise-peer-urls", f"{scheme}://localhost:{ports[number]}"]
        command += ["--listen-client-urls", f"{scheme}://127.0.0.1:{ports[3 + number]}"]
        command += ["--advertise-client-urls", f"{scheme}://localhost:{ports[3 + number]}"]
        if self.tls:
            crt, key, ca = (str(self._folder / f"tls.{each}") for each in ("crt", "key", "ca"))
            command += ["--client-cert-auth", "--trusted-ca-file", ca, "--cert-file", crt, "--key-file", key]
            command += ["--peer-client-cert-auth", "--peer-trusted-ca-file", ca]
            command += ["--peer-cert-file", crt, "--peer-key-file", key]
        return command


def put(key: bytes, value: bytes) -> bytes:
    """A PutRequest."""
    return _field(1, key) + _field(2, value)


def range_of(key: bytes, end: bytes = b"") -> bytes:
    """A linearizable RangeRequest: one key, or all from `key` up to but not `end`."""
    return _field(1, key) + (_field(2, end) if end else b"")


def delete(key: bytes) -> bytes:
    """A DeleteRangeRequest of one key."""
    return _field(1, key)


def watch(key: bytes, end: bytes) -> bytes:
    """A WatchRequest that begins a watch of all keys from `key` up to but not `end`."""
    return _field(1, _field(1, key) + _field(2, end))


def watched_keys(response: bytes) -> list[bytes]:
    """The keys of the events in a WatchResponse, oldest first."""
    return [decode(decode(event)[2])[1] for number, event in _fields(response) if number == 11]


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


def decode(message: bytes) -> dict:
    """Protobuf without a schema: field number -> integer or bytes, of repeated fields the last."""
    return dict(_fields(message))


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    position = 0

    def read() -> int:
        nonlocal position
        number = shift = 0
        while True:
            byte = message[position]
            position += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    while position < len(message):
        tag = read()
        value: Any = read()
        if tag & 7 == 2:
            value, position = message[position : position + value], position + value
        yield tag >> 3, value
