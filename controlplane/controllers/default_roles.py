"""The roles and bindings that every cluster has: made, and completed where something is missing, at each leader's start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from api import errors
from api.object import Object, Tree
from api.scheme import RBAC
from component.client import ApiClient
from controlplane.controllers.actions import Create, Delete, Update
from controlplane.controllers.writes import perform
from controlplane.rbac.defaults import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from controlplane.rbac.reconciling import binds_another_role, completed_binding, completed_role

RETRY_SECONDS: Final = 1.0

log = structlog.get_logger()


async def keep_default_roles(client: ApiClient) -> None:
    """Return when all are there and complete. Until the cluster's level knows them, and when writes fail: again."""
    while True:
        try:
            count = await make_default_roles(client)
        except errors.ApiError as error:
            log.info("default_roles_delayed", reason=error.reason, message=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        else:
            log.info("default_roles_complete", changed=count)
            return


async def make_default_roles(client: ApiClient) -> int:
    """Make and complete them once; returns how many writes that took. Raises what a write raises."""
    count = 0
    for resource, wanted, plan in (
        (f"clusterroles.{RBAC}", CLUSTER_ROLES, plan_role),
        (f"clusterrolebindings.{RBAC}", CLUSTER_ROLE_BINDINGS, plan_binding),
    ):
        stored = {each.name: each for each in (await client.list(resource)).items}
        for action in _actions(wanted, stored, plan):
            await perform(client, action)
            count += 1
    return count


def plan_role(wanted: Tree, stored: Object | None) -> Sequence[Create | Update | Delete]:
    """What to do about one default role."""
    if stored is None:
        return [Create(wanted)]
    changed = completed_role(wanted, stored.tree())
    return [] if changed is None else [Update(changed)]


def plan_binding(wanted: Tree, stored: Object | None) -> Sequence[Create | Update | Delete]:
    """What to do about one default binding."""
    if stored is None:
        return [Create(wanted)]
    tree = stored.tree()
    if binds_another_role(wanted, tree):
        return [Delete(stored.resource, "", stored.name, stored.uid), Create(wanted)]
    changed = completed_binding(wanted, tree)
    return [] if changed is None else [Update(changed)]


def _actions(
    wanted: Sequence[Tree],
    stored: dict[str, Object],
    plan: Callable[[Tree, Object | None], Sequence[Create | Update | Delete]],
) -> Iterable[Create | Update | Delete]:
    return (action for tree in wanted for action in plan(tree, stored.get(tree["metadata"]["name"])))
