"""Signing a node's certificate anew, for the node itself, as long as its Node is there."""

from __future__ import annotations

from typing import Any

import grpc
import structlog

from api.errors import Forbidden, Invalid, NotFound
from api.v1 import apiserver_pb2 as pb
from component import pki
from component.client import ApiClient
from component.env import Env
from component.rpc_server import Context
from controlplane.admission.request import NODE_USER_PREFIX, NODES_GROUP
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.join import LARGEST_REQUEST_CHARACTERS

log = structlog.get_logger()


class RenewalDesk:
    """Any replica can: each holds the CA's key."""

    def __init__(self, client: ApiClient, ca: pki.KeyPair, authenticator: Authenticator, env: Env) -> None:
        self._client = client
        self._ca = ca
        self._authenticator = authenticator
        self._env = env

    async def renew(self, node: str, request_pem: str) -> bytes:
        """Return a certificate of a node for the key of the request. Invalid; Forbidden once the Node was deleted."""
        if len(request_pem) > LARGEST_REQUEST_CHARACTERS:
            raise Invalid("the certificate request is too large")
        try:
            await self._client.get("nodes", "", node)
        except NotFound as error:
            raise Forbidden(f"node {node!r} was removed from the cluster: its certificate is not renewed") from error
        try:
            signed = pki.sign_request(
                self._ca, request_pem.encode(), NODE_USER_PREFIX + node, self._env.now(), groups=[NODES_GROUP]
            )
        except pki.CertificateProblem as problem:
            raise Invalid(str(problem)) from problem
        log.info("certificate_renewed", node=node)
        return signed

    async def renew_certificate(
        self, request: pb.RenewCertificateRequest, context: Context
    ) -> pb.RenewCertificateResponse:
        """RenewCertificate."""
        node = self._authenticator.identify(context).node
        if not node:
            raise Forbidden("only nodes renew their certificates so")
        return pb.RenewCertificateResponse(certificate=(await self.renew(node, request.request)).decode())

    def handler(self) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of the RPC."""
        return grpc.unary_unary_rpc_method_handler(
            self.renew_certificate,
            pb.RenewCertificateRequest.FromString,
            pb.RenewCertificateResponse.SerializeToString,
        )
