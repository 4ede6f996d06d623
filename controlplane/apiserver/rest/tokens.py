"""Tokens over HTTPS: asking for one, asking whose one is, and what others need to check them by themselves.

Nothing is decided here: tokens are made by `TokenDesk` and recognised by `BearerAuthenticator`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web

from api.errors import Unauthenticated
from api.object import Tree
from component.signing import ALGORITHM, SigningKeys
from controlplane.apiserver.accounts.bearer import BearerAuthenticator
from controlplane.apiserver.accounts.claims import Caller
from controlplane.apiserver.accounts.issuing import BoundObject, TokenDesk, TokenRequest
from controlplane.apiserver.rest import answers, bodies
from controlplane.apiserver.rest.api import Document
from controlplane.apiserver.rest.procedures import Asked, Procedure
from controlplane.apiserver.rest.refusals import bad_request

GROUP = "authentication.k8s.io/v1"
CONFIGURATION_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/openid/v1/jwks"


class _BoundObjectReference(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    kind: str = ""
    api_version: str = ""
    name: str = ""
    uid: str = ""


class _TokenRequestSpec(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    audiences: tuple[str, ...] | None = None
    expiration_seconds: int | None = None
    bound_object_ref: _BoundObjectReference | None = None


class _TokenRequest(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    api_version: str
    kind: str
    spec: _TokenRequestSpec = msgspec.field(default_factory=_TokenRequestSpec)
    metadata: dict[str, Any] | None = None
    status: Any = None  # clients of Go send an empty one


class _TokenReviewSpec(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    token: str = ""
    audiences: tuple[str, ...] | None = None


class _TokenReview(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    api_version: str
    kind: str
    spec: _TokenReviewSpec = msgspec.field(default_factory=_TokenReviewSpec)
    metadata: dict[str, Any] | None = None
    status: Any = None


class TokenProcedures:
    """The two posts: serviceaccounts/token (TokenRequest) and tokenreviews."""

    def __init__(self, desk: TokenDesk, bearer: BearerAuthenticator) -> None:
        self._desk = desk
        self._bearer = bearer

    def all(self) -> Sequence[Procedure]:
        """Both."""
        return (
            Procedure(
                *("v1", "serviceaccounts", "TokenRequest"),
                namespaced=True,
                answer=self.request,
                subresource="token",
                kind_version=GROUP,
            ),
            Procedure(GROUP, "tokenreviews", "TokenReview", namespaced=False, answer=self.review),
        )

    async def request(self, asked: Asked) -> Tree:
        """Make a token for the service account of the path."""
        if asked.query.get("dryRun"):
            raise bad_request("dryRun is not supported for tokens")
        spec = bodies.converted(asked.tree, _TokenRequest, "TokenRequest").spec
        reference = spec.bound_object_ref
        bound = None
        if reference is not None:
            bound = BoundObject(reference.kind, reference.name, reference.uid, reference.api_version)
        target = asked.target
        wanted = TokenRequest(
            target.namespace, target.name, tuple(spec.audiences or ()), spec.expiration_seconds, bound
        )
        made = await self._desk.issue(asked.identity, wanted)
        return {
            **asked.tree,
            "metadata": {"name": target.name, "namespace": target.namespace},
            "spec": {
                **asked.tree.get("spec", {}),
                "audiences": list(made.audiences),
                "expirationSeconds": made.expiration_seconds,
            },
            "status": {"token": made.token, "expirationTimestamp": made.expiration_time},
        }

    async def review(self, asked: Asked) -> Tree:
        """Tell whose a token is. One that is good for nobody is an answer, too."""
        spec = bodies.converted(asked.tree, _TokenReview, "TokenReview").spec
        if not spec.token:
            raise bad_request("spec.token: Required value")
        try:
            status = _told(await self._bearer.caller(spec.token, tuple(spec.audiences or ())))
        except Unauthenticated as error:
            status = {"authenticated": False, "user": {}, "error": str(error)}
        return {**asked.tree, "status": status}


def _told(caller: Caller) -> Tree:
    user: Tree = {"username": caller.identity.user, "groups": list(caller.identity.groups)}
    if caller.uid:
        user["uid"] = caller.uid
    if caller.extra:
        user["extra"] = {name: list(values) for name, values in caller.extra.items()}
    return {"authenticated": True, "user": user, "audiences": list(caller.audiences)}


def key_documents(keys: SigningKeys, issuer: str) -> Mapping[str, Document]:
    """What those who check our tokens themselves look up (OpenID Connect Discovery 1.0), by path."""
    configuration = {
        "issuer": issuer,
        "jwks_uri": f"{issuer}{KEYS_PATH}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }

    async def tell_configuration(request: web.Request) -> web.StreamResponse:
        return await answers.tree(request, configuration)

    async def tell_keys(request: web.Request) -> web.StreamResponse:
        return await answers.tree(request, keys.jwks())

    return {CONFIGURATION_PATH: tell_configuration, KEYS_PATH: tell_keys}
