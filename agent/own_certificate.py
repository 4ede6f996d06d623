"""The node's certificate: what connections are made with, and having it signed anew long before it expires.

The key stays the same, so that only one file changes and a crash at any moment leaves a pair that fits.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from agent.session_calls import NotAnswered, SessionCalls
from api.v1 import apiserver_pb2 as pb
from component import pki
from component.env import Env
from component.files import write_private
from component.rpc import Tls

log = structlog.get_logger()

FIRST_LOOK_SECONDS = 20.0  # after a start: the session is there by then
LOOK_SECONDS = 600.0


class OwnCertificate:
    """What to connect with, as it is now. OSError when a file cannot be read."""

    def __init__(self, ca_path: str, cert_path: str, key_path: str) -> None:
        self._cert_path = Path(cert_path)
        self.tls = Tls(*(Path(path).read_bytes() for path in (ca_path, cert_path, key_path)))
        self._refused = b""

    def look(self) -> None:
        """Take what somebody else put in its place since: `tim join --renew`, when it has expired. Else it stays."""
        try:
            found = self._cert_path.read_bytes()
            if found in {self.tls.cert_pem, self._refused}:
                return
            self._refused = found
            self.tls = self._with(found)
        except (OSError, pki.CertificateProblem) as error:
            log.warning("certificate_not_taken", path=str(self._cert_path), error=str(error))
        else:
            log.info("certificate_taken", path=str(self._cert_path))

    def replace(self, cert_pem: bytes) -> None:
        """Take another certificate of the same key: on disk, and for connections from now on.

        CertificateProblem for one that another CA signed, of another key or another name; OSError.
        """
        taken = self._with(cert_pem)
        write_private(self._cert_path, cert_pem, durable=True)
        self.tls = taken

    def _with(self, cert_pem: bytes) -> Tls:
        old = self.tls
        pki.check_signed_by(cert_pem, old.ca_pem)
        pki.check_key(cert_pem, old.key_pem)
        before, after = pki.read_subject(old.cert_pem), pki.read_subject(cert_pem)
        if (before.common_name, before.groups) != (after.common_name, after.groups):
            raise pki.CertificateProblem(f"it is for {after.common_name!r}, not {before.common_name!r}")
        return Tls(old.ca_pem, cert_pem, old.key_pem)


class CertificateRenewal:
    """Renews at two thirds of the certificate's life, and tries again every ten minutes if that fails."""

    def __init__(self, own: OwnCertificate, calls: SessionCalls, env: Env) -> None:
        self._own = own
        self._calls = calls
        self._env = env

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        await asyncio.sleep(FIRST_LOOK_SECONDS)
        while True:
            await self.renew_if_due()
            await asyncio.sleep(LOOK_SECONDS)

    async def renew_if_due(self) -> bool:
        """Renew if it is time; whether that was done. Failures are logged: there is a third of a year to mend them."""
        tls = self._own.tls
        if self._env.now() < pki.renewal_time(tls.cert_pem):
            return False
        try:
            cert_pem = await self._signed(tls)
            await asyncio.to_thread(self._own.replace, cert_pem)
        except (NotAnswered, pki.CertificateProblem, OSError) as error:
            days = pki.days_left(tls.cert_pem, self._env.now())
            log.warning("certificate_not_renewed", days_left=round(days, 1), error=str(error))
            return False
        days = pki.days_left(cert_pem, self._env.now())
        log.info("certificate_renewed", days_left=round(days, 1))
        return True

    async def _signed(self, tls: Tls) -> bytes:
        request_pem = pki.request_for(tls.key_pem, pki.read_subject(tls.cert_pem).common_name)
        request = pb.RenewCertificateRequest(request=request_pem.decode())
        answer = await self._calls.ask("RenewCertificate", request, pb.RenewCertificateResponse)
        return answer.certificate.encode()
