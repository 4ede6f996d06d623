from decimal import Decimal

import pytest

from api.errors import Invalid
from api.quantity import canonical, millicores, parse, whole


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250m", "0.25"),
        ("1", "1"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-2", "-2"),
        ("+2", "2"),
        ("100n", "0.0000001"),
        ("3u", "0.000003"),
        ("1k", "1000"),
        ("2M", "2000000"),
        ("1Ki", "1024"),
        ("64Mi", "67108864"),
        ("1.5Gi", "1610612736"),
        ("1Ei", "1152921504606846976"),
        ("1E", "1000000000000000000"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("12e-1", "1.2"),
        (3, "3"),
        (0.1, "0.1"),
        (2.5, "2.5"),
        (1e-07, "0.0000001"),
    ],
)
def test_quantities_are_exact(text, value):
    assert parse(text) == Decimal(value)


def test_finer_than_a_nano_rounds_up():
    assert parse("0.1n") == Decimal("1e-9")
    assert parse("1.0000000001") == Decimal("1.000000001")


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "1 Gi", "abc", "1KB", "1ki", "1mi", "--1", "1e", "1.2.3", "0x10", "1" * 65, "²", "1Kim"]
)
def test_other_text_is_refused_by_name(text):
    with pytest.raises(Invalid, match="is not a quantity"):
        parse(text)


@pytest.mark.parametrize("text", ["9223372036854775808", "8Ei", "10E", "1e30", "1e999999999", "-1e19"])
def test_amounts_beyond_63_bits_are_refused(text):
    with pytest.raises(Invalid, match="out of range"):
        parse(text)


@pytest.mark.parametrize("value", [True, False])
def test_booleans_are_no_amounts(value):
    with pytest.raises(Invalid, match="not a quantity"):
        parse(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_amount(value):
    with pytest.raises(Invalid):
        parse(value)


def test_millicores_and_whole_units_round_up():
    assert millicores("0.5") == 500
    assert millicores("100.1m") == 101
    assert millicores(2) == 2000
    assert millicores(Decimal("0.0001")) == 1
    assert whole("1500m") == 2
    assert whole("64Mi") == 67108864
    assert whole(Decimal("0.2")) == 1


@pytest.mark.parametrize(
    ("value", "binary", "text"),
    [
        ("1.5", False, "1500m"),
        ("2000", False, "2k"),
        ("0", False, "0"),
        ("0", True, "0"),
        ("67108864", True, "64Mi"),
        ("1000", True, "1000"),
        ("0.5", True, "500m"),
        ("-1024", True, "-1Ki"),
        ("0.0000001", False, "100n"),
    ],
)
def test_canonical_text_has_the_largest_fitting_suffix(value, binary, text):
    assert canonical(Decimal(value), binary=binary) == text


def test_only_what_parse_returns_can_be_written():
    with pytest.raises(AssertionError, match="finer than 1n"):
        canonical(Decimal("1e-10"))
