"""What a namespace's objects may take: bounds of single pods and containers, and of all together."""

from __future__ import annotations

from api.meta import ObjectMeta, Quantity, Resource, required


class LimitRangeItem(Resource):
    """Bounds for what one object of `type` (Container or Pod) asks for, by resource.

    `default` and `default_request` are given to containers that say nothing; `max_limit_request_ratio` bounds a limit
    by the request beside it.
    """

    type: str = required("")
    default: dict[str, Quantity] = {}
    default_request: dict[str, Quantity] = {}
    max: dict[str, Quantity] = {}
    max_limit_request_ratio: dict[str, Quantity] = {}
    min: dict[str, Quantity] = {}


class LimitRangeSpec(Resource):
    """One item per type."""

    limits: tuple[LimitRangeItem, ...] = ()


class LimitRange(Resource):
    """Bounds and defaults for every pod that is created in the namespace."""

    api_version: str = required("v1")
    kind: str = required("LimitRange")
    metadata: ObjectMeta = ObjectMeta()
    spec: LimitRangeSpec = LimitRangeSpec()


class ScopedResourceSelectorRequirement(Resource):
    """One condition on a pod: `operator` In, NotIn (with values), Exists or DoesNotExist (without)."""

    operator: str = required("")
    scope_name: str = required("")
    values: tuple[str, ...] = ()


class ScopeSelector(Resource):
    """All of its conditions must hold."""

    match_expressions: tuple[ScopedResourceSelectorRequirement, ...] = ()


class ResourceQuotaSpec(Resource):
    """`hard` bounds what all objects take together, by resource; with scopes only the pods count that match them all."""

    hard: dict[str, Quantity] = {}
    scope_selector: ScopeSelector | None = None
    scopes: tuple[str, ...] = ()


class ResourceQuotaStatus(Resource):
    """`used` is what the objects take of `hard`, as it is enforced."""

    hard: dict[str, Quantity] = {}
    used: dict[str, Quantity] = {}


class ResourceQuota(Resource):
    """Bounds what the objects of a namespace take together."""

    api_version: str = required("v1")
    kind: str = required("ResourceQuota")
    metadata: ObjectMeta = ObjectMeta()
    spec: ResourceQuotaSpec = ResourceQuotaSpec()
    status: ResourceQuotaStatus = ResourceQuotaStatus()
