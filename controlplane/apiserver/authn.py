"""Who asks: the identity in the peer's verified certificate."""

from __future__ import annotations

from collections import OrderedDict

from api.errors import Unauthenticated
from component import pki
from component.rpc_server import Context
from controlplane.admission.request import Identity

CACHED_CERTIFICATES = 20_000
"""More than nodes and people have; an entry is about 1 KB."""


class Authenticator:
    """Reads identities from certificates that TLS has already verified; remembers them, parsing costs 30 µs."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Identity] = OrderedDict()
        self._latest: tuple[Context | None, Identity] = (None, Identity(""))

    def identify(self, context: Context) -> Identity:
        """Return the identity of the peer of an RPC. Unauthenticated when it showed no certificate that names one."""
        latest, identity = self._latest
        if latest is not context:  # the check of a call and its handler ask one right after the other
            identity = self._identify(context)
            self._latest = context, identity
        return identity

    def _identify(self, context: Context) -> Identity:
        return self.of_certificate(next(iter(context.auth_context().get("x509_pem_cert", ())), b""))

    def of_certificate(self, pem: bytes) -> Identity:
        """Return the identity in a verified certificate. Unauthenticated when there is none, or it names nobody."""
        identity = self._known.get(pem)
        if identity is None:
            identity = self._known[pem] = identity_of(pem)
            if len(self._known) > CACHED_CERTIFICATES:
                self._known.popitem(last=False)
        return identity


def identity_of(pem: bytes) -> Identity:
    """Common name and organisations of a certificate. Unauthenticated when there is none."""
    if not pem:
        raise Unauthenticated("a client certificate is needed")
    try:
        subject = pki.read_subject(pem)
    except pki.CertificateProblem as problem:
        raise Unauthenticated(f"the client certificate cannot be read: {problem}") from problem
    if not subject.common_name:
        raise Unauthenticated("the client certificate names no user: its subject needs a CN")
    return Identity(subject.common_name, subject.groups)
