"""Rules for questions about who may do what."""

from __future__ import annotations

from collections.abc import Iterator

from api.authorization import (
    LocalSubjectAccessReview,
    SelfSubjectAccessReview,
    SelfSubjectRulesReview,
    SubjectAccessReview,
    SubjectAccessReviewSpec,
)
from api.errors import FieldError
from api.faults import invalid, required

Review = SubjectAccessReview | LocalSubjectAccessReview | SelfSubjectAccessReview


def review_faults(review: Review) -> Iterator[FieldError]:
    """Yield what is wrong with the question whether a request may be made."""
    spec = review.spec
    if spec.resource_attributes is not None and spec.non_resource_attributes is not None:
        yield invalid("spec.nonResourceAttributes", "", "cannot be specified in combination with resourceAttributes")
    if spec.resource_attributes is None and spec.non_resource_attributes is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        yield invalid("spec.resourceAttributes", "", why)
    if isinstance(spec, SubjectAccessReviewSpec) and not spec.user and not spec.groups:
        yield invalid("spec.user", "", "at least one of user or group must be specified")
    if isinstance(review, LocalSubjectAccessReview):
        yield from _local_faults(review)


def rules_review_faults(review: SelfSubjectRulesReview) -> Iterator[FieldError]:
    """Yield what is wrong with the question what may be done somewhere."""
    if not review.spec.namespace:
        yield required("spec.namespace", "no namespace on request")


def _local_faults(review: LocalSubjectAccessReview) -> Iterator[FieldError]:
    spec = review.spec
    if spec.non_resource_attributes is not None:
        yield invalid("spec.nonResourceAttributes", "", "disallowed on this kind of request")
    namespace = spec.resource_attributes.namespace if spec.resource_attributes is not None else None
    if spec.resource_attributes is not None and namespace != review.metadata.namespace:
        yield invalid("spec.resourceAttributes.namespace", namespace or "", "must match metadata.namespace")
