"""Who asks: the identity behind a connection or a token, and the one that it may act as.

What they may do is decided by the core's authorizer, before it is asked for anything and again for what it does for whom.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from api.errors import Unauthenticated
from controlplane.admission.request import Identity
from controlplane.apiserver.accounts.bearer import BearerAuthenticator, bearer_token
from controlplane.apiserver.authn import Authenticator

CALLER: Final = web.RequestKey("caller", Identity)
"""Who showed a certificate or a token, once that is known, for the audit log."""

ACTING: Final = web.RequestKey("acting", Identity)
"""Whom the caller acts as; the caller itself where nothing else is asked for."""


class Callers:
    """Tells callers apart by the certificate that their TLS connection showed, else by the bearer token of the request."""

    def __init__(self, authenticator: Authenticator, bearer: BearerAuthenticator) -> None:
        self._authenticator = authenticator
        self._bearer = bearer

    async def identify(self, request: web.Request) -> Identity:
        """Return who asks. Unauthenticated without a certificate of the cluster and without a token that is good here.

        Forbidden, Invalid: the headers ask for acting as somebody else, and that may not be, or not so.
        """
        tls = request.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        if certificate:
            identity = self._authenticator.of_certificate(certificate)
            self._authenticator.follow_certificate(certificate)
        elif token := bearer_token(request.headers.get("Authorization", "")):
            identity = (await self._bearer.caller(token)).identity
        else:
            raise Unauthenticated("a client certificate or a bearer token is needed")
        request[CALLER] = identity
        # Names are made small only where they may be asked for: this runs for every request.
        headers = [(name.lower(), value) for name, value in request.headers.items() if name[0] in "Ii"]
        request[ACTING] = acting = self._authenticator.acting(identity, headers)  # all of Impersonate-* matter
        return acting
