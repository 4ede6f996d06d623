"""Can this machine run a node or a lab? Looks, changes nothing, and gives one remedy line for each obstacle."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.layout import LabProblem, free_slot
from lab.network import machine_routes

PODMAN_AT_LEAST = (4, 3)
MEMORY_AT_LEAST_BYTES = 2 << 30
DISK_AT_LEAST_BYTES = 3 << 30
PROGRAMS = {
    "podman": "podman",
    "crun": "crun",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "busybox": "busybox-static",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `remedy` is empty when it passed; a warning does not stop anything."""

    name: str
    detail: str
    remedy: str = ""
    warning: bool = False

    @property
    def passed(self) -> bool:
        """Whether nothing stands in the way here."""
        return not self.remedy or self.warning


def check_machine() -> Iterator[Finding]:
    """Yield every finding, in the order in which a person would mend them."""
    for check in CHECKS:
        try:
            yield from check()
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            name = check.__name__.removeprefix("_").replace("_", " ")
            yield Finding(name, f"cannot be checked: {error}", "look into it by hand", warning=True)


def _root() -> Iterator[Finding]:
    root = os.geteuid() == 0
    yield Finding("root", "running as root" if root else "not root", "" if root else "run as root: sudo -i")


def _programs() -> Iterator[Finding]:
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    detail = f"missing: {', '.join(missing)}" if missing else "all there"
    yield Finding("programs", detail, f"apt-get install {' '.join(missing)}" if missing else "")


def _podman() -> Iterator[Finding]:
    if shutil.which("podman") is None:
        return
    text = subprocess.run(
        ["podman", "--version"], capture_output=True, text=True, check=True, timeout=20
    ).stdout.strip()
    found = re.search(r"(\d+)\.(\d+)", text)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    wanted = ".".join(map(str, PODMAN_AT_LEAST))
    yield Finding("podman", text, "" if version >= PODMAN_AT_LEAST else f"install podman {wanted} or newer")


def _cgroups() -> Iterator[Finding]:
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        have, layout = set(unified.read_text(encoding="ascii").split()), "v2"
    else:
        have, layout = {path.name for path in Path("/sys/fs/cgroup").glob("*")}, "v1"
    missing = {"cpu", "memory", "pids"} - have
    remedy = ""
    if missing:
        remedy = (
            f"enable the cgroup controllers {', '.join(sorted(missing))} (kernel command line: cgroup_enable=memory)"
        )
    yield Finding("cgroups", f"{layout}, missing: {', '.join(sorted(missing)) or 'none'}", remedy)


def _kernel() -> Iterator[Finding]:
    attempts = {
        "network namespaces": ("true", "allow network namespaces (CONFIG_NET_NS)"),
        "veth": ("ip link add tim0 type veth peer name tim1", "load the module: modprobe veth"),
        "bridge": ("ip link add tim0 type bridge", "load the module: modprobe bridge"),
        "VXLAN": ("ip link add tim0 type vxlan id 1 dstport 4789", "load the module: modprobe vxlan"),
        "nft NAT": (
            "nft 'add table ip t; add chain ip t c { type nat hook prerouting priority dstnat; }'",
            "load the modules: modprobe -a nf_tables nft_chain_nat",
        ),
    }
    for name, (command, remedy) in attempts.items():
        done = subprocess.run(
            ["unshare", "--net", "--mount", "sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        complaint = done.stderr.strip().splitlines()
        yield Finding(
            name, complaint[-1] if done.returncode and complaint else "works", remedy if done.returncode else ""
        )


def _memory() -> Iterator[Finding]:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = int(fields["MemAvailable"].split()[0]) << 10
    remedy = "" if free >= MEMORY_AT_LEAST_BYTES else f"free some memory: {MEMORY_AT_LEAST_BYTES >> 30} GiB are needed"
    yield Finding("memory", f"{free / (1 << 30):.1f} GiB available", remedy)


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage("/var/lib").free
    remedy = (
        ""
        if free >= DISK_AT_LEAST_BYTES
        else f"free some disk below /var/lib: {DISK_AT_LEAST_BYTES >> 30} GiB are needed"
    )
    yield Finding("disk", f"{free / (1 << 30):.1f} GiB free below /var/lib", remedy)


def _addresses() -> Iterator[Finding]:
    try:
        free_slot((), machine_routes())
    except LabProblem as problem:
        yield Finding("addresses", str(problem), "remove the routes that overlap 172.30.0.0/24")
    else:
        yield Finding("addresses", "ranges for a lab are free")


def _firewall() -> Iterator[Finding]:
    listed = subprocess.run(["nft", "-j", "list", "chains"], capture_output=True, text=True, check=False, timeout=20)
    chains = [entry["chain"] for entry in json.loads(listed.stdout or "{}").get("nftables", ()) if "chain" in entry]
    dropping = [c for c in chains if c.get("hook") == "forward" and c.get("policy") == "drop"]
    for chain in dropping:
        name = f"{chain['family']} {chain['table']} {chain['name']}"
        yield Finding(
            "firewall",
            f"chain {name} drops what is forwarded: pods of a lab cannot reach the outside",
            f"accept 172.30.0.0/16 there: nft insert rule {name} ip saddr 172.30.0.0/16 accept",
            warning=True,
        )
    if not dropping:
        yield Finding("firewall", "no foreign chain drops forwarded traffic")


def _surroundings() -> Iterator[Finding]:
    if "microsoft" in Path("/proc/version").read_text(encoding="utf-8").lower():
        yield Finding(
            "machine", "WSL: kernel modules may be missing", "use a virtual machine if a check fails", warning=True
        )
    elif Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        yield Finding("machine", "inside a container", "run it privileged if a check fails", warning=True)
    else:
        yield Finding("machine", f"Linux {os.uname().release}")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _root,
    _programs,
    _podman,
    _cgroups,
    _kernel,
    _memory,
    _disk,
    _addresses,
    _firewall,
    _surroundings,
)
