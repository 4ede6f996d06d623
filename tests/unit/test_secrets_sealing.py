"""Sealed bodies, and the file of keys."""

from __future__ import annotations

import random

import pytest

from api import errors
from controlplane.commands import ADDED, MODIFIED, Change, Check, Envelope, Key, Put, Stored
from controlplane.key_ring import KeyRing, KeyRingProblem, decode, encode, open_ring
from controlplane.sealing import KEY_BYTES, NotSealedFor, Sealing, key_id, open_sealed, sealed_with

OLD, NEW = bytes(KEY_BYTES), bytes([1]) * KEY_BYTES
SECRET = Envelope(Key("secrets", "default", "s"), uid="u1")
BODY = b'{"data":{"k":"a25vd24="}}'


def sealing(*keys):
    return Sealing("r1", KeyRing(None, keys), random.Random(1).randbytes)


def sealed(key, envelope=SECRET, body=BODY):
    (put,) = sealing(key).sealed([Put(envelope, body)], "")
    return put.body


def test_what_is_sealed_opens_again_and_shows_nothing():
    body = sealed(OLD)
    assert b"data" not in body
    assert b"a25vd24" not in body
    assert sealed_with(body) == key_id(OLD)
    assert sealing(NEW, OLD).opened(SECRET, body) == BODY


def test_the_same_body_never_looks_the_same_twice():
    each = sealing(OLD)
    first, second = each.sealed([Put(SECRET, BODY), Put(SECRET, BODY)], "")
    assert first.body != second.body


def test_only_secrets_are_sealed_and_the_order_of_operations_stays():
    ops = [Check(SECRET.key), Put(SECRET, BODY), Put(Envelope(Key("pods", "d", "p"), "u"), b"{}")]
    found = sealing(OLD).sealed(ops, "")
    assert (found[0], found[2]) == (ops[0], ops[2])
    assert sealed_with(found[1].body)


def test_the_named_key_is_used_and_without_a_name_the_newest():
    each = sealing(OLD, NEW)
    assert sealed_with(each.sealed([Put(SECRET, BODY)], key_id(OLD))[0].body) == key_id(OLD)
    assert sealed_with(each.sealed([Put(SECRET, BODY)], "")[0].body) == key_id(NEW)


def test_without_any_key_nothing_is_sealed_yet():
    assert sealing().sealed([Put(SECRET, BODY)], "") == [Put(SECRET, BODY)]


def test_a_key_that_is_not_here_is_named_with_the_remedy():
    for use in (
        lambda: sealing(OLD).sealed([Put(SECRET, BODY)], key_id(NEW)),
        lambda: sealing(OLD).opened(SECRET, sealed(NEW)),
    ):
        with pytest.raises(errors.Unavailable, match=f"r1 lacks key {key_id(NEW)}.*secrets.key"):
            use()


@pytest.mark.parametrize(
    "other",
    [
        Envelope(Key("secrets", "default", "t"), uid="u1"),
        Envelope(Key("secrets", "other", "s"), uid="u1"),
        Envelope(Key("secrets", "default", "s"), uid="u2"),
        Envelope(Key("configmaps", "default", "s"), uid="u1"),
    ],
)
def test_a_body_cannot_be_passed_off_as_another_objects(other):
    with pytest.raises(errors.Unavailable, match="not sealed for it"):
        sealing(OLD).opened(other, sealed(OLD))


def test_labels_may_change_without_sealing_anew():
    assert sealing(OLD).opened(Envelope(SECRET.key, "u1", {"a": "b"}), sealed(OLD)) == BODY


def test_no_changed_byte_goes_unnoticed():
    body = sealed(OLD)
    for place in range(9, len(body)):
        with pytest.raises(NotSealedFor):
            open_sealed(OLD, SECRET, body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :])
    for length in (9, 20, 80, 100, len(body) - 1):
        with pytest.raises(NotSealedFor):
            open_sealed(OLD, SECRET, body[:length])


def test_objects_and_changes_are_opened_whole_and_plain_ones_stay_as_they_are():
    each = sealing(OLD)
    assert each.opened_object(Stored(SECRET, sealed(OLD), 5, 3)) == Stored(SECRET, BODY, 5, 3)
    change = Change(6, MODIFIED, SECRET, sealed(OLD), SECRET, BODY, 5, 3)
    assert each.opened_change(change) == Change(6, MODIFIED, SECRET, BODY, SECRET, BODY, 5, 3)
    plain = Change(6, ADDED, SECRET, BODY)
    assert each.opened_change(plain) is plain


def test_a_ring_remembers_what_was_added_in_order(tmp_path):
    path = tmp_path / "secrets.key"
    ring = open_ring(path)
    assert (ring.newest, ring.ids) == ("", ())
    assert ring.add([OLD, NEW]) == [key_id(OLD), key_id(NEW)]
    assert ring.add([OLD]) == []
    again = open_ring(path)
    assert (again.newest, again.all()) == (key_id(NEW), (OLD, NEW))
    assert path.stat().st_mode & 0o777 == 0o600
    again.remove([key_id(NEW)])
    assert open_ring(path).ids == (key_id(OLD),)


def test_a_file_that_holds_no_keys_is_refused_with_its_line():
    with pytest.raises(KeyRingProblem, match="ring: line 2 is no key"):
        decode(encode([OLD]) + b"c2hvcnQ=\n", "ring")
    with pytest.raises(KeyRingProblem, match="line 1"):
        decode(b"\xff\xfe\n", "ring")
