"""The files every container gets from its pod: hosts, hostname and resolv.conf. Pure text."""

from __future__ import annotations

from collections.abc import Iterable

from api.core import Pod, PodDNSConfig

HOSTNAME_LIMIT = 63  # bytes of a host name (HOST_NAME_MAX is 64, a DNS label 63)

_HOSTS_HEAD = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


def hostname(pod: Pod) -> str:
    """The pod's host name: as asked for, else its name cut to what the kernel takes."""
    return (pod.spec.hostname or pod.metadata.name)[:HOSTNAME_LIMIT].rstrip("-.")


def hosts(pod: Pod, ip: str, node_hosts: str, cluster_domain: str) -> str:
    """The pod's /etc/hosts; on the host's network the node's own, `hostAliases` at the end of either."""
    if pod.spec.host_network:
        text = f"# Kubernetes-managed hosts file (host network).\n{node_hosts}"
    else:
        name = hostname(pod)
        if pod.spec.subdomain:
            name = f"{name}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}\t{name}"
        text = f"{_HOSTS_HEAD}{ip}\t{name}\n"
    if pod.spec.host_aliases:
        lines = ("\t".join((alias.ip, *alias.hostnames)) for alias in pod.spec.host_aliases)
        text = "\n".join([text.rstrip("\n"), "", "# Entries added by HostAliases.", *lines, ""])
    return text


def resolv_conf(pod: Pod, cluster: str, node: str) -> str:
    """The pod's resolv.conf by its DNS policy; `cluster` and `node` are the two texts to choose from."""
    policy = pod.spec.dns_policy or "ClusterFirst"
    if policy == "None":
        base = ""
    elif policy == "Default" or (policy == "ClusterFirst" and pod.spec.host_network):
        base = node
    else:
        base = cluster
    return _merged(base, pod.spec.dns_config) if pod.spec.dns_config is not None else base


def _merged(text: str, config: PodDNSConfig) -> str:
    """Add a pod's own settings: its servers first come after the policy's, an option replaces its namesake."""
    servers: list[str] = []
    searches: list[str] = []
    options: dict[str, str] = {}
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "nameserver":
            servers.append(rest.strip())
        elif word == "search":
            searches = rest.split()
        elif word == "options":
            options |= {option.partition(":")[0]: option for option in rest.split()}
    servers = _unique([*servers, *config.nameservers])
    searches = _unique([*searches, *config.searches])
    for option in config.options:
        options[option.name or ""] = f"{option.name}:{option.value}" if option.value is not None else option.name or ""
    lines = [f"nameserver {server}" for server in servers]
    if searches:
        lines.append(f"search {' '.join(searches)}")
    if options:
        lines.append(f"options {' '.join(options.values())}")
    return "".join(f"{line}\n" for line in lines)


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
