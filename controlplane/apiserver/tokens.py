"""Join tokens: short-lived, used once, kept as Secrets of the type Kubernetes gives them.

A token is `id.secret`; only a hash of the secret is stored. Using one is part of the transaction that makes the
newcomer's Node, so it cannot be used twice, whatever fails in between. One for a renewal is for a node that is there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

import msgspec

from api.errors import Invalid, Unauthenticated
from api.object import Tree
from component.env import Env, parse_time, rfc3339
from controlplane.commands import Check, Delete, Key, Op, Stored

NAMESPACE = "kube-system"
PREFIX = "bootstrap-token-"
TYPE = "bootstrap.kubernetes.io/token"
DEFAULT_SECONDS = 15 * 60
LONGEST_SECONDS = 24 * 3600
Role = Literal["node", "replica", "renewal"]
ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Token:
    """A fresh token: what the user gets, what is stored, and until when it can be used."""

    text: str
    secret: Tree
    expires_time: str


def make_token(env: Env, role: Role, name: str, ttl_seconds: int) -> Token:
    """Make a token for a node or replica called `name` ("": any), or for the renewal of a node's certificate.

    Invalid when it would live longer than a day, or for a renewal of any node's.
    """
    if role == "renewal" and not name:
        raise Invalid("a token that renews a certificate is for one node: name it")
    seconds = ttl_seconds or DEFAULT_SECONDS
    if not 0 < seconds <= LONGEST_SECONDS:
        raise Invalid(f"a token may live {LONGEST_SECONDS} s at most, not {seconds}")
    identifier, secret = (_random(env, length) for length in (6, 16))
    expires = rfc3339(env.now() + seconds)
    data = {
        "token-id": identifier,
        "secret-sha256": _hash(secret),
        "expiration": expires,
        "node-name": name,
        "role": role,
    }
    tree = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PREFIX + identifier, "namespace": NAMESPACE},
        "type": TYPE,
        "data": {field: base64.b64encode(value.encode()).decode() for field, value in data.items()},
    }
    return Token(f"{identifier}.{secret}", tree, expires)


def key_of_token(text: str) -> Key:
    """Where the Secret of a token is; Unauthenticated for what cannot be one."""
    identifier, _, secret = text.partition(".")
    if len(identifier) != 6 or len(secret) != 16 or not set(identifier + secret) <= set(ALPHABET):
        raise Unauthenticated("the token is not one: it looks like abcdef.0123456789abcdef")
    return Key("secrets", NAMESPACE, PREFIX + identifier)


def use_token(text: str, stored: Stored | None, role: Role, name: str, now: float) -> tuple[Op, ...]:
    """The operations that use a token up for the newcomer `name`. Unauthenticated says what is wrong with it."""
    if stored is None:
        raise Unauthenticated("the token is unknown: it was used or has expired; make one with `tim token create`")
    check_token(text, msgspec.json.decode(stored.body), role, name, now)
    key = stored.envelope.key
    return Check(key, stored.envelope.uid, stored.revision), Delete(key)


def check_token(text: str, secret: Tree, role: Role, name: str, now: float) -> None:
    """Raise Unauthenticated, which says why, unless the token is that of the stored Secret and good for this."""
    data = {field: base64.b64decode(value).decode() for field, value in secret.get("data", {}).items()}
    if not hmac.compare_digest(data.get("secret-sha256", ""), _hash(text.partition(".")[2])):
        raise Unauthenticated("the token's secret is wrong")
    if parse_time(data["expiration"]) <= now:
        raise Unauthenticated(f"the token expired at {data['expiration']}; make one with `tim token create`")
    if data.get("role", "node") != role:
        raise Unauthenticated(f"the token is for a {data.get('role', 'node')}, not for a {role}")
    if data["node-name"] and data["node-name"] != name:
        raise Unauthenticated(f"the token is for {role} {data['node-name']!r}, not {name!r}")


def expired(secret: Tree, now: float) -> bool:
    """Whether the token of a stored Secret can never be used again; False for one that does not say until when."""
    try:
        return parse_time(base64.b64decode(secret["data"]["expiration"]).decode()) <= now
    except (KeyError, ValueError):
        return False


def _random(env: Env, length: int) -> str:
    return "".join(env.rng.choice(ALPHABET) for _ in range(length))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
