"""Leases: who holds something, and until when."""

from __future__ import annotations

from api.meta import ObjectMeta, Resource, required


class LeaseSpec(Resource):
    """The holder and its times; a lease ends `lease_duration_seconds` after `renew_time`."""

    acquire_time: str | None = None
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None
    preferred_holder: str | None = None
    renew_time: str | None = None
    strategy: str | None = None


class Lease(Resource):
    """A lock or a sign of life that must be renewed."""

    api_version: str = required("coordination.k8s.io/v1")
    kind: str = required("Lease")
    metadata: ObjectMeta = ObjectMeta()
    spec: LeaseSpec = LeaseSpec()
