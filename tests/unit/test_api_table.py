"""Tables as kubectl asks for them: columns of Kubernetes' names and order, cells of their types, objects as wished."""

from __future__ import annotations

import pytest

from api.errors import Invalid
from api.object import Object, canonical
from api.scheme import KINDS
from api.table import include_of, table
from component.env import rfc3339
from tests.cli_rig import deployment, pod

NOW = 1_750_000_000.0


def stored(resource, tree):
    metadata = tree["metadata"]
    return Object(resource, metadata.get("namespace", ""), metadata["name"], "u", 7, canonical(tree))


def of(resource, *trees, **options):
    return table(resource, [stored(resource, tree) for tree in trees], NOW, **options)


def cells(resource, tree):
    shown = of(resource, tree)
    names = [column["name"] for column in shown["columnDefinitions"]]
    return dict(zip(names, shown["rows"][0]["cells"], strict=True))


KUBERNETES = {
    "pods": "Name Ready Status Restarts Age | IP, Node, Nominated Node, Readiness Gates",
    "nodes": "Name Status Roles Age Version | Internal-IP, External-IP, OS-Image, Kernel-Version, Container-Runtime",
    "deployments.apps": "Name Ready Up-to-date Available Age | Containers, Images, Selector",
    "replicasets.apps": "Name Desired Current Ready Age | Containers, Images, Selector",
    "services": "Name Type Cluster-IP External-IP Port(s) Age | Selector",
    "configmaps": "Name Data Age |",
    "secrets": "Name Type Data Age |",
    "serviceaccounts": "Name Secrets Age |",
    "namespaces": "Name Status Age |",
    "roles.rbac.authorization.k8s.io": "Name Created_At |",
    "rolebindings.rbac.authorization.k8s.io": "Name Role Age | Users, Groups, ServiceAccounts",
    "clusterrolebindings.rbac.authorization.k8s.io": "Name Role Age | Users, Groups, ServiceAccounts",
    "leases.coordination.k8s.io": "Name Holder Age |",
}


@pytest.mark.parametrize(("resource", "columns"), KUBERNETES.items(), ids=KUBERNETES)
def test_columns_are_those_of_kubernetes(resource, columns):
    narrow, _, wide = columns.partition(" |")
    definitions = of(resource)["columnDefinitions"]
    assert [each["name"] for each in definitions if each["priority"] == 0] == [
        name.replace("_", " ") for name in narrow.split()
    ]
    assert [each["name"] for each in definitions if each["priority"] == 1] == [
        name.strip() for name in wide.split(",") if name
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource)
def test_an_object_with_nothing_but_a_name_still_has_a_row(kind):
    shown = of(kind.resource, {"metadata": {"name": "x"}})
    assert len(shown["rows"][0]["cells"]) == len(shown["columnDefinitions"])
    for cell, column in zip(shown["rows"][0]["cells"], shown["columnDefinitions"], strict=True):
        assert type(cell) is (int if column["type"] == "integer" else str)


def test_numbers_are_numbers():
    assert cells("deployments.apps", deployment(replicas=3))["Up-to-date"] == 3
    assert cells("configmaps", {"metadata": {"name": "x"}, "data": {"a": ""}, "binaryData": {"b": ""}})["Data"] == 2


def test_rows_carry_the_metadata_of_their_object_unless_asked_otherwise():
    (row,) = of("pods", pod("web", "shop"))["rows"]
    assert row["object"].keys() == {"kind", "apiVersion", "metadata"}
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert (row["object"]["metadata"]["namespace"], row["object"]["metadata"]["resourceVersion"]) == ("shop", "7")
    (row,) = of("pods", pod("web", "shop"), include="Object")["rows"]
    assert row["object"]["spec"]["containers"]
    (row,) = of("pods", pod("web", "shop"), include="None")["rows"]
    assert row.keys() == {"cells"}


def test_a_table_without_headers_has_rows_only():
    shown = of("pods", pod("web"), headers=False, metadata={"resourceVersion": "9"})
    assert shown["columnDefinitions"] is None
    assert shown["metadata"] == {"resourceVersion": "9"}
    assert len(shown["rows"]) == 1


@pytest.mark.parametrize(
    ("text", "choice"), [("", "Metadata"), ("Metadata", "Metadata"), ("Object", "Object"), ("None", "None")]
)
def test_what_comes_with_a_row_is_chosen_by_word(text, choice):
    assert include_of(text) == choice


def test_another_word_for_what_comes_with_a_row_is_refused():
    with pytest.raises(Invalid, match=r"^includeObject: 'all' is none of Metadata, Object, None$"):
        include_of("all")


def test_selectors_are_shown_whole():
    expressions = [
        {"key": "tier", "operator": "In", "values": ["b", "a"]},
        {"key": "zone", "operator": "NotIn", "values": ["x"]},
        {"key": "new", "operator": "DoesNotExist"},
        {"key": "app", "operator": "Exists"},
    ]
    tree = {"metadata": {"name": "x"}, "spec": {"selector": {"matchExpressions": expressions}}}
    assert cells("replicasets.apps", tree)["Selector"] == "app,!new,tier in (a,b),zone notin (x)"
    tree["spec"]["selector"]["matchLabels"] = {"role": "web"}
    assert cells("replicasets.apps", tree)["Selector"] == "app,!new,role=web,tier in (a,b),zone notin (x)"
    service = {"metadata": {"name": "x"}, "spec": {"selector": {"b": "2", "a": "1"}}}
    assert cells("services", service)["Selector"] == "a=1,b=2"


def test_readiness_gates_are_counted():
    tree = pod("web")
    tree["spec"]["readinessGates"] = [{"conditionType": "x/a"}, {"conditionType": "x/b"}]
    tree["status"]["conditions"] = [{"type": "x/a", "status": "True"}, {"type": "x/b", "status": "False"}]
    assert cells("pods", tree)["Readiness Gates"] == "1/2"


def test_bindings_tell_who_gets_which_role():
    subjects = [
        {"kind": "User", "name": "jane"},
        {"kind": "User", "name": "joe"},
        {"kind": "ServiceAccount", "name": "ci", "namespace": "build"},
    ]
    tree = {"metadata": {"name": "x"}, "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": subjects}
    shown = cells("rolebindings.rbac.authorization.k8s.io", tree)
    assert (shown["Role"], shown["Users"], shown["Groups"]) == ("ClusterRole/view", "jane, joe", "")
    assert shown["ServiceAccounts"] == "build/ci"


def test_events_tell_who_saw_them_and_how_often():
    tree = {
        "metadata": {"name": "web.1"},
        "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{web}"},
        "source": {"component": "agent", "host": "n1"},
        "firstTimestamp": rfc3339(NOW - 60),
        "lastTimestamp": rfc3339(NOW - 5),
        "count": 3,
    }
    shown = cells("events", tree)
    assert (shown["Last Seen"], shown["First Seen"], shown["Count"]) == ("5s", "60s", 3)
    assert (shown["Object"], shown["Subobject"], shown["Source"]) == ("pod/web", "spec.containers{web}", "agent, n1")


def test_a_resource_of_no_columns_of_its_own_shows_names_and_ages():
    assert [column["name"] for column in of("widgets.example.com")["columnDefinitions"]] == ["Name", "Age"]
