"""Who somebody is to the API, asked by creating a question: it is answered, never stored."""

from __future__ import annotations

from api.meta import ObjectMeta, Resource, required


class UserInfo(Resource):
    """Who somebody is to the API."""

    extra: dict[str, tuple[str, ...]] = {}
    groups: tuple[str, ...] = ()
    uid: str | None = None
    username: str | None = None


class SelfSubjectReviewStatus(Resource):
    """The answer."""

    user_info: UserInfo | None = None


class SelfSubjectReview(Resource):
    """Who am I?"""

    api_version: str = required("authentication.k8s.io/v1")
    kind: str = required("SelfSubjectReview")
    metadata: ObjectMeta = ObjectMeta()
    status: SelfSubjectReviewStatus = SelfSubjectReviewStatus()
