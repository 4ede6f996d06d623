"""The bytes of transactions."""

from __future__ import annotations

import msgspec
import pytest

from api import errors
from controlplane import commands
from controlplane.commands import (
    Add,
    Attest,
    Check,
    Claim,
    CommitRefused,
    Delete,
    Envelope,
    Key,
    Malformed,
    Put,
    RaiseLevel,
    Refused,
    Release,
    Set,
    SetEpoch,
    StartIncarnation,
    Transaction,
    UnknownCommandVersion,
    decode_entry,
    decode_transaction,
    encode_entry,
    encode_transaction,
    transaction_id,
)

KEY = Key("pods", "default", "a")
ID = bytes(range(16))
EVERY_OP = (
    Check(KEY, "u", 7),
    Put(Envelope(KEY, "u", {"app": "x"}, ("o",), ("f",), "n1", "2025-01-15T08:30:00Z"), b"{}"),
    Delete(KEY),
    Claim("ip", "10.96.0.1", "u"),
    Release("ip", "10.96.0.1"),
    Add("node/n1", {"cpu": 100}, {"cpu": 4000}),
    SetEpoch("r1"),
    Set("name", b"\xff"),
    RaiseLevel(2),
    StartIncarnation(),
    Attest("r1", 1000, b"d" * 16),
)


def test_every_operation_survives_the_journey():
    transaction = Transaction(ID, EVERY_OP, 3, "anna")
    data = encode_transaction(transaction)
    assert decode_transaction(data) == transaction
    assert decode_entry(encode_entry([data, b"\x01x"], 42)) == ((data, b"\x01x"), 42)
    assert transaction_id(data) == ID


def test_the_encoding_of_version_1_never_changes():
    transaction = Transaction(ID, (Put(Envelope(KEY, "u", {"a": "b"}), b"{}"), Delete(KEY)), 3, "anna")
    data = encode_transaction(transaction)
    assert data.hex() == (
        "0194c410000102030405060708090a0b0c0d0e0f9293029793a4706f6473a764656661756c74a161a17581a161a16290"
        "90a0a0c4027b7d920393a4706f6473a764656661756c74a16103a4616e6e61"
    )
    assert encode_entry([data], 1)[:4].hex() == "01920191"


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x01", b"\x01\xc1", b"\x01" + b"\x91" * 5000, b"\x01\x92\x01\x91\xa1\xff"]
)
def test_bytes_that_are_no_command_are_malformed(data):
    with pytest.raises(Malformed):
        decode_entry(data)
    with pytest.raises(Malformed):
        decode_transaction(data)


def test_a_transaction_with_more_fields_than_this_version_knows_is_malformed():
    with pytest.raises(Malformed):
        decode_transaction(b"\x01" + msgspec.msgpack.encode([ID, [], 0, "anna", "more"]))


@pytest.mark.parametrize("time_ms", [-1, 253_402_300_800_000])
def test_a_time_that_no_calendar_can_write_is_malformed(time_ms):
    with pytest.raises(Malformed):
        decode_entry(encode_entry([], time_ms))


def test_a_newer_version_is_told_from_garbage_and_names_the_remedy():
    newer = bytes([commands.COMMAND_VERSION + 1]) + b"whatever"
    for data in (newer, encode_entry([encode_transaction(Transaction(ID, EVERY_OP)), newer], 1)):
        with pytest.raises(UnknownCommandVersion, match="install the version"):
            decode_entry(data)


def test_what_apply_would_refuse_for_its_size_is_not_even_encoded():
    with pytest.raises(errors.TooLarge, match="5001 operations"):
        encode_transaction(Transaction(ID, (Delete(KEY),) * 5001))
    body = b"x" * (4 * 1024 * 1024)
    with pytest.raises(errors.TooLarge, match="at most 8388608"):
        encode_transaction(Transaction(ID, (Put(Envelope(KEY), body),) * 2))


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x94\xc4\x0f" + ID, b"\x01\x94\xc4\x11" + ID])
def test_what_does_not_begin_with_an_id_has_none(data):
    assert transaction_id(data) == b""


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("Exists", errors.AlreadyExists),
        ("NotFound", errors.NotFound),
        ("Quota", errors.TooLarge),
        ("Epoch", errors.Conflict),
    ],
)
def test_a_refusal_translates_to_an_api_error(reason, error):
    refused = CommitRefused(Refused(reason, 0, "pods/default/a is so"))
    assert type(refused.error) is error
    assert (str(refused.error), refused.reason) == ("pods/default/a is so", error.__name__)
