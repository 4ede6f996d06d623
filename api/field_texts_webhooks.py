"""Meanings of the fields of admission webhooks. Only data: `api.field_docs` reads it."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    "MutatingWebhookConfiguration": """
webhooks  Programs to ask, in this order; names must differ.
""",
    "ValidatingWebhookConfiguration": """
webhooks  Programs to ask; names must differ.
""",
    "ValidatingWebhook": """
admissionReviewVersions  Versions of AdmissionReview that the webhook understands; v1 must be among them.
clientConfig             How to reach it.
failurePolicy            What it means when it cannot be asked: Fail refuses the write, Ignore goes on. Fail when absent.
matchConditions          Further conditions as CEL expressions; not supported yet.
matchPolicy              Equivalent also asks about other versions of the resources in the rules, Exact does not. Equivalent when absent.
name                     A domain with at least three parts, such as policy.example.com.
namespaceSelector        Labels of the namespaces whose objects it is asked about; a Namespace counts itself. All when absent.
objectSelector           Labels of the objects, before or after the change. All when absent.
rules                    The requests it is asked about; one must match.
sideEffects              None, or NoneOnDryRun when it has none in a dry run.
timeoutSeconds           How long it may take, 1 to 30. 10 when absent.
""",
    "MutatingWebhook": """
reinvocationPolicy  IfNeeded asks again when others changed the object after it, Never does not. Never when absent.
""",
    "RuleWithOperations": """
apiGroups    Groups of the resources; the empty one is the core group, * all.
apiVersions  Versions of the groups, * all.
operations   CREATE, UPDATE, DELETE, CONNECT or *.
resources    Plurals such as pods, pods/status, pods/*, */scale; * is all without subresources, */* everything.
scope        Cluster, Namespaced or *. * when absent.
""",
    "WebhookClientConfig": """
caBundle  PEM certificates, in base64, of the authorities that may have signed the webhook's. The system's when absent.
service   A Service whose pods answer; their certificate is for NAME.NAMESPACE.svc.
url       Where it listens: https, without user, query or fragment.
""",
    "ServiceReference": """
path  The path of the URL, such as /validate.
port  The Service's port. 443 when absent.
""",
    "MatchCondition": """
expression  What must be true, in CEL.
name        Tells conditions apart.
""",
}
"""By type, a line a field."""
