"""Rules for references to a container's own requests and limits, in variables and in files."""

from __future__ import annotations

from collections.abc import Iterator

from api.env import ResourceFieldSelector
from api.errors import FieldError
from api.faults import check_choice, check_quantity, invalid
from api.meta import Quantity
from api.quantity import parse

RESOURCE_FIELDS = (
    *("limits.cpu", "limits.memory", "limits.ephemeral-storage"),
    *("requests.cpu", "requests.memory", "requests.ephemeral-storage"),
)
_CPU_DIVISORS = ("1m", "1")
_BYTE_DIVISORS = (*("1", "1k", "1M", "1G", "1T", "1P", "1E"), *("1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"))


def resource_field_faults(selector: ResourceFieldSelector, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with a `resourceFieldRef`."""
    yield from check_choice(f"{path}.resource", selector.resource, RESOURCE_FIELDS)
    if selector.divisor is not None:
        yield from _divisor_faults(selector.resource, selector.divisor, f"{path}.divisor")


def _divisor_faults(resource: str, divisor: Quantity, path: str) -> Iterator[FieldError]:
    """0 is as good as none."""
    faults = list(check_quantity(path, divisor))
    yield from faults
    allowed = _CPU_DIVISORS if resource.endswith(".cpu") else _BYTE_DIVISORS
    if not faults and parse(divisor) not in {0, *map(parse, allowed)}:
        kind = resource.partition(".")[2]
        yield invalid(
            path, divisor, f"only divisor's values {', '.join(allowed)} are supported with the {kind} resource"
        )
