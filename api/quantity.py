"""Amounts such as `250m` or `64Mi`, exactly.

Grammar of the Kubernetes type Quantity: a decimal number, then a decimal suffix (n u m k M G T P E), a binary one
(Ki Mi Gi Ti Pi Ei) or an exponent (e3, E-2). Amounts finer than 1n are rounded up, amounts of 2^63 and more refused.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Context, Decimal
from functools import lru_cache

from api.errors import Invalid

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SCALES = {suffix: Decimal(f"1e{exponent}") for suffix, exponent in _DECIMAL.items()} | {
    suffix: Decimal(2**exponent) for suffix, exponent in _BINARY.items()
}
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i)?)")
_TEXT_LIMIT = 64
_LIMIT = Decimal(2**63)
_FINEST = Decimal("1e-9")
# Wide enough for every product of 64 digits and a scale; the default context of 28 digits would round silently.
_EXACT = Context(prec=128, rounding=ROUND_CEILING)


def parse(amount: str | float) -> Decimal:
    """Return the exact value; raises Invalid with one line that names the text."""
    if isinstance(amount, bool):
        raise Invalid(f"{str(amount).lower()} is not a quantity")
    return _parse(amount if isinstance(amount, str) else repr(amount))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Decimal:
    match = _QUANTITY.fullmatch(text) if len(text) <= _TEXT_LIMIT else None
    if match is None:
        raise Invalid(f'"{text[:_TEXT_LIMIT]}" is not a quantity: use a number and a suffix, such as 250m, 1.5 or 64Mi')
    number, exponent, suffix = match.groups()
    if exponent and abs(int(exponent[1:])) > 30:
        raise Invalid(f'quantity "{text}" is out of range')
    value = _EXACT.multiply(Decimal(number), _SCALES[suffix or ""])
    if exponent:
        value = _EXACT.scaleb(value, int(exponent[1:]))
    if abs(value) >= _LIMIT:
        raise Invalid(f'quantity "{text}" is out of range')
    if value != (rounded := value.quantize(_FINEST, context=_EXACT)):
        return rounded
    return value


def _round_up(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))


def millicores(quantity: Decimal | str | float) -> int:
    """Return thousandths of a CPU, rounded up."""
    value = quantity if isinstance(quantity, Decimal) else parse(quantity)
    return _round_up(_EXACT.scaleb(value, 3))


def whole(quantity: Decimal | str | float) -> int:
    """Return bytes or a count, rounded up."""
    return _round_up(quantity if isinstance(quantity, Decimal) else parse(quantity))


def canonical(value: Decimal, *, binary: bool = False) -> str:
    """Write a value with the largest suffix that leaves a whole number: `1500m`, `2`, `64Mi` (binary).

    `binary` is honoured for whole multiples of 1 only; anything finer has no binary suffix.
    """
    if binary and value == value.to_integral_value():
        number = int(value)
        for suffix, exponent in reversed(_BINARY.items()):
            if number and number % 2**exponent == 0:
                return f"{number >> exponent}{suffix}"
        return str(number)
    for suffix, exponent in reversed(_DECIMAL.items()):
        scaled = _EXACT.scaleb(value, -exponent)
        if scaled == scaled.to_integral_value() and (value or not suffix):
            return f"{int(scaled)}{suffix}"
    raise AssertionError(f"{value} is finer than 1n")
