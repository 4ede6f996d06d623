"""Questions about who may do what, asked by creating them: they are answered, never stored."""

from __future__ import annotations

import msgspec

from api.meta import LabelSelectorRequirement, ObjectMeta, Resource, required


class FieldSelectorRequirement(Resource):
    """One condition on a field."""

    key: str = required("")
    operator: str = required("")
    values: tuple[str, ...] = ()


class FieldSelectorAttributes(Resource):
    """The field selector of a list, watch or deletion that is asked about."""

    raw_selector: str | None = None
    requirements: tuple[FieldSelectorRequirement, ...] = ()


class LabelSelectorAttributes(Resource):
    """The label selector of a list, watch or deletion that is asked about."""

    raw_selector: str | None = None
    requirements: tuple[LabelSelectorRequirement, ...] = ()


class ResourceAttributes(Resource):
    """A request about objects. No `namespace` means all of them, or none for what has none; no `name` means all objects."""

    field_selector: FieldSelectorAttributes | None = None
    group: str | None = None
    label_selector: LabelSelectorAttributes | None = None
    name: str | None = None
    namespace: str | None = None
    resource: str | None = None
    subresource: str | None = None
    verb: str | None = None
    version: str | None = None


class NonResourceAttributes(Resource):
    """A request for a path; the verb is an HTTP method in small letters."""

    path: str | None = None
    verb: str | None = None


class SubjectAccessReviewSpec(Resource):
    """What is asked, and about whom; exactly one of the two kinds of attributes. `extra` and `uid` decide nothing here."""

    extra: dict[str, tuple[str, ...]] = {}
    groups: tuple[str, ...] = ()
    non_resource_attributes: NonResourceAttributes | None = None
    resource_attributes: ResourceAttributes | None = None
    uid: str | None = None
    user: str | None = None


class SubjectAccessReviewStatus(Resource):
    """The answer. `denied` is never set: nothing here forbids what something else allows."""

    allowed: bool = required(value=False)
    denied: bool | None = None
    evaluation_error: str | None = None
    reason: str | None = None


class SubjectAccessReview(Resource):
    """May this user do that?"""

    api_version: str = required("authorization.k8s.io/v1")
    kind: str = required("SubjectAccessReview")
    metadata: ObjectMeta = ObjectMeta()
    spec: SubjectAccessReviewSpec = SubjectAccessReviewSpec()
    status: SubjectAccessReviewStatus = SubjectAccessReviewStatus()


class LocalSubjectAccessReview(Resource):
    """May this user do that in this namespace? For those who may ask about one namespace only."""

    api_version: str = required("authorization.k8s.io/v1")
    kind: str = required("LocalSubjectAccessReview")
    metadata: ObjectMeta = ObjectMeta()
    spec: SubjectAccessReviewSpec = SubjectAccessReviewSpec()
    status: SubjectAccessReviewStatus = SubjectAccessReviewStatus()


class SelfSubjectAccessReviewSpec(Resource):
    """What is asked; exactly one of the two."""

    non_resource_attributes: NonResourceAttributes | None = None
    resource_attributes: ResourceAttributes | None = None


class SelfSubjectAccessReview(Resource):
    """May I do that?"""

    api_version: str = required("authorization.k8s.io/v1")
    kind: str = required("SelfSubjectAccessReview")
    metadata: ObjectMeta = ObjectMeta()
    spec: SelfSubjectAccessReviewSpec = SelfSubjectAccessReviewSpec()
    status: SubjectAccessReviewStatus = SubjectAccessReviewStatus()


class ResourceRule(Resource):
    """Permissions on objects, as in a role."""

    api_groups: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()


class NonResourceRule(Resource):
    """Permissions on paths, as in a role."""

    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")
    verbs: tuple[str, ...] = ()


class SubjectRulesReviewStatus(Resource):
    """All permissions; `incomplete` when there may be others."""

    evaluation_error: str | None = None
    incomplete: bool = required(value=False)
    non_resource_rules: tuple[NonResourceRule, ...] = ()
    resource_rules: tuple[ResourceRule, ...] = ()


class SelfSubjectRulesReviewSpec(Resource):
    """Where."""

    namespace: str | None = None


class SelfSubjectRulesReview(Resource):
    """What may I do in this namespace?"""

    api_version: str = required("authorization.k8s.io/v1")
    kind: str = required("SelfSubjectRulesReview")
    metadata: ObjectMeta = ObjectMeta()
    spec: SelfSubjectRulesReviewSpec = SelfSubjectRulesReviewSpec()
    status: SubjectRulesReviewStatus = SubjectRulesReviewStatus()
