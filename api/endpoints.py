"""Endpoints: all addresses behind a Service in one object, for clients that know no EndpointSlices."""

from __future__ import annotations

from api.meta import ObjectMeta, ObjectReference, Resource, required


class EndpointAddress(Resource):
    """One address, and what has it."""

    ip: str = required("")
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointPort(Resource):
    """A port of all addresses of a subset; `name` is that of the Service's port."""

    port: int = required(0)
    name: str | None = None
    protocol: str | None = None
    app_protocol: str | None = None


class EndpointSubset(Resource):
    """Addresses that have the same ports: every one of them at every one of these."""

    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(Resource):
    """What is behind the Service of the same name.

    Written here for a Service with a selector; for one without, by whoever wants its address to lead somewhere.
    """

    api_version: str = required("v1")
    kind: str = required("Endpoints")
    metadata: ObjectMeta = ObjectMeta()
    subsets: tuple[EndpointSubset, ...] = ()
