"""Rules for LimitRanges, ResourceQuotas and PriorityClasses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from api.errors import FieldError
from api.faults import (
    check_quantity,
    check_range,
    duplicate,
    forbidden,
    immutable,
    invalid,
    required,
    unsupported,
)
from api.meta import Quantity
from api.names import qualified_name_fault
from api.policy import (
    LimitRange,
    LimitRangeItem,
    ResourceQuota,
    ResourceQuotaSpec,
    ScopedResourceSelectorRequirement,
)
from api.quantity import parse
from api.quota_usage import COMPUTE, COUNTED_BY_NAME
from api.scheduling import PriorityClass
from api.wellknown import HIGHEST_USER_PRIORITY, PREEMPTION_POLICIES, SYSTEM_PRIORITIES

SCOPES = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass")
SELECTED_BY_VALUE = "PriorityClass"
_OPPOSITES = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_LATER_SCOPES = frozenset({"CrossNamespacePodAffinity", "VolumeAttributesClass"})
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_QUOTA_NAMES = COUNTED_BY_NAME | frozenset(
    (
        *COMPUTE,
        *("ephemeral-storage", "requests.ephemeral-storage", "limits.ephemeral-storage", "requests.storage"),
        *("services.nodeports", "services.loadbalancers"),
    )
)
_INT32 = 2**31


def limit_range_faults(limits: LimitRange) -> Iterator[FieldError]:
    """Yield what is wrong with a limit range."""
    seen = set()
    for index, item in enumerate(limits.spec.limits):
        path = f"spec.limits[{index}]"
        if not item.type:
            yield required(f"{path}.type")
        elif item.type in seen:
            yield duplicate(f"{path}.type", item.type)
        seen.add(item.type)
        yield from _item_faults(item, path)


def _item_faults(item: LimitRangeItem, path: str) -> Iterator[FieldError]:
    maps: Mapping[str, Mapping[str, Quantity]] = {
        "max": item.max,
        "min": item.min,
        "default": item.default,
        "defaultRequest": item.default_request,
        "maxLimitRequestRatio": item.max_limit_request_ratio,
    }
    faults = [
        fault
        for field, amounts in maps.items()
        for resource, quantity in amounts.items()
        for fault in check_quantity(f"{path}.{field}[{resource}]", quantity)
    ]
    yield from faults
    if item.type == "Pod":
        for field in ("default", "defaultRequest"):
            if maps[field]:
                yield forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
    if faults:
        return
    for resource in sorted({resource for amounts in maps.values() for resource in amounts}):
        yield from _order_faults(maps, resource, path)
        yield from _ratio_faults(maps, resource, path)


_ORDER = (
    ("min", "max", "min", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "defaultRequest", "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "defaultRequest", "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "defaultRequest", "default request value {} is greater than default limit value {}"),
    ("min", "default", "default", "min value {} is greater than default value {}"),
    ("default", "max", "default", "default value {} is greater than max value {}"),
)
"""Pairs of which the first must not be more than the second, the field that is blamed, and Kubernetes' words."""


def _order_faults(maps: Mapping[str, Mapping[str, Quantity]], resource: str, path: str) -> Iterator[FieldError]:
    for low, high, blamed, words in _ORDER:
        less, more = maps[low].get(resource), maps[high].get(resource)
        if less is not None and more is not None and parse(less) > parse(more):
            yield invalid(f"{path}.{blamed}[{resource}]", maps[blamed][resource], words.format(less, more))


def _ratio_faults(maps: Mapping[str, Mapping[str, Quantity]], resource: str, path: str) -> Iterator[FieldError]:
    given = maps["maxLimitRequestRatio"].get(resource)
    if given is None:
        return
    where, ratio = f"{path}.maxLimitRequestRatio[{resource}]", parse(given)
    if ratio < 1:
        yield invalid(where, given, f"ratio {given} is less than 1")
    least, most = maps["min"].get(resource), maps["max"].get(resource)
    if least is None or most is None or not parse(least):
        return
    widest = parse(most) / parse(least)
    if ratio > widest:
        yield invalid(where, given, f"ratio {given} is greater than max/min = {widest:.6f}")


def resource_quota_faults(quota: ResourceQuota, old: ResourceQuota | None) -> Iterator[FieldError]:
    """Yield what is wrong with a quota. What it looks at cannot change, or what it counted would mean nothing."""
    for name, quantity in quota.spec.hard.items():
        yield from _hard_faults(name, quantity, f"spec.hard[{name}]")
    yield from _scopes_faults(quota.spec)
    for index, each in enumerate(quota.spec.scope_selector.match_expressions if quota.spec.scope_selector else ()):
        yield from _expression_faults(each, f"spec.scopeSelector.matchExpressions[{index}]")
    if old is None:
        return
    if set(quota.spec.scopes) != set(old.spec.scopes):
        yield immutable("spec.scopes", list(quota.spec.scopes))
    if quota.spec.scope_selector != old.spec.scope_selector:
        yield forbidden("spec.scopeSelector", "field is immutable: delete the quota and create it anew")


def _hard_faults(name: str, quantity: Quantity, path: str) -> Iterator[FieldError]:
    if why := qualified_name_fault(name):
        yield invalid(path, name, why)
    elif "/" not in name and name not in _QUOTA_NAMES:
        yield invalid(path, name, "must be a standard resource for quota")
    faults = list(check_quantity(path, quantity))
    yield from faults
    counts = name in COUNTED_BY_NAME or name.startswith(("count/", "services."))
    if counts and not faults and parse(quantity) % 1:
        yield invalid(path, quantity, "must be an integer")


def _scopes_faults(spec: ResourceQuotaSpec) -> Iterator[FieldError]:
    shown = list(spec.scopes)
    for scope in spec.scopes:
        yield from _scope_faults(scope, "spec.scopes", shown)
        if scope in SCOPES and not spec.hard.keys() <= _countable(scope):
            yield invalid("spec.scopes", shown, "unsupported scope applied to resource")
    for one, other in _OPPOSITES:
        if one in spec.scopes and other in spec.scopes:
            yield invalid("spec.scopes", shown, "conflicting scopes")
    for index, each in enumerate(spec.scope_selector.match_expressions if spec.scope_selector else ()):
        if each.scope_name in SCOPES and not spec.hard.keys() <= _countable(each.scope_name):
            path = f"spec.scopeSelector.matchExpressions[{index}].scopeName"
            yield invalid(path, each.scope_name, "unsupported scope applied to resource")


def _scope_faults(scope: str, path: str, shown: object) -> Iterator[FieldError]:
    if scope in _LATER_SCOPES:
        yield FieldError(path, f"{scope} is not supported yet; supported: {', '.join(SCOPES)}")
    elif scope not in SCOPES:
        yield invalid(path, shown, "unsupported scope")


def _countable(scope: str) -> frozenset[str]:
    """What a quota of that scope may bound: pods, and what they ask for where they may ask."""
    return frozenset({"pods"}) if scope == "BestEffort" else frozenset({"pods", *COMPUTE})


def _expression_faults(each: ScopedResourceSelectorRequirement, path: str) -> Iterator[FieldError]:
    if not each.scope_name:
        yield required(f"{path}.scopeName")
    else:
        yield from _scope_faults(each.scope_name, f"{path}.scopeName", each.scope_name)
    if each.operator not in _OPERATORS:
        yield unsupported(f"{path}.operator", each.operator, _OPERATORS)
    elif each.scope_name in SCOPES and each.scope_name != SELECTED_BY_VALUE and each.operator != "Exists":
        yield invalid(f"{path}.operator", each.operator, f"must be 'Exists' for the scope {each.scope_name}")
    elif each.operator in {"In", "NotIn"} and not each.values:
        why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        yield required(f"{path}.values", why)
    elif each.operator in {"Exists", "DoesNotExist"} and each.values:
        why = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"
        yield invalid(f"{path}.values", list(each.values), why)


def priority_class_faults(priority: PriorityClass, old: PriorityClass | None) -> Iterator[FieldError]:
    """Yield what is wrong with a priority class."""
    name, value = priority.metadata.name, priority.value or 0
    if name.startswith("system-"):
        if why := _system_class_fault(name, value, is_default=bool(priority.global_default)):
            reserved = "priority class names with 'system-' prefix are reserved for system use only"
            yield forbidden("metadata.name", f"{reserved}. error: {why}")
    elif value > HIGHEST_USER_PRIORITY:
        yield forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}")
    yield from check_range("value", value, -_INT32, _INT32 - 1)
    if priority.preemption_policy is not None and priority.preemption_policy not in PREEMPTION_POLICIES:
        yield unsupported("preemptionPolicy", priority.preemption_policy, PREEMPTION_POLICIES)
    if old is None:
        return
    if value != (old.value or 0):
        yield forbidden("value", "may not be changed in an update.")
    if priority.preemption_policy != old.preemption_policy:
        yield immutable("preemptionPolicy", priority.preemption_policy or "")


def _system_class_fault(name: str, value: int, *, is_default: bool) -> str:
    known = SYSTEM_PRIORITIES.get(name)
    if known is None:
        return f"{name} is not a known system priority class"
    if value != known:
        return f"value of {name} PriorityClass must be {known}"
    return f"globalDefault of {name} PriorityClass must be false" if is_default else ""
