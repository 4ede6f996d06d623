"""Deleting many objects: some at a time, each on its own, with what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from api.errors import ApiError, NotFound, Unavailable, Unknown
from api.object import Object
from component.client import OperationResult

AT_ONCE: Final = 16
"""Deletions under way together: deciding one takes 0.2 ms, the loop must not be held over 5; they share log entries."""

PAGE_OBJECTS: Final = 100
"""Of a collection, in one call: a tenth of a second, far below the time after which clients ask another replica."""


async def delete_each(
    objects: Sequence[Object], delete: Callable[[Object], Awaitable[Object]]
) -> list[OperationResult]:
    """Delete all objects, in order but for those at once; one that is gone already (NotFound) is left out.

    Raises Unavailable and Unknown: the others would fail the same way, each after its time-out.
    """
    results: list[OperationResult] = []
    for start in range(0, len(objects), AT_ONCE):
        found = await asyncio.gather(*(_deleted(each, delete) for each in objects[start : start + AT_ONCE]))
        results += [each for each in found if each is not None]
        for each in results[-AT_ONCE:]:
            if isinstance(each.error, Unavailable | Unknown):
                raise each.error
    return results


async def _deleted(each: Object, delete: Callable[[Object], Awaitable[Object]]) -> OperationResult | None:
    try:
        return OperationResult("deleted", await delete(each))
    except NotFound:
        return None
    except ApiError as error:
        return OperationResult("refused", each, error)
