"""Whatever somebody shows as a token: it is taken apart or refused, and only what was signed here is believed."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from component import jwt
from component.signing import BadSignature, make_key, read_keys
from controlplane.apiserver.accounts.bearer import bearer_token
from controlplane.apiserver.accounts.claims import Bound, Named, claims_for, read_claims
from controlplane.apiserver.accounts.static import read_tokens

KEYS = read_keys(make_key())
USERS = read_tokens("0123456789abcdef,jane,u1\n", "tokens.csv")
TEXT = st.text(st.characters(), max_size=60)  # halves of characters, too, as JSON may bring them
SEGMENT = st.one_of(TEXT, st.binary(max_size=40).map(jwt.encoded))
TIMES = st.integers(0, 1 << 33)


@given(st.one_of(TEXT, st.lists(SEGMENT, min_size=2, max_size=4).map(".".join)))
def test_any_text_is_a_token_or_is_told_to_be_none(text):
    assert USERS.caller(text) is None
    bearer_token(text)
    with contextlib.suppress(jwt.Malformed):
        parts = jwt.parts(text)
        with pytest.raises(BadSignature):
            KEYS.verified(parts)


@given(st.binary(max_size=200))
def test_what_is_encoded_for_urls_is_read_back(data):
    assert jwt.decoded(jwt.encoded(data)) == data


@given(
    st.binary(max_size=200),
    st.integers(0, 999),
    st.lists(st.sampled_from("ABab01-_.="), min_size=2, max_size=2, unique=True),
)
def test_no_other_character_of_a_token_gives_another_token_that_counts(payload, place, others):
    token = KEYS.sign(payload)  # another one each time: what is drawn must not depend on it
    assert KEYS.verified(jwt.parts(token)) == payload
    place %= len(token)
    other = others[others[0] == token[place]]
    changed = token[:place] + other + token[place + 1 :]
    with contextlib.suppress(jwt.Malformed, BadSignature):
        # Only the unused bits of a segment's last character may differ: the same bytes were signed, or none.
        assert KEYS.verified(jwt.parts(changed)) == payload


@given(st.tuples(TEXT, TEXT, TEXT), st.lists(TEXT, max_size=3), TIMES, st.integers(600, 1 << 32))
def test_claims_are_read_as_they_were_written(names, audiences, now, seconds):
    namespace, account, uid = ("".join(char for char in name if char.isascii()) for name in names)
    audiences = ["".join(char for char in each if char.isascii()) for each in audiences]
    bound = Bound(namespace=namespace, serviceaccount=Named(account, uid), pod=Named(account, uid))
    claims = claims_for(bound, audiences, seconds, issuer="i", now=now, token_id=uid)
    assert read_claims(msgspec.json.encode(claims)) == claims
