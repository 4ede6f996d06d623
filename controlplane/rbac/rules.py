"""Rules of roles: what one allows, and whether some of them hold everything that another one gives.

Follows Kubernetes' documentation, "Using RBAC Authorization". Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from api.rbac import PolicyRule
from controlplane.rbac.attributes import ALL, Attributes, quoted

PARTS_LIMIT: Final = 1_000
"""Into how many parts the rules of one role are taken apart, to see whether others hold each together: 5 ms."""


class Rule(msgspec.Struct, frozen=True):
    """A `PolicyRule` for quick questions; empty `names` are all names."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    paths: frozenset[str]


def compiled(rule: PolicyRule) -> Rule:
    """The rule for quick questions."""
    return Rule(
        frozenset(rule.verbs),
        frozenset(rule.api_groups),
        frozenset(rule.resources),
        frozenset(rule.resource_names),
        frozenset(rule.non_resource_urls),
    )


EVERY_POLICY: Final = (
    PolicyRule(api_groups=(ALL,), resources=(ALL,), verbs=(ALL,)),
    PolicyRule(non_resource_urls=(ALL,), verbs=(ALL,)),
)
EVERY_RULE: Final = tuple(map(compiled, EVERY_POLICY))
"""What the role cluster-admin allows, in both forms."""


def allows(rule: Rule, asked: Attributes) -> bool:
    """Whether the rule alone allows the request."""
    if asked.verb not in rule.verbs and ALL not in rule.verbs:
        return False
    if asked.path:
        return _path_matches(rule.paths, asked.path)
    return matches_resource(rule, asked) and (not rule.names or asked.name in rule.names)


def matches_resource(rule: Rule, asked: Attributes) -> bool:
    """Whether the rule is about that group and resource, whatever the verb and name."""
    if asked.group not in rule.groups and ALL not in rule.groups:
        return False
    resources = rule.resources
    return (
        asked.combined in resources
        or ALL in resources
        or (bool(asked.subresource) and f"{ALL}/{asked.subresource}" in resources)
    )


def missing(held: Sequence[Rule], given: Iterable[PolicyRule]) -> list[PolicyRule]:
    """The parts of `given` that `held` rules do not cover together; [] when they hold all of it.

    What has more than `PARTS_LIMIT` parts counts as missing as a whole, unless one held rule covers it alone.
    """
    found: list[PolicyRule] = []
    left = PARTS_LIMIT
    for rule in given:
        whole = compiled(rule)
        near = [each for each in held if _overlap(each, whole)]
        if any(covers(each, whole) for each in near):
            continue
        left -= _part_count(rule)
        found += _uncovered(near, rule) if near and left >= 0 else [rule]
    return found


def covers(held: Rule, given: Rule) -> bool:
    """Whether one rule allows whatever the other one allows."""
    if not (ALL in held.verbs or given.verbs <= held.verbs):
        return False
    if given.paths:
        return all(_path_matches(held.paths, path) for path in given.paths)
    groups = ALL in held.groups or given.groups <= held.groups
    resources = ALL in held.resources or all(_covers_resource(held.resources, each) for each in given.resources)
    names = not held.names or (bool(given.names) and given.names <= held.names)
    return groups and resources and names


def shown(rule: PolicyRule) -> str:
    """A rule in one line, as Kubernetes writes those that are missing."""
    parts = (
        ("APIGroups", rule.api_groups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.non_resource_urls),
        ("ResourceNames", rule.resource_names),
        ("Verbs", rule.verbs),
    )
    return "{" + ", ".join(f"{name}:[{' '.join(map(quoted, values))}]" for name, values in parts if values) + "}"


@dataclass(frozen=True, slots=True)
class _Split:
    """A way to take a rule apart: by one of its fields."""

    field: str

    def parts(self, rule: PolicyRule) -> Iterator[PolicyRule]:
        values = getattr(rule, self.field)
        return (msgspec.structs.replace(rule, **{self.field: (value,)}) for value in values)


_SPLITS: Final = tuple(map(_Split, ("verbs", "api_groups", "resources", "resource_names", "non_resource_urls")))


def _uncovered(held: Sequence[Rule], rule: PolicyRule) -> list[PolicyRule]:
    """Take the rule apart field by field, only as far as it has to be; what is left of it is not covered."""
    waiting = [rule]
    for split in _SPLITS:
        taken_apart = [part for each in waiting for part in (split.parts(each) if _many(each, split) else (each,))]
        waiting = [part for part in taken_apart if not _covered(held, part)]
    return waiting


def _covered(held: Sequence[Rule], rule: PolicyRule) -> bool:
    given = compiled(rule)
    return any(covers(each, given) for each in held)


def _overlap(held: Rule, given: Rule) -> bool:
    """Whether `held` may cover a part of `given`; never false when it does."""
    return _share(held.verbs, given.verbs) and (bool(given.paths) or _share(held.groups, given.groups))


def _share(held: frozenset[str], given: frozenset[str]) -> bool:
    return ALL in held or not held.isdisjoint(given)


def _many(rule: PolicyRule, split: _Split) -> bool:
    return len(getattr(rule, split.field)) > 1


def _part_count(rule: PolicyRule) -> int:
    count = 1
    for split in _SPLITS:
        count *= len(getattr(rule, split.field)) or 1
    return count


def _covers_resource(held: frozenset[str], resource: str) -> bool:
    """Whether a resource is among those; `*/log` covers `pods/log`."""
    if resource in held:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"{ALL}/{subresource}" in held


def _path_matches(patterns: frozenset[str], path: str) -> bool:
    """A pattern is a path, or the beginning of one and `*`."""
    if path in patterns or ALL in patterns:
        return True
    return any(pattern.endswith(ALL) and path.startswith(pattern.rstrip(ALL)) for pattern in patterns)
