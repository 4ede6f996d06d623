"""What `tim describe` shows of ResourceQuotas and LimitRanges: kubectl's tables. Pure: trees in, lines out."""

from __future__ import annotations

from collections.abc import Sequence

from api.object import Tree, at
from cli.output import align

_BOUNDS = ("min", "max", "defaultRequest", "default", "maxLimitRequestRatio")
_BOUNDS_HEADINGS = ("Type", "Resource", "Min", "Max", "Default Request", "Default Limit", "Max Limit/Request Ratio")


def policy_table(resource: str, tree: Tree) -> Sequence[str]:
    """The lines for an object of one of these kinds; none for others."""
    match resource:
        case "resourcequotas":
            return _quota(tree)
        case "limitranges":
            return _limit_range(tree)
        case _:
            return ()


def _quota(tree: Tree) -> Sequence[str]:
    """What is bounded and used; the scopes before it."""
    lines = []
    if scopes := at(tree, "spec.scopes", []):
        lines.append(f"Scopes:  {', '.join(sorted(scopes))}")
    for each in at(tree, "spec.scopeSelector.matchExpressions", []):
        values = ", ".join(each.get("values", ()))
        lines.append(f"Scope Selector:  {each['scopeName']} {each['operator']}{f' [{values}]' if values else ''}")
    hard, used = at(tree, "status.hard", {}) or at(tree, "spec.hard", {}), at(tree, "status.used", {})
    rows = [[name, str(used.get(name, "<unknown>")), str(bound)] for name, bound in sorted(hard.items())]
    return [*lines, *_table(("Resource", "Used", "Hard"), rows)]


def _limit_range(tree: Tree) -> Sequence[str]:
    rows = []
    for item in at(tree, "spec.limits", []):
        for resource in sorted({name for bound in _BOUNDS for name in item.get(bound, {})}):
            bounds = (str(item.get(bound, {}).get(resource, "-")) for bound in _BOUNDS)
            rows.append([item["type"], resource, *bounds])
    return _table(_BOUNDS_HEADINGS, rows)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Sequence[str]:
    underlines = ["-" * len(each) for each in headings]
    return align([list(headings), underlines, *map(list, rows)]).split("\n")
