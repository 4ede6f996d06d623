"""The outside of JSON Web Tokens (RFC 7519, compact form): taking them apart and putting them together.

Knows no keys and trusts nobody: whether a signature is good is for those who hold the keys.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

LONGEST_CHARACTERS = 16 << 10
"""Ours have about 1,000; headers of HTTP requests end below this."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading JSON of strangers may raise."""


class Malformed(ValueError):
    """The text is no token; the message says why, without quoting it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A token taken apart: `signed` is what the signature is over."""

    header: Mapping[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes


def parts(token: str) -> Parts:
    """Take a token apart. Malformed."""
    if len(token) > LONGEST_CHARACTERS:
        raise Malformed(f"longer than {LONGEST_CHARACTERS} characters")
    segments = token.split(".")
    if len(segments) != 3:
        raise Malformed("not three parts with dots between them")
    header, payload, signature = map(decoded, segments)
    try:
        fields = msgspec.json.decode(header, type=dict[str, Any])
    except UNREADABLE as error:
        raise Malformed("its header is no JSON object") from error
    return Parts(fields, payload, token.rpartition(".")[0].encode(), signature)


def signed_part(header: Mapping[str, Any], payload: bytes) -> str:
    """What is to be signed; the token is this, a dot and the encoded signature."""
    return f"{encoded(msgspec.json.encode(header))}.{encoded(payload)}"


def encoded(data: bytes) -> str:
    """Base64 for URLs without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """The inverse of `encoded`. Malformed."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise Malformed("a part is no base64url") from error
