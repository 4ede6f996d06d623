"""What configurations of admission webhooks may say, what is written out for them, and which requests they mean."""

from __future__ import annotations

import pytest

from api.defaults import default
from api.object import Object, canonical
from api.scheme import ADMISSION, by_kind, by_resource
from api.validation import validate
from controlplane.admission.request import Identity, Request
from controlplane.admission.webhooks.attributes import attributes_of, posted
from controlplane.admission.webhooks.hooks import MUTATING, VALIDATING, Hooks
from controlplane.rbac.attributes import Attributes
from tests.webhook_server import hook, mutating, validating

CLIENT = {"url": "https://hooks.example.com/validate"}
ME = Identity("me")


def complete(tree):
    return default(by_kind(tree["apiVersion"], tree["kind"]), tree)


def faults(webhook, make=validating):
    tree = complete(make("policy", webhook))
    tree["metadata"]["uid"] = "u"
    return [str(fault) for fault in validate(by_kind(tree["apiVersion"], tree["kind"]), tree, None)]


def rule(**changes):
    written = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
    return {**written, **changes}


def test_defaults_are_those_of_kubernetes():
    service = {"service": {"name": "hook", "namespace": "prod"}}
    [made] = complete(mutating("m", hook("a", service, rule())))["webhooks"]
    assert made["clientConfig"]["service"]["port"] == 443
    assert made["rules"][0]["scope"] == "*"
    defaults = {
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "timeoutSeconds": 10,
        "reinvocationPolicy": "Never",
    }
    assert defaults.items() <= made.items()
    assert "reinvocationPolicy" not in complete(validating("v", hook("a", service, rule())))["webhooks"][0]


def test_a_good_webhook_is_accepted():
    assert not faults(hook("a", CLIENT, rule(), rule(resources=["*/*"]), rule(resources=["pods", "pods/*"])))
    assert not faults(hook("a", CLIENT, rule(), reinvocationPolicy="IfNeeded"), mutating)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"name": "short"},
            'webhooks[0].name: Invalid value: "short": should be a domain with at least three segments',
        ),
        ({"admissionReviewVersions": []}, "webhooks[0].admissionReviewVersions: Required value"),
        ({"admissionReviewVersions": ["v1beta1"]}, "must include at least one of v1"),
        ({"sideEffects": "Some"}, 'webhooks[0].sideEffects: Unsupported value: "Some"'),
        ({"sideEffects": ""}, "webhooks[0].sideEffects: Required value"),
        ({"timeoutSeconds": 31}, "webhooks[0].timeoutSeconds: Invalid value: 31: must be between 1 and 30"),
        ({"failurePolicy": "Maybe"}, 'webhooks[0].failurePolicy: Unsupported value: "Maybe"'),
        ({"matchPolicy": "Roughly"}, "webhooks[0].matchPolicy: Unsupported value"),
        ({"clientConfig": {}}, "webhooks[0].clientConfig: Required value: exactly one of url or service is required"),
        ({"clientConfig": {"url": "http://x.y"}}, "'https' is the only allowed URL scheme"),
        ({"clientConfig": {"url": "https://x.y/?a=b"}}, "query parameters are not permitted"),
        ({"clientConfig": {"url": "https://me@x.y/"}}, "user information is not permitted"),
        ({"clientConfig": {**CLIENT, "caBundle": "%"}}, "webhooks[0].clientConfig.caBundle: Invalid value"),
        ({"clientConfig": {"service": {"name": "a", "namespace": "b", "path": "x"}}}, "must start with a '/'"),
        ({"clientConfig": {"service": {"name": "a", "namespace": "b", "port": 0}}}, "clientConfig.service.port"),
        ({"matchConditions": [{"name": "n", "expression": "true"}]}, "webhooks[0].matchConditions: not supported yet"),
        ({"rules": [rule(operations=["GET"])]}, 'webhooks[0].rules[0].operations[0]: Unsupported value: "GET"'),
        ({"rules": [rule(operations=["*", "CREATE"])]}, "if '*' is present, must not specify other operations"),
        ({"rules": [rule(apiGroups=[])]}, "webhooks[0].rules[0].apiGroups: Required value"),
        ({"rules": [rule(resources=["*/*", "pods"])]}, "if '*/*' is present, must not specify other resources"),
        (
            {"rules": [rule(resources=["pods/*", "pods/status"])]},
            "if 'pods/*' is present, must not specify pods/status",
        ),
        ({"rules": [rule(scope="Everywhere")]}, 'webhooks[0].rules[0].scope: Unsupported value: "Everywhere"'),
        ({"objectSelector": {"matchLabels": {"-": "x"}}}, "webhooks[0].objectSelector.matchLabels"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_path(changes, told):
    found = faults({**hook("a", CLIENT, rule()), **changes})
    assert any(told in fault for fault in found), found


def test_two_webhooks_of_one_configuration_cannot_have_one_name():
    tree = complete(validating("policy", hook("a", CLIENT, rule()), hook("a", CLIENT, rule())))
    found = validate(by_resource(VALIDATING), {**tree, "metadata": {"name": "policy", "uid": "u"}}, None)
    assert [str(fault) for fault in found] == ['webhooks[1].name: Duplicate value: "a.example.com"']


# Matching


def compiled(*webhooks, make=validating):
    tree = complete(make("policy", *webhooks))
    resource = MUTATING if make is mutating else VALIDATING
    return Hooks().of([Object(resource, "", "policy", "u", 1, canonical(tree))])


def asked(resource="deployments.apps", verb="create", namespace="default", versions=("v1",), labels=None):
    kind = by_resource(resource)
    metadata = {"name": "x", "labels": labels or {}}
    tree = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    old = None if verb == "create" else tree
    return attributes_of(Request(ME, verb, kind, namespace, "x", tree, old, 5), versions, dry_run=False)


def version(request, labels=None, **changes):
    webhook_changes = {each: changes.pop(each) for each in tuple(changes) if each.endswith(("Selector", "Policy"))}
    [one] = compiled(hook("a", CLIENT, rule(**changes), **webhook_changes))
    return one.version_for(request, lambda: labels or {})


def test_a_rule_means_operations_groups_versions_and_resources():
    assert version(asked()) == "v1"
    assert not version(asked(verb="update"))
    assert version(asked(verb="update"), operations=["*"]) == "v1"
    assert not version(asked(), apiGroups=[""])
    assert not version(asked("replicasets.apps"))
    assert version(asked("replicasets.apps"), resources=["*"]) == "v1"
    assert not version(asked(verb="update_status"), operations=["*"], resources=["*"])
    for resource in ("deployments/status", "*/status", "deployments/*", "*/*"):
        assert version(asked(verb="update_status"), operations=["*"], resources=[resource]) == "v1"


def test_scope_tells_what_is_in_namespaces_from_the_rest():
    def scopes(resource):
        given = {"apiGroups": ["*"], "resources": ["*"]}
        request = asked(resource, namespace="default" if resource == "pods" else "")
        return [scope for scope in ("Namespaced", "Cluster", "*") if version(request, scope=scope, **given)]

    assert scopes("pods") == ["Namespaced", "*"]
    assert scopes("nodes") == scopes("namespaces") == ["Cluster", "*"]


def test_a_rule_for_another_served_version_matches_unless_exact_is_wanted():
    request = asked(versions=("v1", "v1beta1"))
    assert version(request, apiVersions=["v1beta1"]) == "v1beta1"
    assert not version(request, apiVersions=["v1beta1"], matchPolicy="Exact")
    assert not version(request, apiVersions=["v1alpha1"])
    assert version(request, apiVersions=["*"]) == "v1"


def test_selectors_look_at_the_namespace_and_at_both_states_of_the_object():
    wanted = {"matchLabels": {"watched": "yes"}}
    assert version(asked(), {"watched": "yes"}, namespaceSelector=wanted)
    assert not version(asked(), {"watched": "no"}, namespaceSelector=wanted)
    assert version(asked(labels={"watched": "yes"}), objectSelector=wanted)
    assert not version(asked(), objectSelector=wanted)
    node = asked("nodes", namespace="")
    assert version(node, apiGroups=["*"], resources=["*"], namespaceSelector=wanted), "what is in none is always meant"


def test_options_of_a_connection_have_no_labels_to_select_by():
    options = {"apiVersion": "v1", "kind": "PodExecOptions"}
    where = Attributes("create", "", "pods", "exec", "default", "web")
    request = posted(ME, "CONNECT", where, options)
    given = {"apiGroups": [""], "operations": ["CONNECT"], "resources": ["pods/exec"]}
    assert version(request, **given) == "v1"
    assert not version(request, objectSelector={"matchLabels": {"a": "b"}}, **given)


def test_configurations_are_asked_by_name_and_compiled_once():
    def stored(name, text="one"):
        tree = complete(mutating(name, hook(text, CLIENT, rule())))
        return Object(MUTATING, "", name, "u", 1, canonical(tree))

    hooks = Hooks()
    first = hooks.of([stored("b"), stored("a")])
    assert [each.configuration for each in first] == ["a", "b"]
    again = hooks.of([stored("a"), stored("b", "two")])
    assert again[0] is first[0]
    assert again[1].name == "two.example.com"


def test_the_configurations_themselves_are_exempt():
    for plural in (f"mutatingwebhookconfigurations.{ADMISSION}", f"validatingwebhookconfigurations.{ADMISSION}"):
        assert asked(plural, namespace="").exempt
    assert not asked().exempt
