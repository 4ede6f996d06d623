"""Client configurations for people, signed by the cluster's certificate authority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from component import kubeconfig, pki
from controlplane.config import ServerConfig, join_host_port

MACHINES: Final = ("system:nodes", "system:replicas", "system:serviceaccounts")
"""Groups of those who are no people: these prove who they are in other ways."""


@dataclass(frozen=True, slots=True)
class Person:
    """A user and the groups that they are in."""

    name: str
    groups: tuple[str, ...]


def person_of(name: str, groups: Sequence[str]) -> Person:
    """A person; ValueError for names that belong to the system's own parts, or that no certificate can hold."""
    if name.startswith("system:"):
        raise ValueError(f'"{name}": names of people do not begin with system:')
    for group in groups:
        if group.startswith(MACHINES):
            raise ValueError(f'"{group}": this group is for machines and programs')
    if not all((name, *groups)):
        raise ValueError("the name of a user or group is empty")
    if len(name) > pki.NAME_LIMIT or any(len(group) > pki.NAME_LIMIT for group in groups):
        raise ValueError(f"the name of a user or group may have {pki.NAME_LIMIT} characters")
    return Person(name, tuple(groups))


def client_configuration(
    ca: pki.KeyPair, settings: ServerConfig, person: Person, cluster: str, now: float, days: int
) -> dict[str, Any]:
    """The kubeconfig with which the person reaches the replicas in `settings`. `now` is seconds since the epoch."""
    made = pki.issue(ca, person.name, now, groups=person.groups, days=days)
    server = join_host_port(settings.replicas[settings.replica], settings.https_port)
    return kubeconfig.build(
        cluster,
        f"https://{server}",
        list(settings.endpoints.values()),
        ca.cert_pem,
        person.name,
        made.cert_pem,
        made.key_pem,
    )
