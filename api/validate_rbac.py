"""Rules for roles and bindings."""

from __future__ import annotations

from collections.abc import Iterator

from api.errors import FieldError
from api.faults import check_text, forbidden, invalid, required, unsupported
from api.names import dns_subdomain_fault, path_segment_fault
from api.rbac import ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject
from api.scheme import RBAC
from api.validate_meta import selector_faults

PLURALS = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")


def role_faults(role: Role) -> Iterator[FieldError]:
    """Yield what is wrong with a Role."""
    for index, rule in enumerate(role.rules):
        yield from _rule_faults(rule, f"rules[{index}]", namespaced=True)


def cluster_role_faults(role: ClusterRole) -> Iterator[FieldError]:
    """Yield what is wrong with a ClusterRole."""
    for index, rule in enumerate(role.rules):
        yield from _rule_faults(rule, f"rules[{index}]", namespaced=False)
    if role.aggregation_rule is None:
        return
    path = "aggregationRule.clusterRoleSelectors"
    selectors = role.aggregation_rule.cluster_role_selectors
    if not selectors:
        yield required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for index, selector in enumerate(selectors):
        yield from selector_faults(selector, f"{path}[{index}]")


def role_binding_faults(
    binding: RoleBinding | ClusterRoleBinding, old: RoleBinding | ClusterRoleBinding | None
) -> Iterator[FieldError]:
    """Yield what is wrong with a binding of either kind."""
    namespaced = isinstance(binding, RoleBinding)
    reference = binding.role_ref
    kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
    if reference.api_group != RBAC:
        yield unsupported("roleRef.apiGroup", reference.api_group or "", (RBAC,))
    if reference.kind not in kinds:
        yield unsupported("roleRef.kind", reference.kind, kinds)
    yield from check_text("roleRef.name", reference.name, path_segment_fault)
    for index, subject in enumerate(binding.subjects):
        yield from _subject_faults(subject, f"subjects[{index}]", namespaced=namespaced)
    if old is not None and old.role_ref != reference:
        yield invalid("roleRef", _shown(reference), "cannot change roleRef")


def _rule_faults(rule: PolicyRule, path: str, *, namespaced: bool) -> Iterator[FieldError]:
    if not rule.verbs:
        yield required(f"{path}.verbs", "verbs must contain at least one value")
    if rule.non_resource_urls:
        urls, where = list(rule.non_resource_urls), f"{path}.nonResourceURLs"
        if namespaced:
            yield invalid(where, urls, "namespaced rules cannot apply to non-resource URLs")
        if rule.api_groups or rule.resources or rule.resource_names:
            yield invalid(where, urls, "rules cannot apply to both regular resources and non-resource URLs")
        return
    if not rule.api_groups:
        yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.resources:
        yield required(f"{path}.resources", "resource rules must supply at least one resource")


def _subject_faults(subject: Subject, path: str, *, namespaced: bool) -> Iterator[FieldError]:
    group = subject.api_group or ""
    if not subject.name:
        yield required(f"{path}.name")
    match subject.kind:
        case "ServiceAccount":
            yield from check_text(f"{path}.name", subject.name, dns_subdomain_fault, optional=True)
            if group:
                yield unsupported(f"{path}.apiGroup", group, ("",))
            if not namespaced and not subject.namespace:
                yield required(f"{path}.namespace")
        case "User" | "Group":
            if group != RBAC:
                yield unsupported(f"{path}.apiGroup", group, (RBAC,))
            if subject.namespace:
                yield forbidden(f"{path}.namespace", f"a {subject.kind} has none")
        case other:
            yield unsupported(f"{path}.kind", other, ("ServiceAccount", "User", "Group"))


def _shown(reference: RoleRef) -> dict[str, str]:
    return {"apiGroup": reference.api_group or "", "kind": reference.kind, "name": reference.name}
