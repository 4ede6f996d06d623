"""Which requests are recorded, and how much of each: a pure decision.

A policy file is Kubernetes' audit.k8s.io/v1 Policy: the first rule that fits a request decides, and what no rule fits is
not recorded. Without a file there is one level for everything that changes something or was refused to its caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Literal, Protocol

import msgspec

from api import manifest
from api.errors import Invalid
from controlplane.admission.request import Identity, groups_of
from controlplane.rbac.attributes import Attributes

COMPLETE: Final = "ResponseComplete"
"""The only stage at which a line is written: when the answer is complete, or a stream has ended."""

READS: Final = frozenset({"get", "list", "watch", "head"})
REFUSED_CODES: Final = frozenset({401, 403})

LevelName = Literal["None", "Metadata", "Request", "RequestResponse"]
Stage = Literal["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"]


class Level(IntEnum):
    """How much is recorded of a request; each holds what those below it do."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    @property
    def title(self) -> LevelName:
        """As Kubernetes writes it."""
        return _TITLES[self]


_TITLES: Final[dict[Level, LevelName]] = {
    Level.NONE: "None",
    Level.METADATA: "Metadata",
    Level.REQUEST: "Request",
    Level.REQUEST_RESPONSE: "RequestResponse",
}
_LEVELS: Final[dict[str, Level]] = {title: level for level, title in _TITLES.items()}


class PolicyProblem(Exception):
    """The policy cannot be used; the message names file and field."""


class AuditPolicy(Protocol):
    """Decides how much of a request is recorded."""

    def level(self, caller: Identity, asked: Attributes, code: int) -> Level:
        """Return the level for what `caller` asked for and how it ended, as an HTTP status."""


@dataclass(frozen=True, slots=True)
class ChangesPolicy:
    """One level for writes and for what was refused to its caller; reads leave nothing."""

    changes: Level

    def level(self, caller: Identity, asked: Attributes, code: int) -> Level:  # noqa: ARG002 - whoever it was
        """Return the level."""
        return self.changes if asked.verb not in READS or code in REFUSED_CODES else Level.NONE


class _Group(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True):
    group: str = ""
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()


class _Rule(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True):
    level: LevelName
    users: tuple[str, ...] = ()
    user_groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[_Group, ...] = ()
    namespaces: tuple[str, ...] = ()
    paths: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")
    omit_stages: tuple[Stage, ...] = ()


class _Metadata(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: str = ""


class _File(msgspec.Struct, rename="camel", forbid_unknown_fields=True, frozen=True):
    api_version: Literal["audit.k8s.io/v1"]
    kind: Literal["Policy"]
    rules: tuple[_Rule, ...]
    metadata: _Metadata = _Metadata()
    omit_stages: tuple[Stage, ...] = ()


class RulesPolicy:
    """The rules of a file, in their order."""

    def __init__(self, rules: Sequence[_Rule], omitted: Sequence[Stage]) -> None:
        self._rules = [(rule, _recorded(rule, omitted)) for rule in rules]

    def level(self, caller: Identity, asked: Attributes, code: int) -> Level:  # noqa: ARG002 - rules do not know it
        """Return the level of the first rule that fits."""
        return next((level for rule, level in self._rules if _fits(rule, caller, asked)), Level.NONE)


def policy_of(level: str) -> AuditPolicy:
    """The policy without a file; "" is Metadata."""
    return ChangesPolicy(_LEVELS[level or "Metadata"])


def read_policy(text: str, path: str) -> AuditPolicy:
    """Return the policy in a file that was read from `path`. PolicyProblem, naming the first field that is wrong."""
    try:
        tree: Any = manifest.load_value(text, path, may_be_empty=True)
    except Invalid as error:
        raise PolicyProblem(str(error)) from error
    try:
        found = msgspec.convert(tree, _File)
    except msgspec.ValidationError as error:
        raise PolicyProblem(f"{path}: {error}") from error
    if not found.rules:
        raise PolicyProblem(
            f"{path}: rules: a policy without rules would record nothing; set audit_level: None for that"
        )
    for index, rule in enumerate(found.rules):
        if fault := _fault(rule):
            raise PolicyProblem(f"{path}: rules[{index}].{fault}")
    return RulesPolicy(found.rules, found.omit_stages)


def _fault(rule: _Rule) -> str:
    """What is wrong with a rule, "" if nothing is; Kubernetes refuses the same."""
    if rule.paths and (rule.resources or rule.namespaces):
        return "nonResourceURLs: a rule is for paths or for resources and namespaces, not for both"
    for url in rule.paths:
        if url != "*" and not url.startswith("/"):
            return f'nonResourceURLs: "{url}" must begin with "/", or be "*"'
        if "*" in url[:-1]:
            return f'nonResourceURLs: "{url}": "*" can only be the last character'
    for at, group in enumerate(rule.resources):
        if group.resource_names and not group.resources:
            return f"resources[{at}].resourceNames: names need resources beside them"
        if "/" in group.group:
            return f'resources[{at}].group: "{group.group}" must be a group without a version'
    return ""


def _recorded(rule: _Rule, omitted: Sequence[Stage]) -> Level:
    return Level.NONE if COMPLETE in {*rule.omit_stages, *omitted} else _LEVELS[rule.level]


def _fits(rule: _Rule, caller: Identity, asked: Attributes) -> bool:
    if rule.users and caller.user not in rule.users:
        return False
    if rule.user_groups and not (caller.user and set(rule.user_groups) & set(groups_of(caller))):
        return False
    if rule.verbs and asked.verb not in rule.verbs:
        return False
    if rule.paths:
        return bool(asked.path) and any(_on_path(url, asked.path) for url in rule.paths)
    if rule.namespaces or rule.resources:
        return not asked.path and _on_resource(rule, asked)
    return True


def _on_path(url: str, path: str) -> bool:
    return url == path or (url.endswith("*") and path.startswith(url[:-1]))


def _on_resource(rule: _Rule, asked: Attributes) -> bool:
    if rule.namespaces and asked.namespace not in rule.namespaces:
        return False
    return not rule.resources or any(_in_group(group, asked) for group in rule.resources)


def _in_group(group: _Group, asked: Attributes) -> bool:
    if group.group != asked.group:
        return False
    if not group.resources:
        return True
    if group.resource_names and asked.name not in group.resource_names:
        return False
    wanted = {"*", asked.combined, f"{asked.resource}/*"}
    if asked.subresource:
        wanted.add(f"*/{asked.subresource}")
    return bool(wanted & set(group.resources))
