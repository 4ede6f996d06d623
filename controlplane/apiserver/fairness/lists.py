"""What a list is likely to cost, before it is made: the estimate that its user is charged, and waits, by.

As in Kubernetes a hundred objects count as one call more. It must not know transports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from controlplane.apiserver.fairness.queue import UNIT_BYTES
from controlplane.store.state import State

OBJECTS_A_UNIT: Final = 100
LARGEST_BYTES: Final = 1 << 20  # half of what a user may run beside others: two large lists at a time


BYTES_A_UNIT: Final = 128 << 10
"""What is sent costs less than what is received and looked at."""


def units_of(size_bytes: int) -> int:
    """What it costs to send so much, in calls."""
    return size_bytes // BYTES_A_UNIT


class ListCosts:
    """Estimates on the state of one replica."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state

    def size(self, resource: str, namespace: str = "", limit: int = 0) -> int:
        """In bytes of request that would cost as much; selectors do not make it less, as all objects are looked at."""
        objects = self._state().count_in(resource, namespace)
        if 0 < limit < objects:
            objects = limit
        return min(objects * UNIT_BYTES // OBJECTS_A_UNIT, LARGEST_BYTES)
