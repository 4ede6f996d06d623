"""What the token of a service account says, and when it is true. Pure: no keys, no clock, no network.

Names and nesting are those of Kubernetes' bound service account tokens, so that its clients and others that read such
tokens understand ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from api.errors import Unauthenticated
from component import jwt
from component.env import parse_time
from controlplane.admission.request import ACCOUNTS_GROUP, AUTHENTICATED_GROUP, Identity
from controlplane.commands import Key, Stored
from controlplane.store.state import State

USER_PREFIX = "system:serviceaccount:"

EARLY_SECONDS = 60
"""A token counts so long before its time: the clock of the replica that made it may be ahead of ours."""

AFTER_DELETION_SECONDS = 60
"""What is bound to a pod counts so long after the pod should be gone: it may still be finishing (as in Kubernetes)."""

FINAL_PHASES = ("Succeeded", "Failed")


class Named(msgspec.Struct, frozen=True):
    """An object by name, and which one of that name."""

    name: str
    uid: str = ""


class Bound(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token belongs to: it is good only while all of it exists. The node is told, not checked."""

    namespace: str
    serviceaccount: Named
    pod: Named | None = None
    node: Named | None = None


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """The payload of a token; times are whole seconds since the epoch."""

    iss: str
    sub: str
    aud: tuple[str, ...]
    exp: int
    iat: int
    nbf: int
    jti: str
    bound: Bound = msgspec.field(name="kubernetes.io")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who showed a token. `audiences` are those of the token that were asked for; `extra` as TokenReview tells it."""

    identity: Identity
    uid: str = ""
    audiences: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def issuer_of(cluster_domain: str) -> str:
    """Who issues the tokens of a cluster, which is also the audience that the API itself is."""
    return f"https://kubernetes.default.svc.{cluster_domain}"


def account_identity(namespace: str, name: str) -> Identity:
    """Who a service account is to the API."""
    groups = (ACCOUNTS_GROUP, f"{ACCOUNTS_GROUP}:{namespace}", AUTHENTICATED_GROUP)
    return Identity(f"{USER_PREFIX}{namespace}:{name}", groups)


def claims_for(
    bound: Bound, audiences: Sequence[str], lifetime_seconds: int, *, issuer: str, now: float, token_id: str
) -> Claims:
    """The claims of a token that is made now."""
    issued = int(now)
    return Claims(
        iss=issuer,
        sub=f"{USER_PREFIX}{bound.namespace}:{bound.serviceaccount.name}",
        aud=tuple(audiences),
        exp=issued + lifetime_seconds,
        iat=issued,
        nbf=issued,
        jti=token_id,
        bound=bound,
    )


def read_claims(payload: bytes) -> Claims:
    """Read what a token of ours says. Unauthenticated."""
    try:
        claims = msgspec.json.decode(payload, type=Claims)
    except jwt.UNREADABLE as error:
        raise Unauthenticated("the token does not say what a service account's says") from error
    if claims.sub != f"{USER_PREFIX}{claims.bound.namespace}:{claims.bound.serviceaccount.name}":
        raise Unauthenticated("the token's subject is not the service account that it names")
    return claims


def check_claims(claims: Claims, *, issuer: str, audiences: Collection[str], now: float) -> tuple[str, ...]:
    """Return those of `audiences` that the token is for. Unauthenticated: it is for none, or not of this time or cluster."""
    if claims.iss != issuer:
        raise Unauthenticated("the token is another cluster's")
    if now >= claims.exp:
        raise Unauthenticated("the token has expired")
    if now < claims.nbf - EARLY_SECONDS:
        raise Unauthenticated("the token is not valid yet: compare the clocks of the replicas")
    meant = tuple(audience for audience in claims.aud if audience in audiences)
    if not meant:
        raise Unauthenticated("the token is for another audience")
    return meant


def check_bound(claims: Claims, state: State, now: float) -> Caller:
    """Return who shows the token, if all that it is bound to is there. Unauthenticated says what is not.

    A pod that ended for good vouches for nobody; one that is being deleted does until a little after its grace.
    """
    bound = claims.bound
    account = _same(state, Key("serviceaccounts", bound.namespace, bound.serviceaccount.name), bound.serviceaccount)
    if account is None or account.envelope.deletion_time:
        raise Unauthenticated("the token's service account was deleted")
    extra: dict[str, tuple[str, ...]] = {"authentication.kubernetes.io/credential-id": (f"JTI={claims.jti}",)}
    if bound.pod is not None:
        pod = _same(state, Key("pods", bound.namespace, bound.pod.name), bound.pod)
        if pod is None or _gone(pod, now):
            raise Unauthenticated("the token's pod is gone")
        if _phase(pod) in FINAL_PHASES:
            raise Unauthenticated("the token's pod has ended")
        extra |= _told("pod", bound.pod)
    if bound.node is not None:
        extra |= _told("node", bound.node)
    identity = account_identity(bound.namespace, bound.serviceaccount.name)
    return Caller(identity, bound.serviceaccount.uid, extra=extra)


def _same(state: State, key: Key, named: Named) -> Stored | None:
    stored = state.get(key)
    return stored if stored is not None and stored.envelope.uid == named.uid else None


def _gone(pod: Stored, now: float) -> bool:
    deletion_time = pod.envelope.deletion_time
    return bool(deletion_time) and parse_time(deletion_time) + AFTER_DELETION_SECONDS < now


class _Status(msgspec.Struct, frozen=True):
    phase: str = ""


class _Pod(msgspec.Struct, frozen=True):
    status: _Status = _Status()


_decode_pod = msgspec.json.Decoder(_Pod).decode


def _phase(pod: Stored) -> str:
    return _decode_pod(pod.body).status.phase


def _told(kind: str, named: Named) -> dict[str, tuple[str, ...]]:
    told: dict[str, tuple[str, ...]] = {f"authentication.kubernetes.io/{kind}-name": (named.name,)}
    return told | ({f"authentication.kubernetes.io/{kind}-uid": (named.uid,)} if named.uid else {})
