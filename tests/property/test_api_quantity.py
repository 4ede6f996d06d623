from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from api.quantity import canonical, millicores, parse, whole

VALUES = st.decimals(min_value=-(10**18), max_value=10**18, places=9)
SUFFIXES = st.sampled_from(["", "n", "u", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "e3", "E-2"])
TEXTS = st.builds(lambda number, suffix: f"{number}{suffix}", st.integers(0, 9999), SUFFIXES)


@given(VALUES, st.booleans())
def test_what_is_written_reads_as_the_same_amount(value, binary):
    assert parse(canonical(value, binary=binary)) == value


@given(TEXTS)
def test_writing_what_was_read_is_stable(text):
    once = canonical(parse(text))
    assert canonical(parse(once)) == once


@given(TEXTS, TEXTS)
def test_units_keep_the_order(one, other):
    if parse(one) <= parse(other):
        assert millicores(one) <= millicores(other)
        assert whole(one) <= whole(other)


@given(TEXTS)
def test_rounding_up_adds_less_than_one(text):
    value = parse(text)
    assert value <= whole(text) < value + 1
    assert value * 1000 <= millicores(text) < value * 1000 + 1


@given(st.integers(0, 2**63 - 1))
def test_whole_numbers_are_exact(number):
    assert parse(number) == parse(str(number)) == Decimal(number)
    assert whole(number) == number
