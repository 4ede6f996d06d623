"""The bytes of transactions."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from api import errors
from controlplane import commands, level
from controlplane.commands import (
    Add,
    Attest,
    Check,
    Claim,
    CommitRefused,
    Delete,
    Envelope,
    Forget,
    Key,
    Malformed,
    Put,
    RaiseLevel,
    Refused,
    Release,
    Set,
    SetEpoch,
    StartIncarnation,
    StartIncarnationAt,
    Transaction,
    UnknownCommandVersion,
    check_transaction,
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
    Forget("quota/default/small"),
    StartIncarnationAt(1_764_000_000_000_000),
)


def test_every_operation_survives_the_journey():
    transaction = Transaction(ID, EVERY_OP, 3, "anna", 7)
    data = encode_transaction(transaction)
    assert decode_transaction(data) == transaction
    assert decode_entry(encode_entry([data, b"\x01x"], 42)) == ((data, b"\x01x"), 42)
    assert transaction_id(data) == ID


GOLDEN = {
    1: {
        Check: "950193a4706f6473a764656661756c74a161a17507c2",
        Put: (
            "93029793a4706f6473a764656661756c74a161a17581a3617070a17891a16f91a166a26e31b4323032352d30312d31355430383a33303a"
            "30305ac4027b7d"
        ),
        Delete: "920393a4706f6473a764656661756c74a161",
        Claim: "9404a26970a931302e39362e302e31a175",
        Release: "9405a26970a931302e39362e302e31a0",
        Add: "9406a76e6f64652f6e3181a36370756481a3637075cd0fa0",
        SetEpoch: "9207a27231",
        Set: "9308a46e616d65c401ff",
        RaiseLevel: "920902",
        StartIncarnation: "910a",
        Attest: "940ba27231cd03e8c41064646464646464646464646464646464",
    },
    2: {
        Forget: "920cb371756f74612f64656661756c742f736d616c6c",
    },
    3: {
        StartIncarnationAt: "920dcf0006445941624000",
    },
}
"""The bytes of every operation, by the version that brought it.

They are in logs, and members of other versions read them: a line here is never changed or removed. See "a new operation"
in CONTRIBUTING.md.
"""


def golden(version, op):
    """A whole transaction with that operation."""
    return f"{version:02x}95c410{ID.hex()}91{GOLDEN[version][type(op)]}03a4616e6e6107"


@pytest.mark.parametrize("op", EVERY_OP, ids=lambda op: type(op).__name__)
def test_the_bytes_of_an_operation_never_change_within_its_version(op):
    version = commands.OPERATION_LEVELS[type(op)]
    transaction = Transaction(ID, (op,), 3, "anna", 7)
    assert encode_transaction(transaction).hex() == golden(version, op), "a changed operation needs a new tag and level"
    assert decode_transaction(bytes.fromhex(golden(version, op))) == transaction


def test_every_operation_has_a_level_an_example_and_golden_bytes():
    every = set(get_args(commands.Op))
    assert every == set(commands.OPERATION_LEVELS) == set(map(type, EVERY_OP))
    assert {op: version for version, ops in GOLDEN.items() for op in ops} == commands.OPERATION_LEVELS
    assert max(GOLDEN) == commands.COMMAND_VERSION <= level.KNOWN_LEVEL


def test_the_bytes_around_operations_never_change():
    data = encode_transaction(Transaction(ID, ()))
    assert data.hex() == f"0195c410{ID.hex()}9000a000"
    assert encode_entry([data, b"x"], 1).hex() == f"01920192c418{data.hex()}c40178"


def test_an_operation_of_a_higher_version_than_the_bytes_claim_is_malformed_as_it_is_to_an_older_program(monkeypatch):
    newer = commands.COMMAND_VERSION + 1
    monkeypatch.setattr(commands, "COMMAND_VERSION", newer)
    monkeypatch.setattr(commands, "OPERATION_LEVELS", {**commands.OPERATION_LEVELS, Set: newer})
    data = encode_transaction(Transaction(ID, (Delete(KEY), Set("name", b""))))
    assert data[0] == newer
    assert decode_transaction(data).ops[0] == Delete(KEY)
    with pytest.raises(Malformed):
        decode_transaction(b"\x01" + data[1:])
    assert encode_transaction(Transaction(ID, (Delete(KEY),)))[0] == 1, "who does not use what is new is read by all"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x00" + encode_transaction(Transaction(ID, ()))[1:],
        b"\xff" + encode_transaction(Transaction(ID, ()))[1:],
        b"\x01\x95\xc4\x10" + ID + b"junk",
        b"\x01" + msgspec.msgpack.encode([b"short", [], 0, "", 0]),
        b"\x01" + msgspec.msgpack.encode([ID, [[10]] * 5001, 0, "", 0]),
        b"\x01" + msgspec.msgpack.encode([ID, [[8, "a", b"x" * 9_000_000]], 0, "", 0]),
    ],
    ids=["empty", "cut", "version 0", "version 255", "junk", "id", "operations", "size"],
)
def test_bytes_that_must_not_enter_the_log_are_told(data):
    with pytest.raises(Malformed):
        check_transaction(data, commands.COMMAND_VERSION)
    check_transaction(encode_transaction(Transaction(ID, EVERY_OP)), commands.COMMAND_VERSION)


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
        decode_transaction(b"\x01" + msgspec.msgpack.encode([ID, [], 0, "anna", 0, "more"]))


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


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x95\xc4\x0f" + ID, b"\x01\x95\xc4\x11" + ID])
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
