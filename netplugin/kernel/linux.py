"""The Linux kernel behind the port: puts the adapters of this folder together."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from netplugin.kernel import conntrack, events, namespace, netlink, nft
from netplugin.kernel.protocol import Connections
from netplugin.protocol import NetworkFailure

_LEGACY_TABLES = Path("/proc/thread-self/net/ip_tables_names")
_LEGACY_DEADLINE_SECONDS = 5.0


class LinuxKernel(netlink.Netlink):
    """The kernel as seen from the namespace the calling thread is in; `netns_path` names it for other threads."""

    def __init__(self, link_prefix: str, netns_path: str | None) -> None:
        super().__init__(link_prefix)
        self._netns_path = netns_path
        try:
            self._nft = nft.Nft()
        except NetworkFailure:
            super().close()
            raise

    def read_sysctl(self, name: str) -> str | None:
        """See Kernel.read_sysctl."""
        return netlink.read_sysctl(name)

    def write_sysctl(self, name: str, value: str) -> None:
        """See Kernel.write_sysctl."""
        netlink.write_sysctl(name, value)

    def run_nft(self, text: str) -> None:
        """See Kernel.run_nft."""
        self._nft.run(text)

    def list_nft(self, command: str) -> str | None:
        """See Kernel.list_nft."""
        return self._nft.list_json(command)

    def describe_nft(self, command: str) -> str | None:
        """See Kernel.describe_nft."""
        return self._nft.list_text(command)

    def list_legacy(self) -> str | None:
        """See Kernel.list_legacy."""
        try:
            if "filter" not in _LEGACY_TABLES.read_text().split():
                return None
            # A child inherits the namespace of the thread that starts it.
            saved = subprocess.run(
                ["iptables-legacy-save", "-t", "filter"],
                capture_output=True,
                text=True,
                timeout=_LEGACY_DEADLINE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return saved.stdout

    def nft_generation(self) -> int:
        """See Kernel.nft_generation."""
        return nft.generation()

    def forget_connections(self, which: Connections) -> int:
        """See Kernel.forget_connections."""
        return conntrack.forget(which)

    def open_events(self) -> tuple[socket.socket, socket.socket]:
        """See Kernel.open_events."""
        try:
            return events.open_events()
        except OSError as error:
            raise NetworkFailure(f"could not listen to the kernel's events: {error}") from error

    def open_socket(self, kind: socket.SocketKind) -> socket.socket:
        """See Kernel.open_socket."""

        def make() -> socket.socket:
            return socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

        # A socket stays in the namespace it was made in, whoever uses it.
        return namespace.run_inside(self._netns_path, make) if self._netns_path else make()

    def close(self) -> None:
        """See Kernel.close."""
        self._nft.close()
        super().close()
