"""Admission webhooks: programs that are asked about writes before they are done, and which writes that are."""

from __future__ import annotations

from api.meta import LabelSelector, ObjectMeta, Resource, required


class ServiceReference(Resource):
    """A Service whose pods answer; `port` is the Service's, 443 when absent, `path` goes into the URL."""

    name: str = required("")
    namespace: str = required("")
    path: str | None = None
    port: int | None = None


class WebhookClientConfig(Resource):
    """How a webhook is reached, always over TLS: by `url`, or as a Service.

    `ca_bundle` is base64 of the PEM certificates that its own must be signed by; absent, the system's count.
    """

    ca_bundle: str | None = None
    service: ServiceReference | None = None
    url: str | None = None


class MatchCondition(Resource):
    """A condition on requests as a CEL expression."""

    expression: str = required("")
    name: str = required("")


class RuleWithOperations(Resource):
    """Requests that a webhook is asked about: one of the operations on one of the resources.

    `*` stands for all. A resource may name a subresource (`pods/exec`, `pods/*`, `*/scale`). `scope` is Cluster, Namespaced or `*`.
    """

    api_groups: tuple[str, ...] = ()
    api_versions: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    scope: str | None = None


class ValidatingWebhook(Resource):
    """A program that may refuse a write.

    It is asked when a rule and both selectors match. `failure_policy` says what its silence means: Fail (refuse) or Ignore.
    """

    admission_review_versions: tuple[str, ...] = ()
    client_config: WebhookClientConfig = WebhookClientConfig()
    failure_policy: str | None = None
    match_conditions: tuple[MatchCondition, ...] = ()
    match_policy: str | None = None
    name: str = required("")
    namespace_selector: LabelSelector | None = None
    object_selector: LabelSelector | None = None
    rules: tuple[RuleWithOperations, ...] = ()
    side_effects: str = required("")
    timeout_seconds: int | None = None


class MutatingWebhook(Resource):
    """A program that may change or refuse a write; everything else as in a ValidatingWebhook.

    With the `reinvocation_policy` IfNeeded it is asked again when another webhook changed the object after it.
    """

    admission_review_versions: tuple[str, ...] = ()
    client_config: WebhookClientConfig = WebhookClientConfig()
    failure_policy: str | None = None
    match_conditions: tuple[MatchCondition, ...] = ()
    match_policy: str | None = None
    name: str = required("")
    namespace_selector: LabelSelector | None = None
    object_selector: LabelSelector | None = None
    reinvocation_policy: str | None = None
    rules: tuple[RuleWithOperations, ...] = ()
    side_effects: str = required("")
    timeout_seconds: int | None = None


class MutatingWebhookConfiguration(Resource):
    """Webhooks that may change what is written; they are asked one after the other, by the configurations' names."""

    api_version: str = required("admissionregistration.k8s.io/v1")
    kind: str = required("MutatingWebhookConfiguration")
    metadata: ObjectMeta = ObjectMeta()
    webhooks: tuple[MutatingWebhook, ...] = ()


class ValidatingWebhookConfiguration(Resource):
    """Webhooks that may refuse what is written; they are asked all at once, after everything that changes it."""

    api_version: str = required("admissionregistration.k8s.io/v1")
    kind: str = required("ValidatingWebhookConfiguration")
    metadata: ObjectMeta = ObjectMeta()
    webhooks: tuple[ValidatingWebhook, ...] = ()


Webhook = MutatingWebhook | ValidatingWebhook
WebhookConfiguration = MutatingWebhookConfiguration | ValidatingWebhookConfiguration
