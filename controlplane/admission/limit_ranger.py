"""Defaults and bounds for what pods ask for, from the LimitRanges of their namespace (Kubernetes: LimitRanger)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from api.meta import Quantity
from api.object import Tree
from api.pod import PodSpec
from api.policy import LimitRange, LimitRangeItem
from api.quantity import parse
from api.quota_usage import quota_quantity
from api.resources import pod_limits, pod_requests
from controlplane.admission.request import Request, Snapshot

LIMIT_RANGES = "limitranges"
ANNOTATION = "kubernetes.io/limit-ranger"
_CONTAINER_LISTS = ("containers", "initContainers")
_BOTH = "limits", "requests"

_Amounts = Mapping[str, Quantity]


class LimitRanger:
    """Looks at pods when they are created; what is there already stays."""

    def admit(self, request: Request, snapshot: Snapshot) -> Tree:
        """Return the pod with defaults for what its containers do not say, and an annotation that says so."""
        items = [each for each in _items(request, snapshot) if each.type == "Container"]
        given: list[str] = []
        spec = dict(request.tree["spec"]) if items else {}
        for field in _CONTAINER_LISTS:
            if field in spec and items:
                kind = "container" if field == "containers" else "init container"
                spec[field] = [_completed(each, items, kind, given) for each in spec[field]]
        if not given:
            return request.tree
        metadata = request.tree["metadata"]
        note = "LimitRanger plugin set: " + "; ".join(given)
        metadata = {**metadata, "annotations": {**metadata.get("annotations", {}), ANNOTATION: note}}
        return {**request.tree, "metadata": metadata, "spec": spec}

    def check(self, request: Request, snapshot: Snapshot) -> None:
        """Forbidden for a pod outside the bounds; every reason is named."""
        items = _items(request, snapshot)
        if not items:
            return
        pod = msgspec.convert(request.tree["spec"], PodSpec)
        problems = [problem for item in items for problem in _problems(item, pod)]
        if problems:
            raise request.forbidden(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")


def _items(request: Request, snapshot: Snapshot) -> Sequence[LimitRangeItem]:
    if request.kind.resource != "pods" or request.verb != "create":
        return ()
    ranges = snapshot.list(LIMIT_RANGES, request.namespace)
    return [item for each in ranges for item in each.view(LimitRange).spec.limits]


def _completed(container: Tree, items: Sequence[LimitRangeItem], kind: str, given: list[str]) -> Tree:
    """The container with the first default of every amount that it does not name; adds to `given` which those are."""
    resources = dict(container.get("resources", {}))
    for field in _BOTH:
        own = dict(resources.get(field, {}))
        added = []
        for item in items:
            defaults = item.default if field == "limits" else item.default_request
            for resource, quantity in sorted(defaults.items()):
                if resource not in own:
                    own[resource] = quantity
                    added.append(resource)
        if added:
            resources[field] = own
            given.append(f"{', '.join(added)} {field[:-1]} for {kind} {container['name']}")
    return {**container, "resources": resources} if resources else container


def _problems(item: LimitRangeItem, pod: PodSpec) -> Iterator[str]:
    if item.type == "Container":
        for container in (*pod.containers, *pod.init_containers):
            resources = container.resources
            requests, limits = (resources.requests, resources.limits) if resources else ({}, {})
            yield from _outside(item, requests, limits)
    elif item.type == "Pod":
        yield from _outside(item, _written(pod_requests(pod)), _written(pod_limits(pod)))


def _written(amounts: Mapping[str, int]) -> _Amounts:
    return {name: quota_quantity(name, value) for name, value in amounts.items() if name != "pods"}


def _outside(item: LimitRangeItem, requests: _Amounts, limits: _Amounts) -> Iterator[str]:
    """What is wrong with these requests and limits, in Kubernetes' words."""
    for resource, least in sorted(item.min.items()):
        told = f"minimum {resource} usage per {item.type} is {least}"
        yield from _below(told, parse(least), requests.get(resource), limits.get(resource))
    for resource, most in sorted(item.max.items()):
        told = f"maximum {resource} usage per {item.type} is {most}"
        yield from _above(told, parse(most), requests.get(resource), limits.get(resource))
    for resource, ratio in sorted(item.max_limit_request_ratio.items()):
        told = f"{resource} max limit to request ratio per {item.type} is {ratio}"
        yield from _wider(told, parse(ratio), parse(requests.get(resource, 0)), parse(limits.get(resource, 0)))


def _below(told: str, least: Decimal, request: Quantity | None, limit: Quantity | None) -> Iterator[str]:
    if request is None:
        yield f"{told}.  No request is specified"
    elif parse(request) < least:
        yield f"{told}, but request is {request}"
    elif limit is not None and parse(limit) < least:
        yield f"{told}, but limit is {limit}"


def _above(told: str, most: Decimal, request: Quantity | None, limit: Quantity | None) -> Iterator[str]:
    if limit is None:
        yield f"{told}.  No limit is specified"
    elif parse(limit) > most:
        yield f"{told}, but limit is {limit}"
    elif request is not None and parse(request) > most:
        yield f"{told}, but request is {request}"


def _wider(told: str, ratio: Decimal, request: Decimal, limit: Decimal) -> Iterator[str]:
    if not request:
        yield f"{told}, but no request is specified or request is 0"
    elif not limit:
        yield f"{told}, but no limit is specified or limit is 0"
    elif limit > request * ratio:
        yield f"{told}, but provided ratio is {limit / request:.6f}"
