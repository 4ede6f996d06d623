"""Tokens of service accounts: how they are signed, what they say, and everything that makes one worthless."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from api.errors import Unauthenticated
from component import jwt
from component.signing import BadSignature, KeyProblem, make_key, read_keys
from controlplane.apiserver.accounts.bearer import bearer_token
from controlplane.apiserver.accounts.claims import (
    AFTER_DELETION_SECONDS,
    EARLY_SECONDS,
    Bound,
    Named,
    check_bound,
    check_claims,
    claims_for,
    issuer_of,
    read_claims,
)
from controlplane.commands import Envelope, Key, Stored

NOW = 1_800_000_000.0
ISSUER = issuer_of("cluster.local")
KEYS = read_keys(make_key())
BOUND = Bound(
    namespace="shop", serviceaccount=Named("robot", "sa-1"), pod=Named("web", "pod-1"), node=Named("n1", "node-1")
)


class Objects:
    """A state with a few objects in it."""

    def __init__(self, *stored):
        self.stored = {each.envelope.key: each for each in stored}

    def get(self, key):
        return self.stored.get(key)


def account(uid="sa-1", deletion_time=""):
    key = Key("serviceaccounts", "shop", "robot")
    return Stored(Envelope(key, uid, deletion_time=deletion_time), b"{}", 5, 5)


def pod(uid="pod-1", phase="Running", deletion_time=""):
    key = Key("pods", "shop", "web")
    body = msgspec.json.encode({"status": {"phase": phase}})
    return Stored(Envelope(key, uid, node="n1", deletion_time=deletion_time), body, 6, 6)


def claims(bound=BOUND, audiences=(ISSUER,), seconds=3600, now=NOW):
    return claims_for(bound, audiences, seconds, issuer=ISSUER, now=now, token_id="jti-1")


def signed(of):
    return KEYS.sign(msgspec.json.encode(of))


def test_a_token_says_what_kubernetes_tokens_say():
    header, payload, _ = signed(claims()).split(".")
    assert json.loads(jwt.decoded(header)).keys() == {"alg", "kid"}
    assert json.loads(jwt.decoded(payload)) == {
        "iss": "https://kubernetes.default.svc.cluster.local",
        "sub": "system:serviceaccount:shop:robot",
        "aud": ["https://kubernetes.default.svc.cluster.local"],
        "iat": 1_800_000_000,
        "nbf": 1_800_000_000,
        "exp": 1_800_003_600,
        "jti": "jti-1",
        "kubernetes.io": {
            "namespace": "shop",
            "serviceaccount": {"name": "robot", "uid": "sa-1"},
            "pod": {"name": "web", "uid": "pod-1"},
            "node": {"name": "n1", "uid": "node-1"},
        },
    }


def test_what_was_signed_is_read_back():
    of = claims()
    assert read_claims(KEYS.verified(jwt.parts(signed(of)))) == of


def test_a_token_can_be_verified_by_others_with_the_published_key():
    [key] = KEYS.jwks()["keys"]
    x, y = (int.from_bytes(jwt.decoded(key[each]), "big") for each in ("x", "y"))
    parts = jwt.parts(signed(claims()))
    assert (parts.header["kid"], parts.header["alg"]) == (key["kid"], key["alg"])
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    encoded = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = make_key()
    others = read_keys(private + encoded)
    assert others.verified(parts) == parts.payload


def test_a_new_key_in_front_signs_and_the_old_one_is_still_believed():
    old, new = make_key(), make_key()
    before = read_keys(old).sign(b"{}")
    both = read_keys(new + old)
    assert both.verified(jwt.parts(before)) == b"{}"
    with pytest.raises(BadSignature):
        read_keys(old).verified(jwt.parts(both.sign(b"{}")))


def _with(token, *, header=None, payload=None, signature=None):
    parts = token.split(".")
    for index, change in enumerate((header, payload)):
        if change is not None:
            fields = json.loads(jwt.decoded(parts[index])) | change
            parts[index] = jwt.encoded(json.dumps(fields).encode())
    if signature is not None:
        parts[2] = signature
    return ".".join(parts)


@pytest.mark.parametrize(
    "forged",
    [
        lambda token: _with(token, payload={"sub": "system:serviceaccount:kube-system:admin"}),
        lambda token: _with(token, payload={"exp": 4_000_000_000}),
        lambda token: _with(token, signature=jwt.encoded(bytes(64))),
        lambda token: _with(token, signature=jwt.encoded(b"\xff" * 64)),
        lambda token: _with(token, signature=""),
        lambda token: _with(token, header={"alg": "none"}, signature=""),
        lambda token: _with(token, header={"alg": "HS256"}),
        lambda token: _with(token, header={"kid": "another"}),
        lambda token: _with(token, header={"kid": None}),
        lambda token: read_keys(make_key()).sign(jwt.parts(token).payload),
    ],
)
def test_a_forged_token_is_refused(forged):
    with pytest.raises(BadSignature):
        KEYS.verified(jwt.parts(forged(signed(claims()))))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        "!.e30.e30",
        "e30.e30.é",
        "e30.e30.e30\n",
        "bm8.e30.e30",
        "W10.e30.e30",
        "0Gg.e30.e30",
        "x" * 20_000,
    ],
)
def test_what_is_no_token_is_told_apart(text):
    with pytest.raises(jwt.Malformed):
        jwt.parts(text)


@pytest.mark.parametrize(
    ("pem", "message"),
    [
        (b"", "no key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be read"),
        (
            ec.generate_private_key(ec.SECP384R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            "P-256",
        ),
        (
            ec.generate_private_key(ec.SECP256R1())
            .public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
            "must be a private one",
        ),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_says_why(pem, message):
    with pytest.raises(KeyProblem, match=message):
        read_keys(pem)


def test_only_the_audiences_asked_for_count():
    of = claims(audiences=("vault", ISSUER))
    assert check_claims(of, issuer=ISSUER, audiences={"vault", "other"}, now=NOW) == ("vault",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"now": NOW + 3600}, "has expired"),
        ({"now": NOW - EARLY_SECONDS - 1}, "not valid yet"),
        ({"audiences": {"vault"}}, "another audience"),
        ({"issuer": issuer_of("other.local")}, "another cluster's"),
    ],
)
def test_a_token_of_another_time_place_or_purpose_is_refused(arguments, message):
    with pytest.raises(Unauthenticated, match=message):
        check_claims(claims(), **{"issuer": ISSUER, "audiences": {ISSUER}, "now": NOW} | arguments)


@pytest.mark.parametrize("now", [NOW - EARLY_SECONDS, NOW, NOW + 3599.9])
def test_a_token_counts_in_its_time_and_a_minute_before_for_clocks_that_differ(now):
    assert check_claims(claims(), issuer=ISSUER, audiences={ISSUER}, now=now) == (ISSUER,)


def test_the_account_behind_a_token_and_its_groups():
    found = check_bound(claims(), Objects(account(), pod()), NOW)
    assert found.identity.user == "system:serviceaccount:shop:robot"
    assert found.identity.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    assert found.uid == "sa-1"
    assert found.extra == {
        "authentication.kubernetes.io/credential-id": ("JTI=jti-1",),
        "authentication.kubernetes.io/pod-name": ("web",),
        "authentication.kubernetes.io/pod-uid": ("pod-1",),
        "authentication.kubernetes.io/node-name": ("n1",),
        "authentication.kubernetes.io/node-uid": ("node-1",),
    }


STAMP = "2027-01-15T08:00:00Z"  # NOW


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ((pod(),), "service account was deleted"),
        ((account(uid="sa-2"), pod()), "service account was deleted"),
        ((account(deletion_time=STAMP), pod()), "service account was deleted"),
        ((account(),), "pod is gone"),
        ((account(), pod(uid="pod-2")), "pod is gone"),
        ((account(), pod(phase="Succeeded")), "pod has ended"),
        ((account(), pod(phase="Failed")), "pod has ended"),
    ],
)
def test_a_token_dies_with_what_it_is_bound_to(objects, message):
    with pytest.raises(Unauthenticated, match=message):
        check_bound(claims(), Objects(*objects), NOW)


def test_the_token_of_a_pod_that_is_stopping_counts_until_a_minute_after_its_grace():
    state = Objects(account(), pod(deletion_time=STAMP))
    assert check_bound(claims(), state, NOW + AFTER_DELETION_SECONDS)
    with pytest.raises(Unauthenticated, match="pod is gone"):
        check_bound(claims(), state, NOW + AFTER_DELETION_SECONDS + 1)


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"{}",
        msgspec.json.encode({"sub": "x"}),
        msgspec.json.encode(msgspec.to_builtins(claims()) | {"sub": "system:serviceaccount:shop:other"}),
        msgspec.json.encode(msgspec.to_builtins(claims()) | {"exp": "soon"}),
    ],
)
def test_a_payload_that_is_none_of_ours_is_refused_even_if_it_is_signed(payload):
    with pytest.raises(Unauthenticated):
        read_claims(payload)


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", ""), ("Bearer", ""), ("", ""), ("abc", "")],
)
def test_the_token_stands_behind_the_word_bearer(header, token):
    assert bearer_token(header) == token


def test_encoding_for_urls_has_no_padding_and_is_read_back():
    assert jwt.encoded(b"\xff\xfe\xfd\xfc") == base64.urlsafe_b64encode(b"\xff\xfe\xfd\xfc").decode().rstrip("=")
    assert jwt.decoded(jwt.encoded(b"\xff\xfe\xfd\xfc")) == b"\xff\xfe\xfd\xfc"
