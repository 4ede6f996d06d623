"""The priority classes that every cluster has. Made at each leader's start, and again by the next if somebody removes them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import structlog

from api import errors
from api.object import Tree
from api.wellknown import SYSTEM_PRIORITIES
from component.client import ApiClient

RETRY_SECONDS: Final = 1.0

log = structlog.get_logger()


async def keep_default_priorities(client: ApiClient) -> None:
    """Return when all are there. Until the cluster's level knows them, and when writes fail: again."""
    while True:
        try:
            for name, value in SYSTEM_PRIORITIES.items():
                with contextlib.suppress(errors.AlreadyExists):
                    await client.create(_priority_class(name, value))
        except errors.ApiError as error:
            log.info("default_priorities_delayed", reason=error.reason, message=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


def _priority_class(name: str, value: int) -> Tree:
    part = name.removeprefix("system-").removesuffix("-critical")
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "description": f"Used for system critical pods that must run in the {part}.",
    }
