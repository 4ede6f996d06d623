"""The files of a first cluster: certificate authorities, keys and a configuration for every replica.

The first membership is static: `tim init` decides it and every replica gets its own folder of files. Pure but for
the key generator; writing and copying is the command's business.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import yaml

from component import kubeconfig, pki
from component.env import Env
from component.rpc import API_SERVER_NAME
from component.signing import make_key
from controlplane.config import ServerConfig
from controlplane.key_ring import RING_FILE, encode
from controlplane.sealing import KEY_BYTES

ADMIN_USER = "kubernetes-admin"


_OUR_NAMES = (".timonier.internal",)
"""By names below it programs of a cluster know each other: no host is called so."""


@dataclass(frozen=True, slots=True)
class ClusterFiles:
    """What to install where: relative path -> content, for each replica; and the administrator's kubeconfig."""

    replicas: Mapping[str, Mapping[str, bytes]]
    admin_conf: bytes


def replica_dns_name(replica: str) -> str:
    """The name in a replica's certificate by which its peers know it."""
    return f"{replica}.replica.timonier.internal"


def raft_dns_name(replica: str) -> str:
    """The name in the certificate of a replica's Raft process."""
    return f"{replica}.raft.timonier.internal"


def api_names(replica: str, cluster_domain: str, host: str = "") -> list[str]:
    """All names in a replica's API certificate: ours, those of the Service by which pods know the API, and its host's."""
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{cluster_domain}")
    own = [host] if host and not _is_address(host) and not host.lower().rstrip(".").endswith(_OUR_NAMES) else []
    return [API_SERVER_NAME, replica_dns_name(replica), *service, *own]


def api_addresses(host: str, service_range: str) -> list[str]:
    """The addresses in it: the Service's and its host's, which clients check that know no `tls-server-name`."""
    return [api_service_address(service_range), *([host] if _is_address(host) else [])]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def api_service_address(service_range: str) -> str:
    """The virtual address of the Service default/kubernetes: the first of the range. Clients in pods call it so."""
    return str(ipaddress.ip_network(service_range)[1])


def plan_cluster(
    template: ServerConfig,
    env: Env,
    cluster_name: str = "timonier",
    ca: pki.KeyPair | None = None,
    account_keys: bytes = b"",
    secrets_keys: bytes = b"",
) -> ClusterFiles:
    """Make the CAs, one set of keys per replica in `template.replicas` and the administrator's credentials.

    `template.replica` is replaced in each replica's configuration. The keys of both CAs go to every replica, so that
    any of them can sign the certificates of a joining node or replica; they lie outside the data folder. So does the key
    of service accounts' tokens, and that of Secrets. A restored cluster keeps its `ca`, so that its nodes go on trusting
    it, its `account_keys` for the sake of tokens that are about, and its `secrets_keys`; what is not given is made new.
    """
    now = env.now()
    ca, raft_ca = ca or pki.make_ca("timonier-ca", now), pki.make_ca("timonier-raft-ca", now)
    account_keys = account_keys or make_key()
    secrets_keys = secrets_keys or encode([env.rng.randbytes(KEY_BYTES)])
    files = {}
    for replica, host in template.replicas.items():
        api = pki.issue(
            ca,
            f"system:replica:{replica}",
            now,
            groups=["system:replicas"],
            dns_names=api_names(replica, template.cluster_domain, host),
            addresses=api_addresses(host, template.service_range),
        )
        raft = pki.issue(raft_ca, f"raft:{replica}", now, dns_names=[raft_dns_name(replica)])
        config = msgspec.structs.replace(template, replica=replica)
        files[replica] = {
            "server.yaml": yaml.safe_dump(msgspec.to_builtins(config), sort_keys=False).encode(),
            "pki/ca.crt": ca.cert_pem,
            "pki/ca.key": ca.key_pem,
            "pki/api.crt": api.cert_pem,
            "pki/api.key": api.key_pem,
            "pki/sa.key": account_keys,
            f"pki/{RING_FILE}": secrets_keys,
            "pki/raft-ca.crt": raft_ca.cert_pem,
            "pki/raft-ca.key": raft_ca.key_pem,
            "pki/raft.crt": raft.cert_pem,
            "pki/raft.key": raft.key_pem,
        }
    admin = pki.issue(ca, ADMIN_USER, now, groups=["system:masters"])
    host = next(iter(template.replicas.values()))
    conf = kubeconfig.build(
        cluster_name,
        f"https://{host}:{template.https_port}",
        list(template.endpoints.values()),
        ca.cert_pem,
        ADMIN_USER,
        admin.cert_pem,
        admin.key_pem,
    )
    return ClusterFiles(files, yaml.safe_dump(conf, sort_keys=False).encode())
