"""Who shows a token: of a service account, signed by this cluster, or of a user, from the file of tokens."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from api.errors import Unauthenticated
from component import jwt
from component.env import Env
from component.signing import BadSignature, SigningKeys
from controlplane.apiserver.accounts.claims import Caller, Claims, check_bound, check_claims, read_claims
from controlplane.apiserver.accounts.issuing import StateView
from controlplane.apiserver.accounts.static import StaticTokens

CACHED_TOKENS = 4_096
"""Whose signature was good, about 2 KB each: verifying one costs 150 µs. Everything else is looked at every time."""

SCHEME = "bearer"


class BearerAuthenticator:
    """Knows callers by their tokens. Nothing is remembered but signatures, so a deletion counts at once."""

    def __init__(self, view: StateView, keys: SigningKeys, static: StaticTokens, issuer: str, env: Env) -> None:
        self._view = view
        self._keys = keys
        self._static = static
        self._issuer = issuer
        self._env = env
        self._signed: OrderedDict[str, Claims] = OrderedDict()

    async def caller(self, token: str, audiences: tuple[str, ...] = ()) -> Caller:
        """Who shows `token` to one of `audiences`, to the API when there are none. Unauthenticated, Unavailable.

        What this replica's state refuses is looked at again once it has caught up: it may not know the account yet.
        """
        known = self._static.caller(token)
        if known is not None:
            meant = tuple(audience for audience in audiences if audience == self._issuer)
            if audiences and not meant:
                raise Unauthenticated("the token is for another audience")
            return replace(known, audiences=meant or (self._issuer,))
        claims = self._claims(token)
        meant = check_claims(claims, issuer=self._issuer, audiences=audiences or (self._issuer,), now=self._env.now())
        try:
            found = check_bound(claims, self._view.state, self._env.now())
        except Unauthenticated:
            await self._view.read_barrier()
            found = check_bound(claims, self._view.state, self._env.now())
        return replace(found, audiences=meant)

    def _claims(self, token: str) -> Claims:
        known = self._signed.get(token)
        if known is None:
            try:
                known = read_claims(self._keys.verified(jwt.parts(token)))
            except (jwt.Malformed, BadSignature) as error:
                raise Unauthenticated(f"the token is not known here: {error}") from error
            self._signed[token] = known
            if len(self._signed) > CACHED_TOKENS:
                self._signed.popitem(last=False)
        return known


def bearer_token(authorization: str) -> str:
    """The token in an Authorization header, "" for a header of another scheme or none (RFC 6750, section 2.1)."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == SCHEME else ""
