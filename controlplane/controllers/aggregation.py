"""ClusterRoles that gather the rules of others: their rules are those of all ClusterRoles that they select by label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.errors import ApiError
from api.object import Tree
from api.rbac import ClusterRole
from api.selectors import label_selector_of
from component.informer import Cached, Change, Informer
from controlplane.controllers.actions import Action, Update
from controlplane.controllers.loop import Key, Source


def reconcile(role: Cached[ClusterRole], others: Iterable[Cached[ClusterRole]]) -> list[Update]:
    """Return the update of a gathering role whose rules are not those of the roles it selects, in order of their names."""
    aggregation = role.view.aggregation_rule
    if aggregation is None or role.view.metadata.deletion_timestamp is not None:
        return []
    selectors = [label_selector_of(each) for each in aggregation.cluster_role_selectors]
    rules: list[Tree] = []
    for other in sorted(others, key=lambda each: each.object.name):
        labels = other.view.metadata.labels
        if other.object.name != role.object.name and any(selector.matches(labels) for selector in selectors):
            rules += [rule for rule in other.object.tree().get("rules", []) if rule not in rules]
    tree = role.object.tree()
    if tree.get("rules", []) == rules:
        return []
    return [Update({**tree, "rules": rules})]


class AggregationController:
    """Looks at every gathering ClusterRole whenever any ClusterRole changes: there are few."""

    name = "clusterrole-aggregation"

    def __init__(self, roles: Informer[ClusterRole]) -> None:
        self._roles = roles

    def sources(self) -> Sequence[Source]:
        """ClusterRoles."""
        return [Source(self._roles, self._keys)]

    def all_keys(self) -> Iterable[Key]:
        """All that gather."""
        return [cached.key for cached in self._roles.items() if cached.view.aggregation_rule is not None]

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one gathering role."""
        del failure
        role = self._roles.get(*key)
        return [] if role is None else reconcile(role, self._roles.items())

    def _keys(self, change: Change[ClusterRole]) -> Iterable[Key]:
        del change
        return self.all_keys()
