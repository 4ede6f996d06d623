"""The lab's wires: a switch in a namespace of its own, one link to each host and one to this machine.

The switch is not in this machine's namespace, because a bridge there would be filtered by whatever firewall the
machine has (Docker's drop policy kills it). Egress is one nft table of ours and ip_forward, recorded and restored.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.layout import Host, Lab, LabProblem, prefix

FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
RECORD = "ip_forward"  # in a lab's state folder: what the machine had before
NETNS_DIR = Path("/run/netns")
OWN_NAMES = re.compile(r"switch|[rn]\d+")  # of a lab's namespaces, behind its prefix: "a-b" is another lab than "a"


def run(command: Sequence[str], *, stdin: str = "", check: bool = True) -> str:
    """Run a program to its end and return what it printed; LabProblem with its last lines when it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode:
        complaint = "; ".join(
            (done.stderr or done.stdout).strip().splitlines()[-2:]
        )  # ip names the reason before the line
        raise LabProblem(f"{' '.join(command[:6])}: {complaint or f'exit {done.returncode}'}")
    return done.stdout


def machine_routes() -> list[str]:
    """Destinations of all IPv4 routes of this machine, without the default."""
    found: list[dict[str, Any]] = json.loads(run(["ip", "-json", "route", "show", "table", "all"]) or "[]")
    return [route["dst"] for route in found if route.get("dst", "default") != "default" and ":" not in route["dst"]]


def make_switch(lab: Lab) -> None:
    """Make the switch and this machine's link to it. The route to the Services goes through the first node."""
    width = lab.ranges.hosts.split("/")[1]
    run(["ip", "netns", "add", lab.switch])
    _batch(
        lab.switch,
        "link set lo up",
        "link add name br0 type bridge",
        "link set br0 up",
    )
    _batch(
        None,
        f"link add {lab.uplink} type veth peer name uplink netns {lab.switch}",
        f"addr add {lab.gateway}/{width} dev {lab.uplink}",
        f"link set {lab.uplink} up",
    )
    _batch(lab.switch, "link set uplink master br0 up")
    _in(lab.switch, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    first_node = next((host for host in lab.hosts if host.role == "node"), None)
    if first_node is not None:
        _batch(None, f"route add {lab.ranges.services} via {first_node.address} dev {lab.uplink}")


def plug_host(lab: Lab, host: Host) -> None:
    """Make the host's namespace and its link to the switch, with its address.

    A host that is started again has the same card: with another MAC address its neighbours would talk to the old one
    for half a minute.
    """
    width = lab.ranges.hosts.split("/")[1]
    run(["ip", "netns", "add", host.namespace])
    _batch(
        lab.switch,
        f"link add {host.name} type veth peer name eth0 address {_mac(host.address)} netns {host.namespace}",
        f"link set {host.name} master br0 up",
    )
    _batch(
        host.namespace,
        "link set lo up",
        f"addr add {host.address}/{width} dev eth0",
        "link set eth0 up",
        # Without egress whatever tries to get out fails at once, instead of waiting for time-outs.
        f"route add default via {lab.gateway}" if lab.egress else "route add unreachable default",
    )


def _mac(address: str) -> str:
    """A locally administered MAC address that says the IPv4 address."""
    return ":".join(["02", "74", *(f"{int(part):02x}" for part in address.split("."))])


def unplug_host(host: Host) -> None:
    """Remove the host's link and namespace.

    The link goes by its own: the kernel empties a namespace some time after its last holder let go, and a host that is
    started again meanwhile would find its port at the switch taken.
    """
    run(["ip", "-n", f"{prefix(host.lab)}-switch", "link", "del", host.name], check=False)
    run(["ip", "netns", "del", host.namespace], check=False)


def cut_link(lab: Lab, host: Host, *, up: bool) -> None:
    """Pull or plug in the host's cable at the switch."""
    _batch(lab.switch, f"link set {host.name} {'up' if up else 'down'}")


def allow_egress(lab: Lab) -> None:
    """Let hosts and pods out through this machine's own address."""
    (lab.state_dir / RECORD).write_text(FORWARD.read_text(encoding="ascii"), encoding="ascii")
    FORWARD.write_text("1", encoding="ascii")
    table = lab.table
    run(
        ["nft", "-f", "-"],
        stdin=f"""
add table ip {table}
delete table ip {table}
table ip {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {lab.ranges.hosts} oifname != "{lab.uplink}" masquerade
  }}
}}
""",
    )


def remove(lab_name: str, table: str, uplink: str, state_dir: Path) -> None:
    """Remove every namespace, link and rule of a lab, found by name alone."""
    run(["ip", "link", "del", uplink], check=False)
    for path in sorted(NETNS_DIR.glob(f"{prefix(lab_name)}-*")):
        if OWN_NAMES.fullmatch(path.name.removeprefix(f"{prefix(lab_name)}-")):
            run(["ip", "netns", "del", path.name], check=False)
    run(["nft", "delete", "table", "ip", table], check=False)
    with contextlib.suppress(FileNotFoundError):
        _restore_forwarding(state_dir / RECORD)


def _restore_forwarding(record: Path) -> None:
    """What the first lab found holds again once the last one is gone; the others still need to forward."""
    found = record.read_text(encoding="ascii")
    record.unlink()
    others = sorted(record.parents[1].glob(f"*/{RECORD}"))
    for other in others:
        other.write_text(min(found, other.read_text(encoding="ascii")), encoding="ascii")
    if not others:
        FORWARD.write_text(found, encoding="ascii")


def _batch(namespace: str | None, *lines: str) -> None:
    where = ["-n", namespace] if namespace else []
    run(["ip", *where, "-batch", "-"], stdin="\n".join(lines) + "\n")


def _in(namespace: str, *command: str) -> None:
    run(["ip", "netns", "exec", namespace, *command], check=False)
