"""Rules for references to a container's own requests and limits, in variables and in files."""

from __future__ import annotations

from collections.abc import Iterator

from api.env import ResourceFieldSelector
from api.errors import FieldError
from api.faults import check_choice, check_quantity

RESOURCE_FIELDS = (
    *("limits.cpu", "limits.memory", "limits.ephemeral-storage"),
    *("requests.cpu", "requests.memory", "requests.ephemeral-storage"),
)


def resource_field_faults(selector: ResourceFieldSelector, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with a `resourceFieldRef`."""
    yield from check_choice(f"{path}.resource", selector.resource, RESOURCE_FIELDS)
    if selector.divisor is not None:
        yield from check_quantity(f"{path}.divisor", selector.divisor)
