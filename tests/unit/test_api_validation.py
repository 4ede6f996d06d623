import copy

import pytest

from api import faults as words
from api import scheme, strict
from api.defaults import default
from api.validation import validate

META = {"name": "web", "namespace": "default"}
TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "main", "image": "web:1"}]},
}
BASES = {
    "deployment": {"metadata": META, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}},
    "replicaset": {"metadata": META, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}},
    "service": {"metadata": META, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "name": "http"}]}},
    "endpointslice": {
        "metadata": META,
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.244.0.5"], "conditions": {"ready": True}, "nodeName": "n1"}],
        "ports": [{"port": 80}],
    },
    "configmap": {"metadata": META, "data": {"a": "b"}, "binaryData": {"c": "eA=="}},
    "secret": {"metadata": META, "data": {"a": "eA=="}},
    "sa": {"metadata": META},
    "node": {
        "metadata": {"name": "n1"},
        "spec": {"podCIDR": "10.244.1.0/24", "taints": [{"key": "a", "effect": "NoSchedule"}]},
        "status": {"capacity": {"cpu": "4"}},
    },
    "namespace": {"metadata": {"name": "team"}},
    "lease": {"metadata": META, "spec": {"leaseDurationSeconds": 15, "renewTime": "2025-01-15T08:30:00.000000Z"}},
    "event": {"metadata": META, "involvedObject": {"kind": "Pod", "namespace": "default"}, "type": "Normal"},
}


def put(tree, path, value):
    """A copy of the tree with one value set (None: removed); steps are separated by bars."""
    tree = copy.deepcopy(tree)
    *steps, last = [int(step) if step.isdecimal() else step for step in path.split("|")]
    place = tree
    for step in steps:
        place = place[step] if isinstance(step, int) else place.setdefault(step, {})
    if value is None:
        place.pop(last)
    else:
        place[last] = value
    return tree


def found(word, tree, old=None):
    kind = scheme.lookup(word)
    assert strict.check(kind, tree) == []
    old = default(kind, old) if old else None
    return [str(fault) for fault in validate(kind, default(kind, tree), old)]


@pytest.mark.parametrize("word", sorted(BASES))
def test_a_plain_object_is_valid_new_and_unchanged(word):
    assert found(word, BASES[word]) == []
    assert found(word, BASES[word], BASES[word]) == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("metadata|name", "Web", 'metadata.name: Invalid value: "Web": a lowercase RFC 1123 subdomain'),
        ("metadata|name", None, "metadata.name: Required value: name or generateName is required"),
        ("metadata|namespace", None, "metadata.namespace: Required value"),
        ("metadata|namespace", "a.b", 'metadata.namespace: Invalid value: "a.b"'),
        ("metadata|generateName", "Web-", 'metadata.generateName: Invalid value: "Web-"'),
        ("metadata|generation", -1, "metadata.generation: Invalid value: -1"),
        ("metadata|labels", {"a b": "c"}, 'metadata.labels: Invalid value: "a b"'),
        ("metadata|labels", {"a": "b" * 64}, "metadata.labels[a]: Invalid value"),
        ("metadata|annotations", {"-": "x"}, 'metadata.annotations: Invalid value: "-"'),
        ("metadata|annotations", {"a": "x" * 262144}, "metadata.annotations: Too long: may not be more than 262144"),
        ("metadata|ownerReferences", [{"name": "a"}], "metadata.ownerReferences[0].apiVersion: Required value"),
        ("metadata|finalizers", ["mine"], "neither a standard finalizer name nor is it fully qualified"),
        ("metadata|finalizers", ["/"], "metadata.finalizers[0]: Invalid value"),
        ("metadata|finalizers", ["orphan", "foregroundDeletion"], "exclude each other"),
    ],
)
def test_bad_metadata_is_refused(path, value, message):
    assert message in found("configmap", put(BASES["configmap"], path, value))[0]


def test_an_object_may_have_one_controller():
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": "1", "controller": True}
    tree = put(BASES["configmap"], "metadata|ownerReferences", [owner])
    assert found("configmap", tree) == []
    (fault,) = found("configmap", put(tree, "metadata|ownerReferences", [owner, owner | {"name": "b"}]))
    assert "only one reference can have controller set to true, found ReplicaSet a, ReplicaSet b" in fault


def test_a_name_may_be_left_to_be_generated():
    tree = put(put(BASES["configmap"], "metadata|name", None), "metadata|generateName", "web-")
    assert found("configmap", tree) == []


def test_cluster_objects_have_no_namespace():
    (fault,) = found("node", put(BASES["node"], "metadata|namespace", "default"))
    assert fault == "metadata.namespace: Forbidden: not allowed on this type"


def test_names_of_namespaces_and_services_are_labels():
    assert "metadata.name" in found("namespace", put(BASES["namespace"], "metadata|name", "a.b"))[0]
    assert "DNS-1035" in found("service", put(BASES["service"], "metadata|name", "1a"))[0]


def test_an_object_on_its_way_out_takes_no_new_finalizers():
    old = put(BASES["configmap"], "metadata|deletionTimestamp", "2025-01-15T08:30:00Z")
    old = put(old, "metadata|finalizers", ["a/a", "b/b"])
    assert found("configmap", put(old, "metadata|finalizers", ["a/a"]), old) == []
    (fault,) = found("configmap", put(old, "metadata|finalizers", ["a/a", "c/c"]), old)
    assert "no new finalizers can be added if the object is being deleted, found c/c" in fault


@pytest.mark.parametrize("word", ["deployment", "replicaset"])
@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec|replicas", -1, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ("spec|minReadySeconds", -1, "spec.minReadySeconds: Invalid value: -1"),
        ("spec|selector", None, "spec.selector: Required value"),
        ("spec|selector", {}, "spec.selector: Invalid value: {}: empty selector is invalid"),
        ("spec|selector", {"matchLabels": {"a b": "c"}}, 'spec.selector.matchLabels: Invalid value: "a b"'),
        (
            "spec|selector",
            {"matchExpressions": [{"key": "a", "operator": "Like"}]},
            'spec.selector.matchExpressions[0].operator: Invalid value: "Like"',
        ),
        (
            "spec|selector",
            {"matchLabels": {"app": "db"}},
            'spec.template.metadata.labels: Invalid value: {"app": "web"}: `selector` does not match template `labels`',
        ),
        ("spec|template|metadata|labels", {"app": "web", "-": "a"}, "spec.template.metadata.labels: Invalid value"),
        ("spec|template|metadata|annotations", {"-": "a"}, "spec.template.metadata.annotations: Invalid value"),
        ("spec|template|spec|containers", [], "spec.template.spec.containers: Required value"),
        (
            "spec|template|spec|restartPolicy",
            "Never",
            'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        ),
        ("spec|template|spec|activeDeadlineSeconds", 9, "spec.template.spec.activeDeadlineSeconds: Forbidden"),
    ],
)
def test_bad_workloads_are_refused(word, path, value, message):
    faults = [fault for fault in found(word, put(BASES[word], path, value)) if "supported yet" not in fault]
    assert len(faults) == 1
    assert message in faults[0]


@pytest.mark.parametrize("word", ["deployment", "replicaset"])
def test_selectors_cannot_change(word):
    tree = put(BASES[word], "spec|selector", {"matchExpressions": [{"key": "app", "operator": "Exists"}]})
    (fault,) = found(word, tree, BASES[word])
    assert fault.startswith("spec.selector: Invalid value: ")
    assert fault.endswith("field is immutable")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec|revisionHistoryLimit", -1, "spec.revisionHistoryLimit: Invalid value: -1"),
        ("spec|progressDeadlineSeconds", -1, "spec.progressDeadlineSeconds: Invalid value: -1"),
        (
            "spec|minReadySeconds",
            600,
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReady",
        ),
        ("spec|strategy", {"type": "Blue"}, 'spec.strategy.type: Unsupported value: "Blue"'),
        ("spec|strategy", {"type": "Recreate", "rollingUpdate": {}}, "spec.strategy.rollingUpdate: Forbidden"),
        ("spec|strategy|rollingUpdate", {"maxSurge": -1}, "maxSurge: Invalid value: -1"),
        ("spec|strategy|rollingUpdate", {"maxSurge": "many"}, 'maxSurge: Invalid value: "many": a valid percent'),
        ("spec|strategy|rollingUpdate", {"maxUnavailable": "101%"}, "maxUnavailable: Invalid value"),
        (
            "spec|strategy|rollingUpdate",
            {"maxUnavailable": "0%", "maxSurge": 0},
            'maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0',
        ),
    ],
)
def test_bad_roll_outs_are_refused(path, value, message):
    faults = found("deployment", put(BASES["deployment"], path, value))
    assert message in faults[0]


@pytest.mark.parametrize(
    "rolling", [{"maxSurge": "200%"}, {"maxSurge": 0, "maxUnavailable": 1}, {"maxSurge": "10%", "maxUnavailable": 0}]
)
def test_good_roll_outs_are_accepted(rolling):
    assert found("deployment", put(BASES["deployment"], "spec|strategy|rollingUpdate", rolling)) == []


def test_a_strategy_that_was_never_defaulted_is_refused():
    kind = scheme.lookup("deployment")
    tree = put(default(kind, BASES["deployment"]), "spec|strategy", {"type": "RollingUpdate"})
    assert "spec.strategy.rollingUpdate: Required value" in str(validate(kind, tree, None)[0])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec|type", "Magic", 'spec.type: Unsupported value: "Magic"'),
        ("spec|ports", [], "spec.ports: Required value"),
        ("spec|ports|0|port", 0, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535"),
        ("spec|ports|0|name", "A_", "spec.ports[0].name: Invalid value"),
        ("spec|ports|0|protocol", "ICMP", "spec.ports[0].protocol: Unsupported value"),
        ("spec|ports|0|targetPort", 70000, "spec.ports[0].targetPort: Invalid value: 70000"),
        ("spec|ports|0|targetPort", "UPPER", "spec.ports[0].targetPort: Invalid value"),
        ("spec|ports|0|nodePort", -1, "spec.ports[0].nodePort: Invalid value: -1"),
        ("spec|ports|0|appProtocol", "-", "spec.ports[0].appProtocol: Invalid value"),
        ("spec|ports", [{"port": 1, "name": "a"}, {"port": 2}], "spec.ports[1].name: Required value"),
        ("spec|ports", [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}], "spec.ports[1].name: Duplicate value"),
        ("spec|ports", [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}], "spec.ports[1]: Duplicate value"),
        ("spec|selector", {"-": "a"}, "spec.selector: Invalid value"),
        ("spec|sessionAffinity", "Cookie", "spec.sessionAffinity: Unsupported value"),
        ("spec|clusterIP", "1.2.3", 'spec.clusterIP: Invalid value: "1.2.3": must be a valid IP address'),
        ("spec|clusterIP", "fd00::1", 'spec.clusterIP: Invalid value: "fd00::1": must be an IPv4 address'),
        ("spec|clusterIPs", ["10.0.0.1", "10.0.0.2"], "spec.clusterIPs: Invalid value"),
        ("spec|internalTrafficPolicy", "Near", "spec.internalTrafficPolicy: Unsupported value"),
        ("spec|ipFamilyPolicy", "Dual", "spec.ipFamilyPolicy: Unsupported value"),
        ("spec|ipFamilies", ["IPv5"], "spec.ipFamilies[0]: Unsupported value"),
    ],
)
def test_bad_services_are_refused(path, value, message):
    assert message in found("service", put(BASES["service"], path, value))[0]


def test_addresses_of_services_agree_and_fit_the_type():
    tree = put(put(BASES["service"], "spec|clusterIP", "10.96.0.9"), "spec|clusterIPs", ["10.96.0.8"])
    assert "first value must match `clusterIP`" in found("service", tree)[0]
    tree = put(put(BASES["service"], "spec|clusterIP", "None"), "spec|type", "NodePort")
    assert "may not be set to 'None' for NodePort services" in found("service", tree)[0]
    tree = put(put(BASES["service"], "spec|clusterIP", "10.96.0.9"), "spec|type", "ExternalName")
    assert "may not be set when `type` is 'ExternalName'" in found("service", tree)[0]


def test_a_headless_service_needs_no_ports():
    tree = put(put(BASES["service"], "spec|ports", []), "spec|clusterIP", "None")
    assert found("service", tree) == []


def test_the_address_of_a_service_stays():
    old = put(BASES["service"], "spec|clusterIP", "10.96.0.9")
    assert found("service", old, BASES["service"]) == []
    (fault,) = found("service", put(old, "spec|clusterIP", "10.96.0.10"), old)
    assert fault == 'spec.clusterIP: Invalid value: "10.96.0.10": field is immutable'


def test_affinity_lasts_at_most_a_day_and_only_when_on():
    tree = put(BASES["service"], "spec|sessionAffinity", "ClientIP")
    assert found("service", tree) == []
    tree = put(tree, "spec|sessionAffinityConfig", {"clientIP": {"timeoutSeconds": 86401}})
    assert "timeoutSeconds: Invalid value: 86401: must be between 1 and 86400" in found("service", tree)[0]
    kind = scheme.lookup("service")
    off = put(default(kind, tree), "spec|sessionAffinity", "None")
    assert "must not be set when session affinity is None" in str(validate(kind, off, None)[0])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("addressType", None, "addressType: Required value"),
        ("addressType", "IPX", 'addressType: Unsupported value: "IPX"'),
        ("endpoints|0|addresses", [], "endpoints[0].addresses: Required value"),
        ("endpoints|0|addresses", ["x"], "endpoints[0].addresses[0]: Invalid value"),
        ("endpoints|0|addresses", ["fd00::1"], "must be an IPv4 address"),
        ("endpoints|0|addresses", ["0.0.0.0"], "may not be unspecified"),
        ("endpoints|0|addresses", ["127.0.0.1"], "loopback range"),
        ("endpoints|0|addresses", ["169.254.0.1"], "link-local range"),
        ("endpoints|0|addresses", ["224.0.0.1"], "multicast range"),
        ("endpoints|0|addresses", ["10.0.0.1"] * 101, "endpoints[0].addresses: Too many: 101"),
        ("endpoints|0|hostname", "A", "endpoints[0].hostname: Invalid value"),
        ("endpoints", [{"addresses": ["10.0.0.1"]}] * 1001, "endpoints: Too many: 1001: must have at most 1000 items"),
        ("ports", [{"port": 1}, {"port": 2}], 'ports[1].name: Duplicate value: ""'),
        ("ports|0|name", "A", "ports[0].name: Invalid value"),
        ("ports|0|port", 0, "ports[0].port: Invalid value: 0"),
        ("ports|0|protocol", "ICMP", "ports[0].protocol: Unsupported value"),
        ("ports|0|appProtocol", "-", "ports[0].appProtocol: Invalid value"),
    ],
)
def test_bad_endpoint_slices_are_refused(path, value, message):
    assert message in found("endpointslice", put(BASES["endpointslice"], path, value))[0]


def test_the_address_family_of_a_slice_stays():
    tree = put(BASES["endpointslice"], "addressType", "FQDN")
    faults = found("endpointslice", tree, BASES["endpointslice"])
    assert faults[0] == 'addressType: Invalid value: "FQDN": field is immutable'


@pytest.mark.parametrize(
    ("word", "path", "value", "message"),
    [
        ("configmap", "data", {"a/b": "c"}, 'data[a/b]: Invalid value: "a/b": a valid config key'),
        ("configmap", "data", {"": "c"}, "data[]: Required value"),
        ("configmap", "data", {"c": "x"}, 'data[c]: Invalid value: "c": duplicate of key present in binaryData'),
        ("configmap", "binaryData", {"c": "!"}, "binaryData[c]: Invalid value: is not valid base64"),
        ("configmap", "data", {"a": "x" * 1048576}, "Too long: may not be more than 1048576 bytes"),
        ("secret", "data", {"a": "!"}, "data[a]: Invalid value: is not valid base64"),
        ("secret", "data", {"a": "é"}, "data[a]: Invalid value: is not valid base64"),
        ("secret", "data", {"a": "eHh4" * 400_000}, "data: Too long"),
        ("secret", "type", "kubernetes.io/tls", "data[tls.crt]: Required value"),
        ("secret", "type", "kubernetes.io/basic-auth", "data[username]: Required value"),
        (
            "secret",
            "type",
            "kubernetes.io/service-account-token",
            "kubernetes.io/service-account.name]: Required value",
        ),
    ],
)
def test_bad_configuration_is_refused(word, path, value, message):
    assert message in found(word, put(BASES[word], path, value))[0]


def test_confidential_values_are_never_shown():
    (fault,) = found("secret", put(BASES["secret"], "data", {"a": "hunter2 is not base64"}))
    assert "hunter2" not in fault


@pytest.mark.parametrize("word", ["configmap", "secret"])
def test_what_was_made_immutable_stays_as_it_is(word):
    old = put(BASES[word], "immutable", True)
    assert found(word, old, old) == []
    assert found(word, put(old, "immutable", False), old) == [
        "immutable: Forbidden: field is immutable when `immutable` is set"
    ]
    (fault,) = found(word, put(old, "data", {"a": "eXk="}), old)
    assert fault == "data: Forbidden: field is immutable when `immutable` is set"


def test_immutable_covers_binary_data_and_secrets_keep_their_type():
    old = put(BASES["configmap"], "immutable", True)
    assert found("configmap", put(old, "binaryData", {}), old)[0].startswith("binaryData: Forbidden")
    assert "type: Invalid value" in found("secret", put(BASES["secret"], "type", "mine"), BASES["secret"])[0]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec|taints", [{"effect": "NoSchedule"}], "spec.taints[0].key: Required value"),
        ("spec|taints", [{"key": "a"}], "spec.taints[0].effect: Required value"),
        ("spec|taints", [{"key": "a", "effect": "Go"}], 'spec.taints[0].effect: Unsupported value: "Go"'),
        ("spec|taints", [{"key": "a", "effect": "NoSchedule", "value": "b c"}], "spec.taints[0].value: Invalid value"),
        ("spec|taints", [{"key": "a", "effect": "NoSchedule"}] * 2, 'spec.taints[1]: Duplicate value: "a:NoSchedule"'),
        ("spec|podCIDR", "10.0.0.1/24", "spec.podCIDRs[0]: Invalid value"),
        ("spec|podCIDRs", ["10.1.0.0/24"], "spec.podCIDR: Invalid value"),
        ("status|capacity", {"cpu": "many"}, "status.capacity[cpu]: Invalid value"),
    ],
)
def test_bad_nodes_are_refused(path, value, message):
    assert message in found("node", put(BASES["node"], path, value))[0]


def test_the_range_and_the_identity_of_a_node_stay():
    old = put(BASES["node"], "spec|providerID", "lab://n1")
    new = put(put(old, "spec|providerID", "lab://n2"), "spec|podCIDR", "10.244.2.0/24")
    assert [fault.split(":")[0] for fault in found("node", new, old)] == ["spec.podCIDRs", "spec.providerID"]


@pytest.mark.parametrize(
    ("word", "path", "value", "message"),
    [
        ("namespace", "spec|finalizers", ["-"], "spec.finalizers[0]: Invalid value"),
        ("namespace", "status|phase", "Gone", "status.phase: Unsupported value"),
        (
            "lease",
            "spec|leaseDurationSeconds",
            0,
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        ),
        ("lease", "spec|leaseTransitions", -1, "spec.leaseTransitions: Invalid value: -1"),
        ("event", "involvedObject|namespace", "other", "involvedObject.namespace: Invalid value"),
        ("event", "type", "Bad", 'type: Unsupported value: "Bad"'),
        ("event", "count", -1, "count: Invalid value: -1"),
    ],
)
def test_other_kinds_have_rules_too(word, path, value, message):
    (fault,) = found(word, put(BASES[word], path, value))
    assert message in fault


def test_events_of_cluster_objects_live_in_the_default_namespace():
    assert found("event", put(BASES["event"], "involvedObject|namespace", None)) == []


def test_long_values_are_cut_in_messages():
    fault = words.invalid("a", "x" * 1000, "too much")
    assert len(str(fault)) < 300


def test_unique_counts_only_what_is_given():
    assert list(words.check_unique("a[{}]", ["", None, "", "x"])) == []
    assert [str(fault) for fault in words.check_unique("a[{}]", ["x", "x"])] == ['a[1]: Duplicate value: "x"']


def test_secrets_that_have_what_their_type_needs_are_accepted():
    for kind, data in (
        ("kubernetes.io/tls", {"tls.crt": "eA==", "tls.key": "eA=="}),
        ("kubernetes.io/basic-auth", {"password": "eA=="}),
    ):
        assert found("secret", put(put(BASES["secret"], "type", kind), "data", data)) == []


def test_services_without_their_defaults_are_accepted():
    kind = scheme.lookup("service")
    assert validate(kind, put(BASES["service"], "spec|type", "ExternalName"), None)[0].path == "spec.type"
    bare = put(BASES["service"], "spec|sessionAffinity", "ClientIP")
    assert validate(kind, put(bare, "spec|sessionAffinityConfig", {}), None) == []


def test_workloads_without_their_defaults_are_accepted():
    assert validate(scheme.lookup("deployment"), BASES["deployment"], None) == []


def test_an_event_may_say_nothing_of_its_type():
    assert found("event", put(BASES["event"], "type", None)) == []


def test_recreate_is_accepted():
    assert found("deployment", put(BASES["deployment"], "spec|strategy", {"type": "Recreate"})) == []
