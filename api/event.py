"""Events: what happened to an object, for people."""

from __future__ import annotations

from api.meta import ObjectMeta, ObjectReference, Resource, required


class EventSeries(Resource):
    """How often an event was repeated, and when last."""

    count: int | None = None
    last_observed_time: str | None = None


class EventSource(Resource):
    """The component that reports, and its host."""

    component: str | None = None
    host: str | None = None


class Event(Resource):
    """One occurrence about an object, kept for a limited time; `type` is Normal or Warning."""

    api_version: str = required("v1")
    kind: str = required("Event")
    metadata: ObjectMeta = ObjectMeta()
    type: str | None = None
    action: str | None = None
    count: int | None = None
    event_time: str | None = None
    first_timestamp: str | None = None
    involved_object: ObjectReference = ObjectReference()
    last_timestamp: str | None = None
    message: str | None = None
    reason: str | None = None
    related: ObjectReference | None = None
    reporting_component: str | None = None
    reporting_instance: str | None = None
    series: EventSeries | None = None
    source: EventSource | None = None
