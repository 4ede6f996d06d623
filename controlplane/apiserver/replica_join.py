"""Letting replicas in: certificates and the cluster's keys for who brings a replica token.

Spending the token and recording the newcomer is one transaction; the leader's membership loop does the rest. What a
joining replica gets makes it equal to the others, the keys of both CAs and of tokens included: its token is as good as an
administrator's password for as long as it lives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from api import errors
from component import pki
from component.env import Env
from controlplane.apiserver.join import LARGEST_REQUEST_CHARACTERS
from controlplane.apiserver.tokens import key_of_token, use_token
from controlplane.bootstrap import api_addresses, api_names, raft_dns_name
from controlplane.commands import CommitRefused
from controlplane.config import ServerConfig
from controlplane.membership_loop import Newcomer, record, waiting
from controlplane.raft.membership import Membership
from controlplane.replica import Replica

log = structlog.get_logger()

ID_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class ReplicaJoinDesk:
    """Signs with both CAs. `hosts` are the members' hosts now, `secrets_keys` the keys of Secrets as a file holds them."""

    def __init__(
        self,
        replica: Replica,
        config: ServerConfig,
        hosts: Callable[[], Mapping[str, str]],
        ca: pki.KeyPair,
        raft_ca: pki.KeyPair,
        account_keys: bytes,
        secrets_keys: Callable[[], bytes],
        env: Env,
    ) -> None:
        self._replica = replica
        self._config = config
        self._hosts = hosts
        self._ca = ca
        self._raft_ca = raft_ca
        self._account_keys = account_keys
        self._secrets_keys = secrets_keys
        self._env = env

    async def join(
        self, *, token: str, name: str, host: str, request: str, raft_request: str, level: int
    ) -> Mapping[str, Any]:
        """Use the token up, record the newcomer and sign its certificates: all of it or nothing.

        Unauthenticated when the token is not good for this; AlreadyExists when the id is a member's; NotReady when the
        newcomer's program knows no more than `level`, below the cluster's; Invalid for a bad id, host or request.
        """
        if not ID_PATTERN.fullmatch(name):
            raise errors.Invalid(f"replica id {name!r}: use at most 63 of a-z, 0-9 and '-', not at the ends")
        if not host or len(host) > 253 or not re.fullmatch(r"[A-Za-z0-9.:-]+", host):
            raise errors.Invalid(f"{host!r} is no IP address or host name")
        if max(len(request), len(raft_request)) > LARGEST_REQUEST_CHARACTERS:
            raise errors.Invalid("a certificate request is too large")
        certificates = self._sign(name, host, request, raft_request)
        newcomer = Newcomer(uid=self._env.new_uid(), host=host)
        await self._replica.read_barrier()
        if level < self._replica.state.level:
            raise errors.NotReady(
                f"the cluster is at level {self._replica.state.level}, this machine's program knows {level}: "
                "install the version that the other replicas run"
            )
        membership = self._replica.status.membership
        if membership is None:
            raise errors.Unavailable("this replica does not know its cluster yet: retry")
        if membership.member(name) is not None or name in waiting(self._replica.state):
            raise errors.AlreadyExists(
                f"replica {name!r} is a member: remove it first (`tim replica remove {name}`), or join under another id"
            )
        spent = use_token(token, self._replica.state.get(key_of_token(token)), "replica", name, self._env.now())
        try:
            await self._replica.commit((*spent, record(name, newcomer)))
        except CommitRefused as refused:
            raise errors.Unauthenticated(
                "the token was used a moment ago; make one with `tim replica add`"
            ) from refused
        log.info("replica_joined", newcomer=name, host=host)
        return {**certificates, "server": self._settings(name, newcomer, membership)}

    def _sign(self, name: str, host: str, request: str, raft_request: str) -> dict[str, str]:
        now = self._env.now()
        names = api_names(name, self._config.cluster_domain, host)
        addresses = api_addresses(host, self._config.service_range)
        user, groups = f"system:replica:{name}", ["system:replicas"]
        try:
            api = pki.sign_request(
                self._ca, request.encode(), user, now, groups=groups, dns_names=names, addresses=addresses
            )
            raft = pki.sign_request(
                self._raft_ca, raft_request.encode(), f"raft:{name}", now, dns_names=[raft_dns_name(name)]
            )
        except pki.CertificateProblem as problem:
            raise errors.Invalid(str(problem)) from problem
        return {
            "certificate": api.decode(),
            "raft_certificate": raft.decode(),
            "ca_key": self._ca.key_pem.decode(),
            "raft_ca": self._raft_ca.cert_pem.decode(),
            "raft_ca_key": self._raft_ca.key_pem.decode(),
            "account_keys": self._account_keys.decode(),
            "secrets_keys": self._secrets_keys().decode(),
        }

    def _settings(self, name: str, newcomer: Newcomer, membership: Membership) -> dict[str, Any]:
        """What of `server.yaml` is the cluster's; folders and logging are the new machine's own."""
        config = self._config
        return {
            "replica": name,
            "cluster_uid": config.cluster_uid,
            "replicas": {**self._hosts(), name: newcomer.host},
            "replica_uids": {**{each.replica: each.uid for each in membership.members}, name: newcomer.uid},
            "incarnation": membership.incarnation,
            "joined": True,
            "grpc_port": config.grpc_port,
            "raft_port": config.raft_port,
            "https_port": config.https_port,
            "pod_range": config.pod_range,
            "service_range": config.service_range,
            "cluster_domain": config.cluster_domain,
            "time_factor": config.time_factor,
        }


def raft_ca_of(folder: Path) -> pki.KeyPair | None:
    """The Raft CA with its key; None where a cluster was made before replicas kept it."""
    key = folder / "raft-ca.key"
    if not key.is_file():
        return None
    return pki.KeyPair((folder / "raft-ca.crt").read_bytes(), key.read_bytes())
