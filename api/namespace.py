"""Namespaces: the scope of names."""

from __future__ import annotations

from api.meta import ObjectMeta, Resource, required


class NamespaceSpec(Resource):
    """`finalizers` name who must empty the namespace before it goes."""

    finalizers: tuple[str, ...] = ()


class NamespaceCondition(Resource):
    """How far the deletion of a namespace has come."""

    status: str = required("")
    type: str = required("")
    last_transition_time: str | None = None
    message: str | None = None
    reason: str | None = None


class NamespaceStatus(Resource):
    """`phase` is Active or Terminating."""

    conditions: tuple[NamespaceCondition, ...] = ()
    phase: str | None = None


class Namespace(Resource):
    """A scope for names; deleting it deletes everything inside."""

    api_version: str = required("v1")
    kind: str = required("Namespace")
    metadata: ObjectMeta = ObjectMeta()
    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()
