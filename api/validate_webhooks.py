"""Rules for the configurations of admission webhooks."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from api.errors import FieldError
from api.faults import (
    PORT_LIMIT,
    check_choice,
    check_range,
    check_text,
    check_unique,
    invalid,
    required,
    unsupported,
)
from api.names import dns_1035_label_fault, dns_subdomain_fault
from api.validate_meta import selector_faults
from api.webhooks import (
    MutatingWebhook,
    RuleWithOperations,
    ServiceReference,
    Webhook,
    WebhookClientConfig,
    WebhookConfiguration,
)

OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT", "*")
SCOPES = ("*", "Cluster", "Namespaced")
REVIEW_VERSION = "v1"
LONGEST_TIMEOUT_SECONDS = 30


def configuration_faults(configuration: WebhookConfiguration) -> Iterator[FieldError]:
    """Yield what is wrong with a configuration of either kind."""
    yield from check_unique("webhooks[{}].name", (each.name for each in configuration.webhooks))
    webhooks: Sequence[Webhook] = configuration.webhooks
    for index, webhook in enumerate(webhooks):
        yield from _webhook_faults(webhook, f"webhooks[{index}]")


def _webhook_faults(webhook: Webhook, path: str) -> Iterator[FieldError]:
    yield from _name_faults(webhook.name, f"{path}.name")
    yield from _version_faults(webhook.admission_review_versions, f"{path}.admissionReviewVersions")
    yield from _client_faults(webhook.client_config, f"{path}.clientConfig")
    for index, rule in enumerate(webhook.rules):
        yield from _rule_faults(rule, f"{path}.rules[{index}]")
    yield from check_choice(f"{path}.failurePolicy", webhook.failure_policy, ("Fail", "Ignore"))
    yield from check_choice(f"{path}.matchPolicy", webhook.match_policy, ("Equivalent", "Exact"))
    effects = ("None", "NoneOnDryRun")
    if not webhook.side_effects:
        yield required(f"{path}.sideEffects", f"must specify one of {', '.join(effects)}")
    else:
        yield from check_choice(f"{path}.sideEffects", webhook.side_effects, effects)
    yield from check_range(f"{path}.timeoutSeconds", webhook.timeout_seconds, 1, LONGEST_TIMEOUT_SECONDS)
    for name, selector in (
        ("namespaceSelector", webhook.namespace_selector),
        ("objectSelector", webhook.object_selector),
    ):
        if selector is not None:
            yield from selector_faults(selector, f"{path}.{name}")
    if isinstance(webhook, MutatingWebhook):
        yield from check_choice(f"{path}.reinvocationPolicy", webhook.reinvocation_policy, ("Never", "IfNeeded"))


def _name_faults(name: str, path: str) -> Iterator[FieldError]:
    yield from check_text(path, name, dns_subdomain_fault)
    if name and len(name.split(".")) < 3:
        yield invalid(path, name, "should be a domain with at least three segments separated by dots")


def _version_faults(versions: Sequence[str], path: str) -> Iterator[FieldError]:
    if not versions:
        yield required(path, f"must specify at least one of {REVIEW_VERSION}")
        return
    for index, version in enumerate(versions):
        yield from check_text(f"{path}[{index}]", version, dns_1035_label_fault)
    yield from check_unique(path + "[{}]", versions)
    if REVIEW_VERSION not in versions:
        yield invalid(path, list(versions), f"must include at least one of {REVIEW_VERSION}")


def _client_faults(client: WebhookClientConfig, path: str) -> Iterator[FieldError]:
    if (client.url is None) == (client.service is None):
        yield required(path, "exactly one of url or service is required")
    if client.url is not None:
        yield from _url_faults(client.url, f"{path}.url")
    if client.service is not None:
        yield from _service_faults(client.service, f"{path}.service")
    if client.ca_bundle:
        try:
            base64.b64decode(client.ca_bundle, validate=True)
        except (binascii.Error, ValueError):
            yield FieldError(f"{path}.caBundle", "Invalid value: must be base64 of PEM certificates")


def _url_faults(url: str, path: str) -> Iterator[FieldError]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        yield invalid(path, url, f"url must be a valid URL: {error}")
        return
    form = "; desired format: https://host[/path]"
    if parts.scheme != "https":
        yield invalid(path, url, f"'https' is the only allowed URL scheme{form}")
    if not host:
        yield invalid(path, url, f"host must be specified{form}")
    if "@" in parts.netloc:
        yield invalid(path, url, "user information is not permitted in the URL")
    if parts.fragment:
        yield invalid(path, url, "fragments are not permitted in the URL")
    if parts.query:
        yield invalid(path, url, "query parameters are not permitted in the URL")


def _service_faults(service: ServiceReference, path: str) -> Iterator[FieldError]:
    if not service.name:
        yield required(f"{path}.name", "service name is required")
    if not service.namespace:
        yield required(f"{path}.namespace", "service namespace is required")
    yield from check_range(f"{path}.port", service.port, 1, PORT_LIMIT)
    if not service.path:
        return
    where, text = f"{path}.path", service.path
    if not text.startswith("/"):
        yield invalid(where, text, "must start with a '/'")
        return
    steps = text.removesuffix("/").split("/")[1:] if text != "/" else []
    for index, step in enumerate(steps):
        if not step:
            yield invalid(where, text, f"segment[{index}] may not be empty")
        elif why := dns_subdomain_fault(step):
            yield invalid(where, text, f"segment[{index}]: {why}")


def _rule_faults(rule: RuleWithOperations, path: str) -> Iterator[FieldError]:
    if not rule.operations:
        yield required(f"{path}.operations")
    for index, operation in enumerate(rule.operations):
        if operation not in OPERATIONS:
            yield unsupported(f"{path}.operations[{index}]", operation, OPERATIONS)
    for name, values, what in (
        ("operations", rule.operations, "operations"),
        ("apiGroups", rule.api_groups, "API groups"),
        ("apiVersions", rule.api_versions, "API versions"),
    ):
        if len(values) > 1 and "*" in values:
            yield invalid(f"{path}.{name}", list(values), f"if '*' is present, must not specify other {what}")
    if not rule.api_groups:
        yield required(f"{path}.apiGroups")
    if not rule.api_versions:
        yield required(f"{path}.apiVersions")
    for index, version in enumerate(rule.api_versions):
        if not version:
            yield required(f"{path}.apiVersions[{index}]")
    yield from check_choice(f"{path}.scope", rule.scope, SCOPES)
    yield from _resource_faults(rule.resources, f"{path}.resources")


def _resource_faults(resources: Sequence[str], path: str) -> Iterator[FieldError]:
    """Wildcards must not say what others of the list say already."""
    if not resources:
        yield required(path)
    given = set(resources)
    for index, text in enumerate(resources):
        resource, slash, subresource = text.partition("/")
        where = f"{path}[{index}]"
        if not resource or (slash and not subresource):
            yield required(where) if not text else invalid(where, text, "must be RESOURCE or RESOURCE/SUBRESOURCE")
        elif subresource not in {"", "*"} and f"{resource}/*" in given:
            yield invalid(where, text, f"if '{resource}/*' is present, must not specify {text}")
        elif subresource not in {"", "*"} and resource != "*" and f"*/{subresource}" in given:
            yield invalid(where, text, f"if '*/{subresource}' is present, must not specify {text}")
    if "*/*" in given and len(resources) > 1:
        yield invalid(path, list(resources), "if '*/*' is present, must not specify other resources")
    if "*" in given and any("/" not in each and each != "*" for each in resources):
        message = "if '*' is present, must not specify other resources without subresources"
        yield invalid(path, list(resources), message)
