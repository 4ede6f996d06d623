"""Why no connection to a replica comes about: one handshake with Python's own TLS, which tells more than gRPC does.

Asked only when nothing else works, so it may take its time. Knows addresses and certificates, nothing of calls.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass

from component.env import Env, rfc3339
from component.rpc import API_SERVER_NAME, Tls

PROBE_SECONDS = 2.0
HTTP2 = "h2"
AGAIN = "copy admin.conf from a replica of this cluster again"
ANOTHER = "make another one on a replica (`tim pki user`)"

# Of OpenSSL's x509_vfy.h, which Python passes on in verify_code.
NOT_YET_VALID, EXPIRED, OTHER_NAME = 9, 10, 62


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands between this client and a replica, and the remedy. `lasting`: waiting will not mend it."""

    text: str
    lasting: bool = False


class Handshake:
    """Tells what is wrong between `tls`, read from the file `source`, and the replicas.

    `remedy` replaces that file; `renewal` a certificate that has expired, in the file `expiring` if that is another one.
    """

    def __init__(
        self, tls: Tls, source: str, env: Env, *, remedy: str = AGAIN, expiring: str = "", renewal: str = ANOTHER
    ) -> None:
        self._tls = tls
        self._source = source
        self._env = env
        self._remedy = remedy
        self._expiring = expiring or source
        self._renewal = renewal

    async def obstacle(self, address: str) -> Obstacle | None:
        """What keeps us from the replica at `address` ("host:port"); None when a connection comes about now."""
        return self._own_fault() or await self._outcome(address)

    async def _outcome(self, address: str) -> Obstacle | None:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await self._refusal(address)
        except TimeoutError:
            return Obstacle("no answer")
        except ssl.SSLCertVerificationError as error:
            return Obstacle(self._untrusted(error, address), lasting=True)
        except ssl.SSLError:
            return Obstacle("what listens there does not speak TLS as an API server does")
        except socket.gaierror:
            return Obstacle("no such host name")
        except OSError as error:
            return Obstacle(os.strerror(error.errno).lower() if error.errno else "it hangs up")

    async def _refusal(self, address: str) -> Obstacle | None:
        """With TLS 1.3 a server judges our certificate after our side is done: it speaks first, or hangs up."""
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(
            host.strip("[]"), int(port), ssl=self._context(), server_hostname=API_SERVER_NAME
        )
        try:
            if writer.get_extra_info("ssl_object").selected_alpn_protocol() != HTTP2:
                return Obstacle(
                    f"what listens at {address} is no gRPC API: its port is 7443 unless it was configured", lasting=True
                )
            if await reader.read(1):
                return None
        finally:
            writer.close()
        from component import pki  # noqa: PLC0415 - cryptography takes long to load, and few starts fail

        try:
            pki.check_signed_by(self._tls.cert_pem, self._tls.ca_pem)
        except pki.CertificateProblem:
            return self._lasting("the client certificate is not signed by the cluster's CA")
        return Obstacle("it hangs up after the TLS handshake, as when it refuses a client's certificate")

    def _own_fault(self) -> Obstacle | None:
        """What can be told of our certificate and key without asking anybody."""
        from component import pki  # noqa: PLC0415 - cryptography takes long to load, and few starts fail

        try:
            self._context()
            subject = pki.read_subject(self._tls.cert_pem)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                return self._lasting("client-key does not belong to client-certificate")
            return self._lasting("certificate-authority, client-certificate or client-key is no PEM")
        except pki.CertificateProblem as problem:
            return self._lasting(f"client-certificate: {problem}")
        now = self._env.now()
        if now >= subject.not_after:
            expired = f"the client certificate has expired on {rfc3339(subject.not_after)}"
            return Obstacle(f"{self._expiring}: {expired}: {self._renewal}", lasting=True)
        if now < subject.not_before:
            return Obstacle(f"{self._source}: the client certificate is not valid yet: set this machine's clock", True)
        return None

    def _lasting(self, what: str) -> Obstacle:
        return Obstacle(f"{self._source}: {what}: {self._remedy}", lasting=True)

    def _untrusted(self, error: ssl.SSLCertVerificationError, address: str) -> str:
        whose = f"the certificate of the API server at {address}"
        if error.verify_code in {NOT_YET_VALID, EXPIRED}:
            state = "has expired" if error.verify_code == EXPIRED else "is not valid yet"
            return f"{whose} {state}: renew it there, or set this machine's clock"
        if error.verify_code == OTHER_NAME:
            return f"the server at {address} is no API server: its certificate is not for {API_SERVER_NAME}"
        return (
            f"{whose} is not signed by the CA in {self._source} (certificate-authority):"
            f" it is another cluster's, or {self._remedy}"
        )

    def _context(self) -> ssl.SSLContext:
        """As gRPC would connect. Raises ssl.SSLError for keys and certificates that cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self._tls.ca_pem.decode(errors="replace"))
        context.set_alpn_protocols([HTTP2])
        # Python takes keys from files only; this one is memory that nobody else can open.
        descriptor = os.memfd_create("client", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, self._tls.cert_pem + b"\n" + self._tls.key_pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return context
