"""Who may do what: roles are lists of permissions, bindings give them to people, groups and service accounts."""

from __future__ import annotations

import msgspec

from api.meta import LabelSelector, ObjectMeta, Resource, required


class PolicyRule(Resource):
    """Permissions: every verb on every resource of every group, or on every path.

    `*` stands for all. A resource may name a subresource (`pods/log`, `*/scale`). `resource_names` narrows a rule to objects of
    these names; none means all. `non_resource_urls` are paths of the HTTPS API and may end with `*`.
    """

    api_groups: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")
    resource_names: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()


class Role(Resource):
    """Permissions in one namespace."""

    api_version: str = required("rbac.authorization.k8s.io/v1")
    kind: str = required("Role")
    metadata: ObjectMeta = ObjectMeta()
    rules: tuple[PolicyRule, ...] = ()


class AggregationRule(Resource):
    """Which ClusterRoles a ClusterRole gathers: those that any of the selectors selects by label."""

    cluster_role_selectors: tuple[LabelSelector, ...] = ()


class ClusterRole(Resource):
    """Permissions in all namespaces and on what has none; bound by a RoleBinding, in that one's namespace only.

    With an `aggregation_rule` the rules are a controller's to write: those of all ClusterRoles that it selects.
    """

    api_version: str = required("rbac.authorization.k8s.io/v1")
    kind: str = required("ClusterRole")
    metadata: ObjectMeta = ObjectMeta()
    aggregation_rule: AggregationRule | None = None
    rules: tuple[PolicyRule, ...] = ()


class RoleRef(Resource):
    """The Role (of the binding's own namespace) or ClusterRole that a binding gives."""

    api_group: str | None = None
    kind: str = required("")
    name: str = required("")


class Subject(Resource):
    """Who gets the permissions: a User or Group by name, or a ServiceAccount of a namespace."""

    api_group: str | None = None
    kind: str = required("")
    name: str = required("")
    namespace: str | None = None


class RoleBinding(Resource):
    """Gives subjects the permissions of a role in one namespace."""

    api_version: str = required("rbac.authorization.k8s.io/v1")
    kind: str = required("RoleBinding")
    metadata: ObjectMeta = ObjectMeta()
    role_ref: RoleRef = RoleRef()
    subjects: tuple[Subject, ...] = ()


class ClusterRoleBinding(Resource):
    """Gives subjects the permissions of a ClusterRole everywhere."""

    api_version: str = required("rbac.authorization.k8s.io/v1")
    kind: str = required("ClusterRoleBinding")
    metadata: ObjectMeta = ObjectMeta()
    role_ref: RoleRef = RoleRef()
    subjects: tuple[Subject, ...] = ()
