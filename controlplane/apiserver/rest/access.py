"""Who asks: the identity behind a connection, and the one that it may act as.

What they may do is decided by the core's authorizer, before it is asked for anything and again for what it does for whom.
"""

from __future__ import annotations

import ssl

from aiohttp import web

from controlplane.admission.request import Identity
from controlplane.apiserver.authn import Authenticator


class Callers:
    """Tells callers apart by the certificate that their TLS connection showed."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def identify(self, request: web.Request) -> Identity:
        """Return who asks. Unauthenticated when the connection shows no certificate of the cluster.

        Forbidden, Invalid: the headers ask for acting as somebody else, and that may not be, or not so.
        """
        tls = request.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        pem = ssl.DER_cert_to_PEM_cert(certificate).encode() if certificate else b""
        headers = ((name.lower(), value) for name, value in request.headers.items())
        return self._authenticator.acting(self._authenticator.of_certificate(pem), headers)
