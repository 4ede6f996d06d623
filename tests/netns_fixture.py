"""Hosts as network namespaces, joined by a switch that is a namespace of its own.

Every name carries a random part, so that runs do not meet; everything goes when the fabric is closed, whatever
happened. Nothing is done in the machine's own namespace.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self, TypeVar

from component.env import system_env
from netplugin.kernel import namespace
from netplugin.plugin import Plugin
from netplugin.protocol import DnsRecord, Endpoint, NetworkConfig, NetworkInputs, NodeRoute, ServicePort

T = TypeVar("T")
RUN = Path("/run/netns")


def ip(*arguments: str) -> str:
    """Run ip(8) and return its output."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


class Space:
    """One network namespace: a host, a pod, or somebody outside."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = str(RUN / name)
        self.address = ""
        ip("netns", "add", name)
        # No IPv6: its addresses come up in their own time, and snapshots are compared.
        self.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        ip("-n", name, "link", "set", "lo", "up")

    def inside(self, function: Callable[[], T]) -> T:
        return namespace.run_inside(self.path, function)

    def run(self, *command: str) -> str:
        return subprocess.run(
            ["nsenter", f"--net={self.path}", *command], check=True, capture_output=True, text=True
        ).stdout

    def nft(self, text: str) -> None:
        subprocess.run(["nsenter", f"--net={self.path}", "nft", "-f", "-"], check=True, input=text, text=True)

    def sysctl(self, name: str) -> str:
        return self.inside(lambda: Path("/proc/sys", name).read_text().strip())

    def snapshot(self) -> str:
        """Everything the plugin could leave behind, as text to compare."""
        sysctls = [f"{name}={self.sysctl(name)}" for name in ("net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter")]
        links = "\n".join(sorted(line.split()[0] for line in self.run("ip", "-br", "link").splitlines()))
        commands = (
            ("ip", "-4", "addr", "show", "dev", "lo"),
            ("ip", "route", "show", "table", "all"),
            ("ip", "rule"),
            ("nft", "list", "ruleset"),
        )
        return "\n".join([links, *sysctls, *(self.run(*command) for command in commands)])

    def delete(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


class Fabric:
    """A switch with segments 172.30.N.0/24, routed to each other by .254, and the spaces made on it."""

    def __init__(self) -> None:
        self._tag = f"tn{secrets.token_hex(3)}"
        self._spaces: list[Space] = []
        self._servers: list[Server] = []
        self._segments: set[int] = set()
        self._count = 0
        try:
            self.switch = self._space("sw")
            self.switch.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        except BaseException:
            self.close()
            raise

    def host(self, segment: int = 0) -> Space:
        """A namespace with 172.30.<segment>.<n>/24 on eth0 and a default route."""
        self._count += 1
        number = self._count
        space = self._space(f"h{number}")
        if segment not in self._segments:
            bridge = f"br{segment}"
            self.switch.run("ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0")
            self.switch.run("ip", "addr", "add", f"172.30.{segment}.254/24", "dev", bridge)
            self.switch.run("ip", "link", "set", bridge, "up")
            self._segments.add(segment)
        port = f"p{number}"
        self.switch.run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space.name)
        self.switch.run("ip", "link", "set", port, "master", f"br{segment}", "up")
        space.address = f"172.30.{segment}.{number}"
        space.run("ip", "addr", "add", f"{space.address}/24", "dev", "eth0")
        space.run("ip", "link", "set", "eth0", "up")
        space.run("ip", "route", "add", "default", "via", f"172.30.{segment}.254")
        return space

    def pod(self) -> Space:
        """An empty namespace, as the agent pins it for a pod."""
        self._count += 1
        return self._space(f"p{self._count}")

    def serve(self, space: Space, identity: str, tcp: Sequence[int] = (), udp: Sequence[int] = ()) -> Server:
        """Answer each connection or datagram with "<identity> <client's address>"."""
        server = Server(space, identity, tcp, udp)
        self._servers.append(server)
        return server

    def close(self) -> None:
        for server in self._servers:
            server.stop()
        for space in reversed(self._spaces):
            space.delete()

    def _space(self, kind: str) -> Space:
        space = Space(f"{self._tag}-{kind}")
        self._spaces.append(space)
        return space


class Server:
    """Says who it is and who asks, on TCP and UDP ports of a space, until stopped."""

    def __init__(self, space: Space, identity: str, tcp: Sequence[int], udp: Sequence[int]) -> None:
        self._identity = identity
        self._selector = selectors.DefaultSelector()
        self._wake, self._stop = socket.socketpair()
        self._sockets = [self._wake, self._stop]
        self._selector.register(self._wake, selectors.EVENT_READ)
        for port in tcp:
            self._add(space.inside(lambda port=port: _bound(socket.SOCK_STREAM, port)))
        for port in udp:
            self._add(space.inside(lambda port=port: _bound(socket.SOCK_DGRAM, port)))
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close its sockets; what is asked from now on is refused."""
        if self._sockets:
            self._stop.send(b"x")
            self._thread.join()
            self._selector.close()
            for each in self._sockets:
                each.close()
            self._sockets = []

    def _add(self, listener: socket.socket) -> None:
        self._sockets.append(listener)
        self._selector.register(listener, selectors.EVENT_READ)

    def _loop(self) -> None:
        while True:
            for key, _ in self._selector.select():
                listener = key.fileobj
                if listener is self._wake:
                    return
                with contextlib.suppress(OSError):
                    if listener.type == socket.SOCK_DGRAM:
                        _, client = listener.recvfrom(2048)
                        listener.sendto(f"{self._identity} {client[0]}".encode(), client)
                        continue
                    connection, client = listener.accept()
                    with connection:
                        connection.sendall(f"{self._identity} {client[0]}".encode())


def _bound(kind: socket.SocketKind, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", port))
    if kind == socket.SOCK_STREAM:
        listener.listen(512)
    return listener


def ask(address: str, port: int, *, udp: bool = False, timeout_seconds: float = 3.0) -> str:
    """One connection (or datagram) to a Server from the calling thread's namespace; its answer, or the error's name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as client:
        client.settimeout(timeout_seconds)
        # No TIME_WAIT: thousands of connections from one address must not run out of ports.
        if not udp:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            client.connect((address, port))
            if udp:
                client.send(b"?")
            return client.recv(200).decode() or "nothing"
        except OSError as error:
            return type(error).__name__


def ask_often(space: Space, address: str, port: int, times: int, *, udp: bool = False) -> Counter[str]:
    """Answers of `times` connections from `space`, counted."""
    return space.inside(lambda: Counter(ask(address, port, udp=udp) for _ in range(times)))


class Asking:
    """A process in `space` that opens one connection after the other until the block ends; then, its answers.

    A process, not a thread: it must not wait for the plugin under test, nor the plugin for it.
    """

    def __init__(self, space: Space, address: str, port: int) -> None:
        self._command = ["nsenter", f"--net={space.path}", sys.executable, "-u", __file__, address, str(port)]
        self._lines: list[str] = []
        self._grown = threading.Condition()
        self.answers: Counter[str] = Counter()

    def __enter__(self) -> Self:
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env=environment)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self.answers = Counter(self._lines)

    def count(self) -> int:
        """How many answers there are by now."""
        return len(self._lines)

    def wait_for(self, answers: int) -> None:
        """Wait until there are at least so many."""
        with self._grown:
            assert self._grown.wait_for(lambda: len(self._lines) >= answers, timeout=30), "no answers"

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._grown:
                self._lines.append(line.strip())
                self._grown.notify_all()


@contextlib.contextmanager
def fabric() -> Iterator[Fabric]:
    """A fabric that is gone afterwards."""
    made = Fabric()
    try:
        yield made
    finally:
        made.close()


class Net:
    """Hosts of a fabric with a real Plugin each, and what they were told last."""

    def __init__(self, made: Fabric, folder: Path, segments: Sequence[int] = (0, 0), mode: str = "auto") -> None:
        self.fabric = made
        self.hosts = [made.host(segment) for segment in segments]
        self.nodes = tuple(
            NodeRoute(host.name, host.address, f"10.244.{number}.0/24") for number, host in enumerate(self.hosts)
        )
        self.folder = folder
        self.mode = mode
        self.plugins = [self.plugin(number) for number in range(len(self.hosts))]
        self.services: tuple[ServicePort, ...] = ()
        self.records: tuple[DnsRecord, ...] = ()
        self.revision = 0

    def config(self, number: int) -> NetworkConfig:
        host = self.hosts[number]
        resolv = self.folder / "resolv.conf"
        if not resolv.exists():
            resolv.write_text("nameserver 203.0.113.1\n")
        return NetworkConfig(
            node_name=host.name,
            node_ip=host.address,
            pod_range="10.244.0.0/16",
            service_range="10.96.0.0/16",
            cluster_domain="cluster.local",
            state_dir=str(self.folder / host.name / "state"),
            run_dir=str(self.folder / host.name / "run"),
            upstream_resolv_conf=str(resolv),
            mode=self.mode,
        )

    def plugin(self, number: int) -> Plugin:
        return Plugin(self.config(number), system_env(), self.hosts[number].path)

    async def start(self) -> None:
        for plugin in self.plugins:
            await plugin.start()
        await self.sync()

    async def sync(self, services: Sequence[ServicePort] | None = None, records: Sequence[DnsRecord] = ()) -> None:
        self.revision += 1
        self.services = self.services if services is None else tuple(services)
        self.records = tuple(records) or self.records
        for plugin in self.plugins:
            await plugin.sync(NetworkInputs(self.revision, self.nodes, self.services, self.records))

    async def pod(self, number: int, uid: str, tcp: Sequence[int] = (8080,), udp: Sequence[int] = ()) -> Space:
        """A pod of node `number` with its server, which calls itself `uid`."""
        space = self.fabric.pod()
        attachment = await self.plugins[number].attach(uid, "default", uid, space.path)
        space.address = attachment.ip
        self.fabric.serve(space, uid, tcp, udp)
        return space

    async def close(self) -> None:
        for plugin in self.plugins:
            await plugin.close()


def service(
    vip: str,
    pods: Sequence[Space],
    *,
    port: int = 80,
    target: int = 8080,
    protocol: str = "tcp",
    name: str = "web",
    port_name: str = "",
    affinity_seconds: int = 0,
) -> ServicePort:
    """A service port with ready endpoints."""
    endpoints = tuple(Endpoint(pod.address, target, ready=True, serving=True, terminating=False) for pod in pods)
    return ServicePort("default", name, port_name, vip, protocol, port, endpoints, affinity_seconds)


if __name__ == "__main__":
    while True:
        sys.stdout.write(f"{ask(sys.argv[1], int(sys.argv[2]))}\n")
