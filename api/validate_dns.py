"""Rules for what a pod's containers know of names: DNS policy and settings, and lines of the hosts file."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from api.errors import FieldError
from api.faults import check_choice, check_text, invalid, required
from api.names import dns_subdomain_fault
from api.pod import PodDNSConfig, PodSpec

DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
MAX_NAMESERVERS = 3  # what resolvers read
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048


def dns_faults(spec: PodSpec, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with `dnsPolicy`, `dnsConfig` and `hostAliases` (Kubernetes: "DNS for Services and Pods")."""
    yield from check_choice(f"{path}.dnsPolicy", spec.dns_policy, DNS_POLICIES)
    config = spec.dns_config
    if spec.dns_policy == "None" and (config is None or not config.nameservers):
        where = f"{path}.dnsConfig" if config is None else f"{path}.dnsConfig.nameservers"
        yield required(where, "must provide at least one DNS nameserver when `dnsPolicy` is None")
    if config is not None:
        yield from _config_faults(config, f"{path}.dnsConfig")
    for index, alias in enumerate(spec.host_aliases):
        yield from _address_faults(f"{path}.hostAliases[{index}].ip", alias.ip)
        for number, name in enumerate(alias.hostnames):
            yield from check_text(f"{path}.hostAliases[{index}].hostnames[{number}]", name, dns_subdomain_fault)


def _config_faults(config: PodDNSConfig, path: str) -> Iterator[FieldError]:
    if len(config.nameservers) > MAX_NAMESERVERS:
        why = f"must not have more than {MAX_NAMESERVERS} nameservers"
        yield invalid(f"{path}.nameservers", list(config.nameservers), why)
    for index, server in enumerate(config.nameservers):
        yield from _address_faults(f"{path}.nameservers[{index}]", server)
    if len(config.searches) > MAX_SEARCHES:
        yield invalid(f"{path}.searches", len(config.searches), f"must not have more than {MAX_SEARCHES} search paths")
    if len(" ".join(config.searches)) > MAX_SEARCH_CHARACTERS:
        why = f"must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        yield invalid(f"{path}.searches", len(" ".join(config.searches)), why)
    for index, search in enumerate(config.searches):
        plain = search.removesuffix(".").replace("_", "x")  # names of SRV records begin with an underscore
        if search != "." and (fault := dns_subdomain_fault(plain)):
            yield invalid(f"{path}.searches[{index}]", search, fault)
    for index, option in enumerate(config.options):
        if not option.name:
            yield required(f"{path}.options[{index}]", "must not be empty")


def _address_faults(path: str, text: str) -> Iterator[FieldError]:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        yield invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
