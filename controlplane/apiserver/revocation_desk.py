"""Revoking certificates and listing what is revoked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import grpc
import structlog

from api.errors import FieldError, Invalid, NotReady, TooLarge
from api.v1 import apiserver_pb2 as pb
from component.env import Env
from component.rpc_server import Context
from controlplane.apiserver.authn import Authenticator
from controlplane.replica import Replica
from controlplane.revocations import LIMIT, LONGEST_SECONDS, Revocation, of_name, of_serial, recorded, revoking

NAME_CHARACTERS: Final = 256
REPLICA_PREFIX: Final = "system:replica:"

_SERIAL: Final = re.compile(r"[0-9A-Fa-f:]{1,64}")

log = structlog.get_logger()


class RevocationDesk:
    """The RPCs; `authenticator` tells who asks."""

    def __init__(self, replica: Replica, authenticator: Authenticator, env: Env) -> None:
        self._replica = replica
        self._authenticator = authenticator
        self._env = env

    async def revoke(self, request: pb.RevokeCertificateRequest, context: Context) -> pb.RevokeCertificateResponse:
        """RevokeCertificate."""
        value = _value(request)
        if not math.isfinite(
            request.expires_time
        ):  # what cannot be written as JSON could not be read again, by anybody
            raise Invalid("the revocation is invalid", [FieldError("expires_time", "must be seconds since the epoch")])
        await self._replica.read_barrier()
        membership = self._replica.status.membership
        member = request.name.removeprefix(REPLICA_PREFIX) if request.name.startswith(REPLICA_PREFIX) else ""
        if member and membership is not None and membership.member(member) is not None:
            raise NotReady(f"replica {member} is a member: remove it first (`tim replica remove {member}`)")
        if len(recorded(self._replica.state)) >= LIMIT:
            raise TooLarge(f"{LIMIT} certificates are revoked already: sign with a new authority instead")
        actor, now = self._authenticator.identify(context).actor, self._env.now()
        expires_time = min(request.expires_time or now + LONGEST_SECONDS, now + LONGEST_SECONDS)
        await self._replica.commit(revoking(value, Revocation(actor, now, expires_time)), actor=actor)
        log.info("certificate_revoked", what=value, by=actor)
        return pb.RevokeCertificateResponse()

    async def listed(self, request: pb.ListRevokedRequest, context: Context) -> pb.ListRevokedResponse:
        """ListRevoked."""
        del request, context
        await self._replica.read_barrier()
        response = pb.ListRevokedResponse()
        for value, each in recorded(self._replica.state).items():
            what, _, text = value.partition("/")
            response.revoked.add(**{what: text}, by=each.by, time=each.time, expires_time=each.expires_time)
        return response

    def handlers(self) -> Mapping[str, Any]:
        """The methods of the API."""
        return {
            "RevokeCertificate": grpc.unary_unary_rpc_method_handler(
                self.revoke, pb.RevokeCertificateRequest.FromString, pb.RevokeCertificateResponse.SerializeToString
            ),
            "ListRevoked": grpc.unary_unary_rpc_method_handler(
                self.listed, pb.ListRevokedRequest.FromString, pb.ListRevokedResponse.SerializeToString
            ),
        }


def _value(request: pb.RevokeCertificateRequest) -> str:
    if bool(request.name) == bool(request.serial):
        raise Invalid("name a certificate's subject or its serial number, one of both")
    if len(request.name) > NAME_CHARACTERS:
        raise Invalid(f"a name has at most {NAME_CHARACTERS} characters")
    if request.serial and not _SERIAL.fullmatch(request.serial):
        raise Invalid(f"serial {request.serial!r} is no hexadecimal number, as `openssl x509 -noout -serial` prints it")
    return of_name(request.name) if request.name else of_serial(request.serial)
