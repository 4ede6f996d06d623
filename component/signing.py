"""The keys that sign the tokens of service accounts: one signs, all verify, everybody may see the public halves.

Tokens are signed with ES256 (RFC 7518, section 3.4). The file may hold several keys in PEM: the first one signs, the
others are still believed, so that a key is changed by putting a new one in front. Knows nothing of what tokens say.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from component import jwt

ALGORITHM = "ES256"
_INTEGER_BYTES = 32
_ECDSA = ec.ECDSA(hashes.SHA256())
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)


class KeyProblem(ValueError):
    """The file of keys cannot be used; the message says why."""


class BadSignature(ValueError):
    """No key of ours signed this."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """The public half of one key; `key_id` names it in tokens."""

    key_id: str
    public: ec.EllipticCurvePublicKey


class SigningKeys:
    """Signs with one key, verifies with all of `verifying`."""

    def __init__(self, private: ec.EllipticCurvePrivateKey, verifying: Sequence[VerifyingKey]) -> None:
        self._private = private
        self._verifying = {key.key_id: key for key in verifying}
        self._key_id = verifying[0].key_id

    def sign(self, payload: bytes) -> str:
        """Return the token that says `payload`."""
        text = jwt.signed_part({"alg": ALGORITHM, "kid": self._key_id}, payload)
        r, s = decode_dss_signature(self._private.sign(text.encode(), _ECDSA))
        signature = r.to_bytes(_INTEGER_BYTES, "big") + s.to_bytes(_INTEGER_BYTES, "big")
        return f"{text}.{jwt.encoded(signature)}"

    def verified(self, parts: jwt.Parts) -> bytes:
        """Return what a token says that one of our keys signed. BadSignature, also for other algorithms than ours."""
        key = self._verifying.get(str(parts.header.get("kid")))
        if parts.header.get("alg") != ALGORITHM or key is None or len(parts.signature) != 2 * _INTEGER_BYTES:
            raise BadSignature("it was not signed with a key of this cluster")
        r, s = (int.from_bytes(half, "big") for half in (parts.signature[:32], parts.signature[32:]))
        try:
            key.public.verify(encode_dss_signature(r, s), parts.signed, _ECDSA)
        except InvalidSignature as error:
            raise BadSignature("its signature is wrong") from error
        return parts.payload

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JSON Web Key Set (RFC 7517)."""
        return {"keys": [_jwk(key) for key in self._verifying.values()]}


def make_key() -> bytes:
    """A new key in PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def read_keys(pem: bytes) -> SigningKeys:
    """Read a file of keys: a private one first, then private or public ones. KeyProblem."""
    blocks = [match[0] for match in _PEM.finditer(pem)]
    if not blocks:
        raise KeyProblem("it holds no key in PEM")
    private = _read(blocks[0])
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise KeyProblem("its first key must be a private one, which signs")
    return SigningKeys(private, [_verifying(_read(block)) for block in blocks])


def _read(block: bytes) -> ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey:
    try:
        if b"PUBLIC KEY" in block:
            key: object = serialization.load_pem_public_key(block)
        else:
            key = serialization.load_pem_private_key(block, None)
    except (ValueError, TypeError) as error:
        raise KeyProblem("a key in it cannot be read: it must be PEM without a password") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise KeyProblem("its keys must be elliptic curve keys on P-256")
    return key


def _verifying(key: ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) -> VerifyingKey:
    public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key
    encoded = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return VerifyingKey(jwt.encoded(hashlib.sha256(encoded).digest()), public)


def _jwk(key: VerifyingKey) -> dict[str, str]:
    numbers = key.public.public_numbers()
    x, y = (jwt.encoded(number.to_bytes(_INTEGER_BYTES, "big")) for number in (numbers.x, numbers.y))
    return {"use": "sig", "kty": "EC", "kid": key.key_id, "crv": "P-256", "alg": ALGORITHM, "x": x, "y": y}
