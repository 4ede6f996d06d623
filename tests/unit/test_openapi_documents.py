"""OpenAPI documents: whole, named as Kubernetes names things, and the same in every form."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from api.meta import resource_types
from api.openapi import documents, protobuf
from api.openapi.definitions import definitions, name_of
from api.openapi.operations import paths
from api.scheme import KINDS
from controlplane.apiserver.rest import queries
from controlplane.apiserver.rest.discovery import Discovery
from controlplane.apiserver.rest.procedures import of_pods

SERVED = Discovery(of_pods(None)).rows()
V2 = documents.version_2("1.2.3", SERVED)
V3 = documents.version_3("1.2.3", SERVED)
WHOLE = {"v2": V2, **V3}
POD = "io.k8s.api.core.v1.Pod"


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def found(document, reference):
    value = document
    for step in reference.removeprefix("#/").split("/"):
        value = value[step]
    return value


def operations(document):
    for item in document["paths"].values():
        yield from (each for each in item.values() if isinstance(each, dict))


@pytest.mark.parametrize("name", WHOLE)
def test_every_reference_leads_to_a_definition(name):
    document = WHOLE[name]
    assert all(found(document, reference)["description"] for reference in set(references(document)))


@pytest.mark.parametrize("name", WHOLE)
def test_every_operation_has_an_id_of_its_own(name):
    ids = Counter(each["operationId"] for each in operations(WHOLE[name]))
    assert {each for each, count in ids.items() if count > 1} == set()


@pytest.mark.parametrize("name", WHOLE)
def test_every_parameter_of_a_path_stands_in_it(name):
    for path, item in WHOLE[name]["paths"].items():
        said = {each["name"] for each in item.get("parameters", []) if each["in"] == "path"}
        assert said == {step[1:-1] for step in path.split("/") if step.startswith("{")}


def test_operations_have_the_names_that_clients_know():
    ids = {each["operationId"] for each in operations(V2)}
    assert ids >= {
        *("listCoreV1NamespacedPod", "createCoreV1NamespacedPod", "readCoreV1NamespacedPod"),
        *("replaceCoreV1NamespacedPodStatus", "listCoreV1PodForAllNamespaces", "replaceCoreV1NamespaceFinalize"),
        *("patchAppsV1NamespacedDeploymentScale", "readCoreV1Node", "listDiscoveryV1NamespacedEndpointSlice"),
        *("deleteCoordinationV1NamespacedLease", "readCoreV1NamespacedPodLog"),
        *("createCoreV1NamespacedPodBinding", "createCoreV1NamespacedPodEviction", "createCoreV1NamespacedBinding"),
    }


def test_a_patch_says_of_which_kind_it_is_and_that_it_can_be_tried():
    """kubectl decides by these whether --dry-run=server and server-side validation are there."""
    patch = V2["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "", "kind": "Pod", "version": "v1"}
    assert {"dryRun", "fieldValidation"} <= {each["name"] for each in patch["parameters"]}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_kind_and_its_list_say_which_kind_they_are(kind):
    group, _, version = kind.api_version.rpartition("/")
    for behind in ("", "List"):
        schema = V2["definitions"][name_of(kind.type) + behind]
        assert schema["x-kubernetes-group-version-kind"] == [
            {"group": group, "kind": kind.kind + behind, "version": version}
        ]


def test_definitions_have_kubernetes_names():
    names = set(V2["definitions"])
    assert names >= {
        *(POD, "io.k8s.api.core.v1.PodSpec", "io.k8s.api.core.v1.ObjectReference", "io.k8s.api.apps.v1.Deployment"),
        *("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "io.k8s.api.discovery.v1.EndpointPort"),
        "io.k8s.api.coordination.v1.LeaseSpec",
        *("io.k8s.apimachinery.pkg.apis.meta.v1.Status", "io.k8s.api.autoscaling.v1.Scale"),
    }


def test_types_outside_the_modules_of_kinds_belong_to_the_core():
    """The name of a type is taken from the kinds of its module; in a module without any it is the core group's."""
    core = definitions((kind.api_version, kind.kind, True) for kind in KINDS if not kind.group)
    named = {name_of(struct) for struct in resource_types() if struct.__module__.startswith("api.")}
    shared = {"io.k8s.api.core.v1.PodTemplateSpec", "io.k8s.api.core.v1.CustomObject"}
    assert {name for name in named if name.startswith("io.k8s.api.core.")} <= core.keys() | shared
    of_kinds = {name_of(kind.type).rpartition(".")[0] for kind in KINDS if kind.group}
    assert not any(name.rpartition(".")[0] in of_kinds for name in core)


def test_lists_say_how_they_merge():
    pod = V2["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]
    assert pod["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert pod["volumes"]["x-kubernetes-patch-strategy"] == "merge,retainKeys"
    assert pod["tolerations"]["x-kubernetes-list-type"] == "atomic"
    ports = V2["definitions"]["io.k8s.api.core.v1.Container"]["properties"]["ports"]
    assert ports["x-kubernetes-list-map-keys"] == ["containerPort", "protocol"]
    assert ports["x-kubernetes-patch-merge-key"] == "containerPort"
    deployment = V2["definitions"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]
    assert deployment["strategy"]["x-kubernetes-patch-strategy"] == "retainKeys"
    metadata = V2["definitions"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]
    assert metadata["finalizers"]["x-kubernetes-list-type"] == "set"


def test_what_has_one_owner_as_a_whole_says_so():
    assert V2["definitions"]["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"]["x-kubernetes-map-type"] == "atomic"
    assert (
        V2["definitions"]["io.k8s.api.core.v1.ServiceSpec"]["properties"]["selector"]["x-kubernetes-map-type"]
        == "atomic"
    )
    assert "x-kubernetes-map-type" not in V2["definitions"]["io.k8s.api.core.v1.ConfigMap"]["properties"]["data"]
    host_ips = V2["definitions"]["io.k8s.api.core.v1.PodStatus"]["properties"]["hostIPs"]
    assert (host_ips["x-kubernetes-list-type"], host_ips["x-kubernetes-patch-merge-key"]) == ("atomic", "ip")


def test_fields_that_hold_several_types_say_so_where_they_can():
    names = ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "io.k8s.apimachinery.pkg.api.resource.Quantity")
    assert [V2["definitions"][name]["type"] for name in names] == ["string", "string"]
    schemas = V3["api/v1"]["components"]["schemas"]
    assert [[each["type"] for each in schemas[name]["oneOf"]] for name in names] == [
        ["integer", "string"],
        ["string", "number"],
    ]


def test_an_event_may_have_only_the_old_time():
    event = V3["apis/events.k8s.io/v1"]["components"]["schemas"]["io.k8s.api.events.v1.Event"]
    assert event["properties"]["eventTime"]["nullable"] is True
    assert "nullable" not in V2["definitions"]["io.k8s.api.events.v1.Event"]["properties"]["eventTime"]


def test_nothing_stands_beside_a_reference_in_version_3():
    def beside(value):
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str) and len(value) > 1:
                yield value
            for each in value.values():
                yield from beside(each)
        elif isinstance(value, list):
            for each in value:
                yield from beside(each)

    assert [list(beside(document)) for document in V3.values()] == [[]] * len(V3)


def test_the_index_of_version_3_leads_to_every_document_by_its_hash():
    encoded = {path: documents.encoded(document) for path, document in V3.items()}
    shown = documents.index_3(encoded)["paths"]
    assert shown.keys() >= {"api/v1", "apis/apps/v1", "apis/discovery.k8s.io/v1", "apis/coordination.k8s.io/v1"}
    assert shown["api/v1"]["serverRelativeURL"] == f"/openapi/v3/api/v1?hash={documents.digest(encoded['api/v1'])}"
    assert len({each["serverRelativeURL"] for each in shown.values()}) == len(shown)


def test_kinds_without_namespaces_have_no_namespace_in_their_paths():
    rows = [row for row in SERVED["v1"] if row["name"].partition("/")[0] == "nodes"]
    assert [path.path for path in paths("v1", rows)] == [
        "/api/v1/nodes",
        "/api/v1/nodes/{name}",
        "/api/v1/nodes/{name}/status",
    ]


def test_only_what_discovery_offers_is_an_operation():
    row = {"name": "widgets", "namespaced": True, "kind": "Widget", "verbs": ["get", "list"]}
    grant = {"name": "grants", "namespaced": False, "kind": "Grant", "verbs": ["create"]}
    shell = {"name": "widgets/exec", "namespaced": True, "kind": "Shell", "verbs": ["create", "get"]}
    document = documents.version_2("1.2.3", {"example.com/v1": [row, grant, shell]})
    assert {each["operationId"]: each["x-kubernetes-action"] for each in operations(document)} == {
        "listExampleComV1NamespacedWidget": "list",
        "readExampleComV1NamespacedWidget": "get",
        "listExampleComV1WidgetForAllNamespaces": "list",
        "createExampleComV1Grant": "post",
        "connectExampleComV1GetNamespacedWidgetExec": "connect",
        "connectExampleComV1PostNamespacedWidgetExec": "connect",
    }
    assert document["definitions"]["com.example.v1.Grant"]["type"] == "object"


def test_parameters_are_those_that_the_server_understands():
    asked = {
        parameter["name"] for found in operations(V2) for parameter in found["parameters"] if parameter["in"] == "query"
    }
    special = {"timeout", "includeObject", "stream", "insecureSkipTLSVerifyBackend"}  # for clients that know of them
    assert asked == queries.KNOWN - special


# The wire format, read back without our tables.


def fields(message):
    """[(field number, value)] of a protobuf message."""
    position, result = 0, []

    def varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        tag = varint()
        if tag & 7 == 0:
            result.append((tag >> 3, varint()))
        else:
            assert tag & 7 == 2
            size = varint()
            result.append((tag >> 3, message[position : position + size]))
            position += size
    return result


def first(message, *numbers):
    for number in numbers:
        message = next((value for found, value in fields(message) if found == number), b"")
    return message


def named(message, number):
    return {first(entry, 1).decode(): first(entry, 2) for found, entry in fields(message) if found == number}


def schema(message):
    """A Schema message as JSON; numbers from gnostic's OpenAPIv2.proto."""
    shown = {}
    for number, value in fields(message):
        match number:
            case 1 | 2 | 4:
                shown[{1: "$ref", 2: "format", 4: "description"}[number]] = value.decode()
            case 19:
                shown.setdefault("required", []).append(value.decode())
            case 21:
                shown["additionalProperties"] = schema(first(value, 1))
            case 22:
                shown["type"] = first(value, 1).decode()
            case 23:
                shown["items"] = schema(first(value, 1))
            case 25:
                shown["properties"] = {name: schema(each) for name, each in named(value, 1).items()}
            case 31:
                shown[first(value, 1).decode()] = json.loads(first(value, 2, 2))
            case other:
                raise AssertionError(other)
    return shown


MESSAGE = protobuf.encode(V2)


def test_the_protobuf_form_has_the_same_definitions():
    assert first(MESSAGE, 1) == b"2.0"
    shown = {name: schema(each) for name, each in named(first(MESSAGE, 9), 1).items()}
    assert shown == V2["definitions"]


def test_the_protobuf_form_has_the_same_operations():
    items = named(first(MESSAGE, 8), 2)
    assert items.keys() == V2["paths"].keys()
    item = items["/api/v1/namespaces/{namespace}/pods/{name}"]
    patch = first(item, 8)
    assert first(patch, 5) == b"patchCoreV1NamespacedPod"
    extensions = {first(each, 1): json.loads(first(each, 2, 2)) for number, each in fields(patch) if number == 13}
    assert extensions[b"x-kubernetes-group-version-kind"] == {"group": "", "kind": "Pod", "version": "v1"}
    parameters = [each for number, each in fields(patch) if number == 8]
    assert {first(each, 1, 2, 3, 4) for each in parameters} >= {b"dryRun", b"fieldValidation"}
    assert [first(each, 1, 1, 2) for each in parameters if first(each, 1, 1)] == [b"body"]
    assert {first(each, 1, 2, 4, 4) for number, each in fields(item) if number == 9} == {b"namespace", b"name"}
    answers = named(first(patch, 9), 1)
    assert answers.keys() == {"200", "201", "default"}
    assert schema(first(answers["200"], 1, 2, 1)) == {"$ref": f"#/definitions/{POD}"}


def test_what_has_no_number_is_never_left_out():
    with pytest.raises(KeyError):
        protobuf.encode({**V2, "host": "example.com"})
