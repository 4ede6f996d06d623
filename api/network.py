"""EndpointSlices: the addresses behind a Service, in pieces of bounded size."""

from __future__ import annotations

from api.meta import ObjectMeta, ObjectReference, Resource, required


class EndpointConditions(Resource):
    """State of an endpoint.

    `ready` is serving and not terminating; absent counts as true. `serving` ignores termination.
    """

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ForNode(Resource):
    """A node that should use an endpoint."""

    name: str = required("")


class ForZone(Resource):
    """A zone that should use an endpoint."""

    name: str = required("")


class EndpointHints(Resource):
    """Who should prefer an endpoint."""

    for_nodes: tuple[ForNode, ...] = ()
    for_zones: tuple[ForZone, ...] = ()


class Endpoint(Resource):
    """One backend; its addresses are interchangeable."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions | None = None
    deprecated_topology: dict[str, str] = {}
    hints: EndpointHints | None = None
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None
    zone: str | None = None


class EndpointPort(Resource):
    """A port of all endpoints of the slice; no number means all ports."""

    name: str | None = None
    port: int | None = None
    protocol: str | None = None
    app_protocol: str | None = None


class EndpointSlice(Resource):
    """Some of the endpoints of a service, all with the same ports and address family."""

    api_version: str = required("discovery.k8s.io/v1")
    kind: str = required("EndpointSlice")
    metadata: ObjectMeta = ObjectMeta()
    address_type: str = required("")
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()
