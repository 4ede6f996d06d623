"""The node's certificate: what connections are made with, and having it signed anew long before it expires.

The key stays the same, so that only one file changes and a crash at any moment leaves a pair that fits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import structlog

from api.v1 import apiserver_pb2 as pb
from component import pki
from component.env import Env
from component.files import write_private
from component.rpc import Tls, error_of

log = structlog.get_logger()

FIRST_LOOK_SECONDS = 20.0  # after a start: the session is there by then
LOOK_SECONDS = 600.0
DEADLINE_SECONDS = 10.0
_METHOD = "/api.v1.ApiServer/RenewCertificate"

Channel = Callable[[], grpc.aio.Channel | None]
"""The channel of the session; None while there is none."""


class OwnCertificate:
    """What to connect with, as it is now. OSError when a file cannot be read."""

    def __init__(self, ca_path: str, cert_path: str, key_path: str) -> None:
        self._cert_path = Path(cert_path)
        self.tls = Tls(*(Path(path).read_bytes() for path in (ca_path, cert_path, key_path)))

    def replace(self, cert_pem: bytes) -> None:
        """Take another certificate of the same key: on disk, and for connections from now on.

        CertificateProblem for one that another CA signed, of another key or another name; OSError.
        """
        old = self.tls
        pki.check_signed_by(cert_pem, old.ca_pem)
        pki.check_key(cert_pem, old.key_pem)
        before, after = pki.read_subject(old.cert_pem), pki.read_subject(cert_pem)
        if (before.common_name, before.groups) != (after.common_name, after.groups):
            raise pki.CertificateProblem(f"it is for {after.common_name!r}, not {before.common_name!r}")
        write_private(self._cert_path, cert_pem)
        self.tls = Tls(old.ca_pem, cert_pem, old.key_pem)


class CertificateRenewal:
    """Renews at two thirds of the certificate's life, and tries again every ten minutes if that fails."""

    def __init__(self, own: OwnCertificate, channel: Channel, env: Env) -> None:
        self._own = own
        self._channel = channel
        self._env = env

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        await asyncio.sleep(FIRST_LOOK_SECONDS)
        while True:
            await self.renew_if_due()
            await asyncio.sleep(LOOK_SECONDS)

    async def renew_if_due(self) -> bool:
        """Renew if it is time; whether that was done. Failures are logged: there is a third of a year to mend them."""
        channel, tls = self._channel(), self._own.tls
        if channel is None or self._env.now() < pki.renewal_time(tls.cert_pem):
            return False
        try:
            cert_pem = await self._signed(channel, tls)
            await asyncio.to_thread(self._own.replace, cert_pem)
        except grpc.aio.AioRpcError as error:
            self._tell(str(error_of(error)))
        except (grpc.aio.UsageError, pki.CertificateProblem, OSError) as error:
            self._tell(str(error))
        else:
            days = pki.days_left(cert_pem, self._env.now())
            log.info("certificate_renewed", days_left=round(days, 1))
            return True
        return False

    async def _signed(self, channel: grpc.aio.Channel, tls: Tls) -> bytes:
        request_pem = pki.request_for(tls.key_pem, pki.read_subject(tls.cert_pem).common_name)
        call: Any = channel.unary_unary(
            _METHOD,
            request_serializer=pb.RenewCertificateRequest.SerializeToString,
            response_deserializer=pb.RenewCertificateResponse.FromString,
        )
        request = pb.RenewCertificateRequest(request=request_pem.decode())
        response: pb.RenewCertificateResponse = await call(request, timeout=DEADLINE_SECONDS)
        return response.certificate.encode()

    def _tell(self, error: str) -> None:
        days = pki.days_left(self._own.tls.cert_pem, self._env.now())
        log.warning("certificate_not_renewed", days_left=round(days, 1), error=error)
