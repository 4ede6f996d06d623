"""Who asks: the identity in the peer's verified certificate, or the one that it may act as."""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Iterable

from api.errors import Unauthenticated
from component import pki
from component.rpc_server import Context
from controlplane.admission.request import LOCAL_ADMIN, Identity
from controlplane.apiserver.authorizer import Authorizer
from controlplane.apiserver.impersonation import assumed
from controlplane.apiserver.open_calls import OpenCalls
from controlplane.revocations import Revocations

CACHED_CERTIFICATES = 20_000
"""More than nodes and people have; an entry is about 1 KB."""


LOCAL_PEER = "unix:"
"""What gRPC calls a peer at a Unix socket, of which there is one: `admin_socket` lets only root come to it."""


class Authenticator:
    """Reads identities from certificates that TLS has already verified; remembers them, parsing costs 30 µs.

    Whoever may impersonate others is, for a call with metadata that says so, somebody else.
    """

    def __init__(
        self, authorizer: Authorizer, revocations: Revocations | None = None, calls: OpenCalls | None = None
    ) -> None:
        self._authorizer = authorizer
        self._revocations = revocations
        self._calls = calls
        self._known: OrderedDict[bytes, tuple[Identity, pki.Subject]] = OrderedDict()
        self._latest: tuple[Context | None, Identity] = (None, Identity(""))

    def identify(self, context: Context) -> Identity:
        """Return who makes an RPC. Unauthenticated when the peer showed no certificate that names one.

        Forbidden, Invalid: it asks to act as somebody else, and may not, or not in this way.
        """
        latest, identity = self._latest
        if latest is not context:  # the check of a call and its handler ask one right after the other
            identity = self.acting(self.shown(context), _metadata(context))
            self._latest = context, identity
        return identity

    def acting(self, identity: Identity, headers: Iterable[tuple[str, str | bytes]]) -> Identity:
        """Return who `identity` acts as, by headers whose names are in small letters; itself without any. Forbidden."""
        return assumed(self._authorizer, identity, headers)

    def shown(self, context: Context) -> Identity:
        """Return whose certificate the peer showed, whomever it acts as; the local administrator at a Unix socket.

        Unauthenticated.
        """
        certificate = _certificate(context)
        if not certificate and context.peer().startswith(LOCAL_PEER):
            return LOCAL_ADMIN
        return self.of_certificate(certificate)

    def of_certificate(self, certificate: bytes) -> Identity:
        """Return the identity in a verified certificate, PEM or DER.

        Unauthenticated when there is none, it names nobody, or it was revoked.
        """
        known = self._known.get(certificate)
        if known is None:
            known = self._known[certificate] = identity_of(certificate)
            if len(self._known) > CACHED_CERTIFICATES:
                self._known.popitem(last=False)
        if self._revocations is not None:
            self._revocations.check(known[1])
        return known[0]

    def follow(self, context: Context) -> None:
        """End the RPC, whose caller was identified, when its certificate is revoked."""
        self.follow_certificate(_certificate(context))

    def follow_certificate(self, certificate: bytes) -> None:
        """End the task that asks for this when the certificate, which was identified, is revoked."""
        if self._calls is not None and certificate in self._known:
            self._calls.follow(self._known[certificate][1])


def _certificate(context: Context) -> bytes:
    found: bytes = next(iter(context.auth_context().get("x509_pem_cert", ())), b"")
    return found


def _metadata(context: Context) -> Iterable[tuple[str, str | bytes]]:
    found: Iterable[tuple[str, str | bytes]] = context.invocation_metadata() or ()
    return found


def identity_of(certificate: bytes) -> tuple[Identity, pki.Subject]:
    """Common name and organisations of a certificate, PEM or DER, and all of its subject. Unauthenticated without."""
    if not certificate:
        raise Unauthenticated("a client certificate is needed")
    pem = certificate if certificate.startswith(b"-----") else ssl.DER_cert_to_PEM_cert(certificate).encode()
    try:
        subject = pki.read_subject(pem)
    except pki.CertificateProblem as problem:
        raise Unauthenticated(f"the client certificate cannot be read: {problem}") from problem
    if not subject.common_name:
        raise Unauthenticated("the client certificate names no user: its subject needs a CN")
    return Identity(subject.common_name, subject.groups), subject
