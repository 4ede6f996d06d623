"""How important pods are."""

from __future__ import annotations

from api.meta import ObjectMeta, Resource, required


class PriorityClass(Resource):
    """A name for a priority: pods of a higher `value` are placed first. One class at most is the `global_default`."""

    api_version: str = required("scheduling.k8s.io/v1")
    kind: str = required("PriorityClass")
    metadata: ObjectMeta = ObjectMeta()
    description: str | None = None
    global_default: bool | None = None
    preemption_policy: str | None = None
    value: int | None = None
