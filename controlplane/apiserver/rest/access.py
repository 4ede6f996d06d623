"""Who asks and what for: the identity behind a connection, and whether it may.

`Callers.identify` is the only place that knows how somebody proves who they are, `authorize` the only one that decides
before the core is asked; the core checks again what it does for whom.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from api.errors import Forbidden
from controlplane.admission.request import Identity
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.authz import API_METHODS, ROLES, roles_of


class Callers:
    """Tells callers apart by the certificate that their TLS connection showed."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def identify(self, request: web.Request) -> Identity:
        """Return who asks. Unauthenticated when the connection shows no certificate of the cluster."""
        tls = request.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        pem = ssl.DER_cert_to_PEM_cert(certificate).encode() if certificate else b""
        return self._authenticator.of_certificate(pem)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody wants to do, in the words of Kubernetes' authorization. `name` and `namespace` "" mean all.

    `resource` is the plural without its group. What is no resource has a `path` instead and the verb "get" or "post".
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


_METHODS: Final[Mapping[str, str]] = {
    "get": "Get",
    "list": "List",
    "watch": "Watch",
    "create": "Create",
    "update": "Update",
    "patch": "Patch",
    "delete": "Delete",
    "deletecollection": "Delete",
}
_OF_SUBRESOURCES: Final[Mapping[tuple[str, str], str]] = {
    ("log", "get"): "Logs",
    ("exec", "get"): "Exec",
    ("exec", "create"): "Exec",
    ("binding", "create"): "Bind",
    ("status", "update"): "UpdateStatus",
}


def authorize(identity: Identity, asked: Attributes) -> None:
    """Raise Forbidden unless `identity` may: by the same table of roles as RPCs. Documents are for everybody known."""
    if asked.path:
        return
    method = _OF_SUBRESOURCES.get((asked.subresource, asked.verb)) or _METHODS[asked.verb]
    if roles_of(identity) & ROLES[API_METHODS + method]:
        return
    resource = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    where = f' in the namespace "{asked.namespace}"' if asked.namespace else ""
    raise Forbidden(
        f'User "{identity.user}" cannot {asked.verb} resource "{resource}" in API group "{asked.group}"{where}'
    )
