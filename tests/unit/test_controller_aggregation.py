"""ClusterRoles that gather the rules of others."""

from __future__ import annotations

import msgspec

from api.object import Object, canonical
from api.rbac import ClusterRole
from api.scheme import RBAC
from component.informer import Cached
from controlplane.controllers.aggregation import reconcile
from controlplane.rbac.defaults import CLUSTER_ROLES

GATHER = {"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}, {"matchLabels": {"to": "some"}}]}


def rule(verb):
    return {"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}


def role(name, *verbs, labels=None, **fields):
    tree = {"metadata": {"name": name, "labels": labels or {}}, "rules": [rule(verb) for verb in verbs], **fields}
    return cached(tree)


def cached(tree):
    body = canonical({"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", **tree})
    stored = Object(f"clusterroles.{RBAC}", "", tree["metadata"]["name"], "u", 7, body)
    return Cached(stored, msgspec.json.decode(body, type=ClusterRole))


def gathered(subject, *others):
    actions = reconcile(subject, [subject, *others])
    return [each["verbs"][0] for each in actions[0].tree["rules"]] if actions else None


def test_the_rules_are_those_of_all_selected_roles_by_name_and_each_once():
    subject = role("all", "old", aggregationRule=GATHER)
    others = (
        role("c", "list", "get", labels={"to": "some"}),
        role("a", "get", labels={"to": "all", "more": "x"}),
        role("b", "delete", labels={"to": "none"}),
    )
    assert gathered(subject, *others) == ["get", "list"]


def test_rules_that_are_right_are_not_written_again():
    subject = role("all", "get", aggregationRule=GATHER)
    assert gathered(subject, role("a", "get", labels={"to": "all"})) is None


def test_a_role_does_not_gather_itself():
    subject = role("all", "get", labels={"to": "all"}, aggregationRule=GATHER)
    assert gathered(subject) == []


def test_a_role_without_selectors_is_somebody_elses():
    assert gathered(role("own", "get"), role("a", "list", labels={"to": "all"})) is None


def test_a_role_that_goes_is_left_alone():
    subject = role("all", "get", aggregationRule=GATHER)
    tree = subject.object.tree()
    tree["metadata"] = {**tree["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert gathered(cached(tree)) is None


def test_admin_holds_edit_and_edit_holds_view_once_all_are_gathered():
    trees = {tree["metadata"]["name"]: {**tree, "rules": tree.get("rules", [])} for tree in CLUSTER_ROLES}
    for _ in range(4):
        everything = [cached(tree) for tree in trees.values()]
        for each in everything:
            for action in reconcile(each, everything):
                trees[each.object.name] = action.tree
    everything = [cached(tree) for tree in trees.values()]
    assert not [action for each in everything for action in reconcile(each, everything)]
    view, edit, admin = (trees[name]["rules"] for name in ("view", "edit", "admin"))
    assert all(each in edit for each in view)
    assert all(each in admin for each in edit)
    assert len(view) < len(edit) < len(admin)
