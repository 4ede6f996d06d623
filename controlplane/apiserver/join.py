"""Letting machines in: tokens for administrators, certificates for who brings one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

import structlog

from api.errors import AlreadyExists, Conflict, Invalid, NotFound, Unauthenticated
from api.object import Tree
from api.v1 import apiserver_pb2
from component import pki
from component.client import ApiClient
from component.env import Env
from controlplane.admission.request import NODE_USER_PREFIX, NODES_GROUP, Identity
from controlplane.apiserver.core import ApiCore
from controlplane.apiserver.tokens import (
    NAMESPACE,
    TYPE,
    Role,
    check_token,
    expired,
    key_of_token,
    make_token,
    use_token,
)

log = structlog.get_logger()

LARGEST_REQUEST_CHARACTERS = 8_192
ROLES: Mapping[str, Role] = {"": "node", "node": "node", "replica": "replica", "renewal": "renewal"}


class JoinDesk:
    """Makes tokens and signs the certificates of those who bring one. Any replica can: each holds the CA's key."""

    def __init__(
        self,
        core: ApiCore,
        client: ApiClient,
        ca: pki.KeyPair,
        endpoints: Callable[[], Mapping[str, str]],
        cluster_uid: str,
        env: Env,
    ) -> None:
        self._core = core
        self._client = client
        self._ca = ca
        self._endpoints = endpoints
        self._cluster_uid = cluster_uid
        self._env = env

    @property
    def ca_pem(self) -> bytes:
        """The CA's certificate, which everybody may see."""
        return self._ca.cert_pem

    async def create_token(
        self, request: apiserver_pb2.CreateJoinTokenRequest
    ) -> apiserver_pb2.CreateJoinTokenResponse:
        """Make and store a token; those that have expired are deleted. Invalid for other roles than there are."""
        role = ROLES.get(request.role)
        if role is None:
            raise Invalid(f"role {request.role!r}: there are tokens for node, replica and renewal")
        token = make_token(self._env, role, request.name, request.ttl_seconds)
        await self._delete_expired()
        await self._client.create(token.secret)
        return apiserver_pb2.CreateJoinTokenResponse(
            token=token.text, ca_hash=pki.ca_hash(self._ca.cert_pem), expires_time=token.expires_time
        )

    async def _delete_expired(self) -> None:
        found = await self._client.list("secrets", NAMESPACE, field_selector=f"type={TYPE}")
        for secret in found.items:
            if expired(secret.tree(), self._env.now()):
                with contextlib.suppress(NotFound, Conflict):  # another replica was faster
                    await self._client.delete("secrets", NAMESPACE, secret.name, uid=secret.uid)

    async def join(self, identity: Identity, token: str, name: str, request_pem: str) -> Mapping[str, object]:
        """Use the token up, make the Node and sign its certificate: all of it or nothing.

        Unauthenticated when the token is not good for this name; Invalid for a bad name or request.
        """
        key = key_of_token(token)
        certificate = self._signed(name, request_pem)
        tree: Tree = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}}
        try:
            await self._core.create_spending(
                identity, tree, lambda state: use_token(token, state.state.get(key), "node", name, self._env.now())
            )
        except AlreadyExists as error:
            message = f"node {name!r} exists: delete it first (`tim delete node {name}`), or join under another name"
            raise AlreadyExists(message) from error
        log.info("node_joined", node=name)
        return {
            "certificate": certificate.decode(),
            "endpoints": list(self._endpoints().values()),
            "cluster_uid": self._cluster_uid,
        }

    async def renew(self, token: str, name: str, request_pem: str) -> Mapping[str, object]:
        """Use the token up and sign the certificate of a node that has a Node, whose own may have expired.

        Unauthenticated when the token is not good for this; NotFound without a Node; Invalid for a bad request.
        """
        key = key_of_token(token)
        certificate = self._signed(name, request_pem)
        try:
            secret = await self._client.get("secrets", key.namespace, key.name)
        except NotFound as error:
            raise Unauthenticated(
                f"the token is unknown: it was used or has expired; make one with `tim token create --renew --name {name}`"
            ) from error
        check_token(token, secret.tree(), "renewal", name, self._env.now())
        try:
            await self._client.get("nodes", "", name)
        except NotFound as error:
            raise NotFound(
                f"node {name!r} was removed from the cluster: `tim reset` its machine and join it"
            ) from error
        try:
            await self._client.delete("secrets", key.namespace, key.name, uid=secret.uid)
        except (NotFound, Conflict) as error:
            raise Unauthenticated("the token was used a moment ago") from error
        log.info("certificate_renewed", node=name)
        return {"certificate": certificate.decode()}

    def _signed(self, name: str, request_pem: str) -> bytes:
        if len(request_pem) > LARGEST_REQUEST_CHARACTERS:
            raise Invalid("the certificate request is too large")
        try:
            return pki.sign_request(
                self._ca, request_pem.encode(), NODE_USER_PREFIX + name, self._env.now(), groups=[NODES_GROUP]
            )
        except pki.CertificateProblem as problem:
            raise Invalid(str(problem)) from problem
