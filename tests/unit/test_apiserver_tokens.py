import base64
import json
import random

import pytest

from api.errors import Invalid, Unauthenticated
from api.object import canonical
from component.env import Env
from controlplane.apiserver.tokens import key_of_token, make_token, use_token
from controlplane.commands import Check, Delete, Envelope, Stored

NOW = 1_800_000_000.0
ENV = Env(lambda: 0.0, lambda: NOW, random.Random(7), lambda: "uid")


def stored(token):
    return Stored(Envelope(key_of_token(token.text), "u1"), canonical(token.secret), 9, 9)


def test_using_a_token_deletes_it_on_condition_that_it_is_unchanged():
    token = make_token(ENV, "node", "n1", 60)
    key = key_of_token(token.text)
    assert use_token(token.text, stored(token), "node", "n1", NOW) == (Check(key, "u1", 9), Delete(key))


def test_a_token_without_a_name_is_good_for_any_node():
    token = make_token(ENV, "node", "", 0)
    assert use_token(token.text, stored(token), "node", "whoever", NOW)


def test_the_secret_itself_is_not_stored():
    token = make_token(ENV, "node", "", 0)
    secret = token.text.partition(".")[2]
    values = [base64.b64decode(value).decode() for value in token.secret["data"].values()]
    assert secret not in json.dumps(token.secret)
    assert secret not in values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: (t.text, None, "node", "n1", NOW), "was used or has expired"),
        (
            lambda t: (t.text[:-1] + ("a" if t.text[-1] != "a" else "b"), stored(t), "node", "n1", NOW),
            "secret is wrong",
        ),
        (lambda t: (t.text, stored(t), "node", "n2", NOW), "for node 'n1', not 'n2'"),
        (lambda t: (t.text, stored(t), "replica", "n1", NOW), "for a node, not for a replica"),
        (lambda t: (t.text, stored(t), "node", "n1", NOW + 61), "expired at"),
    ],
)
def test_a_token_that_is_not_good_says_why(change, message):
    with pytest.raises(Unauthenticated, match=message):
        use_token(*change(make_token(ENV, "node", "n1", 60)))


@pytest.mark.parametrize("text", ["", "abc", "abcdef.short", "ABCDEF.0123456789abcdef", "abcdef-0123456789abcdef"])
def test_what_cannot_be_a_token_is_refused(text):
    with pytest.raises(Unauthenticated, match="looks like"):
        key_of_token(text)


def test_a_token_lives_a_day_at_most():
    with pytest.raises(Invalid, match="86400"):
        make_token(ENV, "node", "", 90_000)
