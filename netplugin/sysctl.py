"""The kernel settings a node needs, and putting them back. Only what is not ours alone is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import structlog

from netplugin.protocol import NetworkFailure

log = structlog.get_logger()

GLOBAL = {"net/ipv4/ip_forward": "1"}
# Loose reverse path filtering: the kernel takes the larger of a link's value and that of "all", so 2 wins over a
# strict 1, which would drop what comes in by VXLAN from a node's outer address.
PER_LINK = {"net/ipv4/conf/{link}/rp_filter": "2", "net/ipv6/conf/{link}/disable_ipv6": "1"}


class Sysctls(Protocol):
    """The part of the kernel this module needs."""

    def read_sysctl(self, name: str) -> str | None:
        """The value; None when there is no such setting."""

    def write_sysctl(self, name: str, value: str) -> None:
        """Set it."""


def apply(kernel: Sysctls, record: Path) -> list[str]:
    """Set what the whole node needs and return what had another value.

    Values found the first time are written to `record` before they are changed; later ones are not the machine's.
    """
    recorded = _read(record)
    found = {name: kernel.read_sysctl(name) for name in GLOBAL}
    missing = [name for name, value in found.items() if value is None]
    if missing:
        raise NetworkFailure(f"this kernel has no {missing[0]}: IPv4 forwarding is needed")
    fresh = {name: value for name, value in found.items() if value is not None and name not in recorded}
    if fresh:
        temporary = record.with_suffix(".new")
        temporary.write_text(json.dumps(recorded | fresh))
        temporary.replace(record)
    changed = [name for name, value in GLOBAL.items() if found[name] != value]
    for name in changed:
        kernel.write_sysctl(name, GLOBAL[name])
        log.info("sysctl_changed", name=name.replace("/", "."), old=found[name], new=GLOBAL[name])
    return changed


def apply_to_link(kernel: Sysctls, link: str) -> None:
    """Set what one of our links needs; it takes the settings along when it goes."""
    for pattern, value in PER_LINK.items():
        name = pattern.format(link=link)
        if kernel.read_sysctl(name) not in {None, value}:
            kernel.write_sysctl(name, value)


def restore(kernel: Sysctls, record: Path) -> None:
    """Put back what `apply` recorded and forget it."""
    for name, value in _read(record).items():
        if name in GLOBAL and kernel.read_sysctl(name) != value:
            kernel.write_sysctl(name, value)
            log.info("sysctl_restored", name=name.replace("/", "."), value=value)
    record.unlink(missing_ok=True)


def _read(record: Path) -> dict[str, str]:
    try:
        tree = json.loads(record.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        log.warning("sysctl_record_damaged", path=str(record))
        return {}
    return {str(name): str(value) for name, value in tree.items()} if isinstance(tree, dict) else {}
