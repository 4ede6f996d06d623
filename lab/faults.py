"""All faults of a lab together: which are in force, and how to end them all. What each is stands in its own module."""

from __future__ import annotations

import json

from lab import disks, freezing, machine, network, partitions
from lab.layout import Host, Lab


def in_force(lab: Lab) -> list[str]:
    """One line for every fault there is now, as the kernel shows it; [] when all is well."""
    return [*(line for host in lab.hosts for line in _of_host(lab, host)), *_cuts(lab)]


def heal(lab: Lab, hosts: tuple[Host, ...], *, everything: bool = False) -> None:
    """End the partitions of these hosts; with `everything` also thaw them, plug them in and mend their disks."""
    partitions.heal(lab, hosts)
    if not everything:
        return
    for host in hosts:
        if machine.holder_pid(host):
            freezing.thaw(host)
            network.cut_link(lab, host, up=True)
            disks.normal(host)


def _of_host(lab: Lab, host: Host) -> list[str]:
    holder = machine.holder_pid(host)
    if not holder:
        return [f"{host.name} is down"]
    found = [f"{host.name}: {state}" for state in disks.state(host)]
    if not _plugged_in(lab, host):
        found.append(f"{host.name}: link down")
    if machine.frozen(holder):
        return [*found, f"{host.name}: frozen"]
    running = machine.ask(host, {"do": "status"}, missing_ok=True).get("processes", {})
    found += [f"{host.name}: {name} frozen" for name, each in running.items() if machine.frozen(each["pid"])]
    return [*found, *(f"{host.name}: {name} stopped" for name, each in running.items() if not each["wanted"])]


def _cuts(lab: Lab) -> list[str]:
    pairs = partitions.cut_pairs(lab)
    both = {(one, other) for one, other in pairs if (other, one) in pairs}
    found = [f"{one} and {other} are partitioned" for one, other in sorted(both) if one < other]
    return [*found, *(f"nothing from {one} reaches {other}" for one, other in sorted(pairs - both))]


def _plugged_in(lab: Lab, host: Host) -> bool:
    text = network.run(["ip", "-n", lab.switch, "-json", "link", "show", "dev", host.name], check=False)
    return any("UP" in link.get("flags", ()) for link in json.loads(text or "[]"))
