"""resolv.conf: whom to ask about names outside the cluster, and what pods are told. Pure, on text."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from netplugin.protocol import NetworkConfig

SYSTEMD_STUB = "127.0.0.53"
SYSTEMD_UPSTREAMS = "/run/systemd/resolve/resolv.conf"
_MOST_NAMESERVERS = 3  # resolv.conf(5)
_NDOTS = 5


def nameservers(text: str) -> list[str]:
    """Return the IPv4 nameservers of a resolv.conf, in order, each once."""
    found: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and words[1] not in found:
            try:
                ipaddress.IPv4Address(words[1])
            except ValueError:
                continue
            found.append(words[1])
    return found[:_MOST_NAMESERVERS]


def upstreams(config: NetworkConfig, read: Callable[[str], str | None]) -> tuple[list[str], list[str]]:
    """Return whom to ask and what is wrong with that, reading files by `read` (None: no such file).

    systemd-resolved's stub is passed by for the servers it asks itself; our own address would be a loop.
    """
    path = config.upstream_resolv_conf
    text = read(path)
    if text is not None and SYSTEMD_STUB in nameservers(text):
        real = read(SYSTEMD_UPSTREAMS)
        if real is not None:
            path, text = SYSTEMD_UPSTREAMS, real
    if text is None:
        return [], [f"names outside the cluster do not resolve: there is no {path}; set the upstream resolv.conf"]
    servers = nameservers(text)
    others = [each for each in servers if each != config.dns_address]
    if others:
        return others, []
    if servers:
        wrong = f"{path} names this node's own DNS address {config.dns_address}: a loop"
    else:
        wrong = f"{path} names no IPv4 nameserver"
    return [], [f"names outside the cluster do not resolve: {wrong}; give the agent another upstream resolv.conf"]


def pod_resolv_conf(config: NetworkConfig, namespace: str) -> str:
    """Return the resolv.conf of a pod with dnsPolicy ClusterFirst, as Kubernetes writes it."""
    domain = config.cluster_domain
    search: Sequence[str] = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)
    return f"nameserver {config.dns_address}\nsearch {' '.join(search)}\noptions ndots:{_NDOTS}\n"
