"""What makes a stored default role or binding as complete as it should be, and leaves alone what others put in. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from api.object import Tree
from api.rbac import PolicyRule
from controlplane.rbac.defaults import AUTOUPDATE
from controlplane.rbac.rules import compiled, missing


def completed_role(wanted: Tree, stored: Tree) -> Tree | None:
    """The stored role with the permissions, labels and annotations that it lacks; None when it lacks none, or is left alone."""
    if _left_alone(stored):
        return None
    changed = _with_metadata(wanted, stored)
    if "aggregationRule" in wanted:
        if stored.get("aggregationRule") != wanted["aggregationRule"]:
            changed = {**changed, "aggregationRule": wanted["aggregationRule"]}
    else:
        rules = stored.get("rules", [])
        held = [compiled(rule) for rule in _policies(rules)]
        lacking = [rule for rule in wanted["rules"] if missing(held, _policies([rule]))]
        if lacking:
            changed = {**changed, "rules": [*rules, *lacking]}
    return None if changed == stored else changed


def completed_binding(wanted: Tree, stored: Tree) -> Tree | None:
    """As `completed_role`, for subjects; one that binds another role cannot be completed, see `binds_another_role`."""
    if _left_alone(stored) or stored["roleRef"] != wanted["roleRef"]:
        return None
    changed = _with_metadata(wanted, stored)
    subjects = stored.get("subjects", [])
    lacking = [subject for subject in wanted["subjects"] if subject not in subjects]
    if lacking:
        changed = {**changed, "subjects": [*subjects, *lacking]}
    return None if changed == stored else changed


def binds_another_role(wanted: Tree, stored: Tree) -> bool:
    """Whether the stored binding has to be made anew, since what a binding binds cannot change."""
    return not _left_alone(stored) and bool(stored["roleRef"] != wanted["roleRef"])


def _left_alone(stored: Tree) -> bool:
    return bool(stored["metadata"].get("annotations", {}).get(AUTOUPDATE) == "false")


def _with_metadata(wanted: Tree, stored: Tree) -> Tree:
    metadata = dict(stored["metadata"])
    for name in ("labels", "annotations"):
        metadata[name] = {**metadata.get(name, {}), **wanted["metadata"][name]}
    return {**stored, "metadata": metadata}


def _policies(rules: Any) -> list[PolicyRule]:
    return msgspec.convert(rules, list[PolicyRule])
