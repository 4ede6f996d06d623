"""Webhooks as they are configured, ready to be matched with requests.

Follows Kubernetes' documentation, "Dynamic Admission Control", matching requests: rules, match policy, selectors. A rule
names resources by group, version and plural, so kinds that come and go need no word here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from api.meta import LabelSelector
from api.object import Object, Tree
from api.scheme import ADMISSION
from api.selectors import Selector, label_selector_of
from api.webhooks import (
    MutatingWebhook,
    MutatingWebhookConfiguration,
    RuleWithOperations,
    ValidatingWebhookConfiguration,
    Webhook,
    WebhookClientConfig,
)
from controlplane.admission.webhooks.attributes import Attributes

MUTATING: Final = f"mutatingwebhookconfigurations.{ADMISSION}"
VALIDATING: Final = f"validatingwebhookconfigurations.{ADMISSION}"

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """Sets of what a rule allows; "*" stands for all. `resources` are pairs of a plural and a subresource."""

    groups: frozenset[str]
    versions: frozenset[str]
    operations: frozenset[str]
    resources: frozenset[tuple[str, str]]
    scope: str

    def version_for(self, asked: Attributes, *, exact: bool) -> str:
        """The version in which a request is meant, "" if it is not.

        Unless `exact`, a rule for one version of a resource means requests for every other that is served, too.
        """
        matches = (
            not self.operations.isdisjoint((asked.operation, "*"))
            and not self.groups.isdisjoint((asked.group, "*"))
            and any(
                resource in {asked.resource, "*"} and subresource in {asked.subresource, "*"}
                for resource, subresource in self.resources
            )
            and self._in_scope(asked)
        )
        if not matches:
            return ""
        if not self.versions.isdisjoint((asked.version, "*")):
            return asked.version
        return "" if exact else next((each for each in asked.versions if each in self.versions), "")

    def _in_scope(self, asked: Attributes) -> bool:
        inside = bool(asked.namespace) and not asked.of_namespace
        return self.scope == "*" or inside == (self.scope == "Namespaced")


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook. `place` tells it from all others, `generation` from what it was before its configuration changed."""

    configuration: str
    place: tuple[str, str, str]
    generation: bytes
    name: str
    client: WebhookClientConfig
    rules: tuple[Rule, ...]
    namespaces: Selector
    objects: Selector
    exact: bool
    ignored: bool  # when it cannot be asked
    timeout_seconds: int
    dry_runs: bool
    mutating: bool
    reinvoked: bool

    def version_for(self, asked: Attributes, namespace_labels: Callable[[], Labels]) -> str:
        """The version in which it is to be asked about a request, "" when it is not to be asked.

        An exact match of any rule comes before another version. The labels of the request's namespace are wanted only if
        they matter.
        """
        found = [version for rule in self.rules if (version := rule.version_for(asked, exact=self.exact))]
        if not found:
            return ""
        if not self.objects.empty and not any(
            self.objects.matches(labels_of(tree)) for tree in (asked.tree, asked.old) if tree is not None
        ):
            return ""
        if not self.namespaces.empty and asked.namespace and not self.namespaces.matches(namespace_labels()):
            return ""
        return asked.version if asked.version in found else found[0]


class Hooks:
    """The webhooks of configurations, made once for each that is written."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[bytes, Sequence[Hook]]] = {}

    def of(self, configurations: Sequence[Object]) -> list[Hook]:
        """Return all webhooks of configurations of one kind, in the order in which they are asked."""
        found: list[Hook] = []
        for each in sorted(configurations, key=lambda configuration: configuration.name):
            place = each.resource, each.name
            known = self._known.get(place)
            if known is None or known[0] != each.json:
                known = self._known[place] = each.json, _compiled(each)
            found += known[1]
        if len(self._known) > 2 * len(configurations) + 64:
            self._known.clear()  # of many that are gone
        return found


def _compiled(configuration: Object) -> Sequence[Hook]:
    mutating = configuration.resource == MUTATING
    view: MutatingWebhookConfiguration | ValidatingWebhookConfiguration
    if mutating:
        view = configuration.view(MutatingWebhookConfiguration)
    else:
        view = configuration.view(ValidatingWebhookConfiguration)
    return [_hook(configuration, each, mutating=mutating) for each in view.webhooks]


def _hook(configuration: Object, webhook: Webhook, *, mutating: bool) -> Hook:
    return Hook(
        configuration=configuration.name,
        place=(configuration.resource, configuration.uid, webhook.name),
        generation=configuration.json,
        name=webhook.name,
        client=webhook.client_config,
        rules=tuple(map(_rule, webhook.rules)),
        namespaces=label_selector_of(webhook.namespace_selector or LabelSelector()),
        objects=label_selector_of(webhook.object_selector or LabelSelector()),
        exact=webhook.match_policy == "Exact",
        ignored=webhook.failure_policy == "Ignore",
        timeout_seconds=webhook.timeout_seconds or 10,
        dry_runs=webhook.side_effects in {"None", "NoneOnDryRun"},
        mutating=mutating,
        reinvoked=isinstance(webhook, MutatingWebhook) and webhook.reinvocation_policy == "IfNeeded",
    )


def _rule(rule: RuleWithOperations) -> Rule:
    resources = (each.partition("/") for each in rule.resources)
    return Rule(
        groups=frozenset(rule.api_groups),
        versions=frozenset(rule.api_versions),
        operations=frozenset(rule.operations),
        resources=frozenset((resource, subresource) for resource, _, subresource in resources),
        scope=rule.scope or "*",
    )


def labels_of(tree: Tree) -> Labels:
    """The labels of an object; none of what is no object."""
    labels: Labels = (tree.get("metadata") or {}).get("labels") or {}
    return labels
