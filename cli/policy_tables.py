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


def namespace_policies(quotas: Sequence[Tree], limit_ranges: Sequence[Tree]) -> str:
    """What bounds the objects of a namespace, as kubectl describes it."""
    lines = ["", "Resource Quotas" if quotas else "No resource quota."]
    for quota in quotas:
        lines += [f"  {line}" for line in (f"Name:  {at(quota, 'metadata.name')}", *_quota(quota), "")]
    if not quotas:
        lines.append("")
    rows = [row for tree in limit_ranges for row in _bounds(tree)]
    lines.append("Resource Limits" if rows else "No LimitRange resource.")
    lines += [f" {line}" for line in (_table(_BOUNDS_HEADINGS, rows) if rows else ())]
    return "\n".join(line.rstrip() for line in lines)


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
    return _table(_BOUNDS_HEADINGS, _bounds(tree))


def _bounds(tree: Tree) -> list[list[str]]:
    """A row for each resource of each type of object."""
    rows = []
    for item in at(tree, "spec.limits", []):
        for resource in sorted({name for bound in _BOUNDS for name in item.get(bound, {})}):
            bounds = (str(item.get(bound, {}).get(resource, "-")) for bound in _BOUNDS)
            rows.append([item["type"], resource, *bounds])
    return rows


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Sequence[str]:
    underlines = ["-" * len(each) for each in headings]
    return align([list(headings), underlines, *map(list, rows)]).split("\n")
