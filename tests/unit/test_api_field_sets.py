"""Field sets as Kubernetes writes them, and what a tree has, differs in, and loses."""

from __future__ import annotations

import pytest

from api.field_sets import from_fields_v1, text, to_fields_v1
from api.scheme import by_resource
from api.structured_merge import ambiguous, compare, fields_of, merged, without

PODS, DEPLOYMENTS, SERVICES = map(by_resource, ("pods", "deployments.apps", "services"))
WEB = 'k:{"name":"web"}'


def pod(*containers, **spec):
    return {"spec": {"containers": list(containers), **spec}}


def shown(paths):
    return sorted(map(text, paths))


def test_a_set_is_written_as_a_tree_with_marks_for_elements_that_have_fields():
    paths = {("f:spec", WEB), ("f:spec", WEB, "f:image"), ("f:data", "f:a.b/c")}
    tree = {"f:spec": {WEB: {".": {}, "f:image": {}}}, "f:data": {"f:a.b/c": {}}}
    assert to_fields_v1(paths) == tree
    assert from_fields_v1(tree) == paths


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        ([], "it is not an object"),
        ({"f:a": 3}, ".a is not an object"),
        ({"a": {}}, "begins with f:, k:, v:, i:"),
        ({"f:a": {"k:{": {}}}, "JSON must follow"),
        ({"f:a": {"k:[]": {}}}, "an object with keys must follow"),
    ],
)
def test_what_is_no_field_set_is_refused_with_the_place(tree, why):
    with pytest.raises(ValueError, match=r".*") as refused:
        from_fields_v1(tree)
    assert why in str(refused.value)


def test_a_set_that_is_nested_without_end_is_refused():
    tree = {}
    for _ in range(200):
        tree = {"f:a": tree}
    with pytest.raises(ValueError, match="nested deeper"):
        from_fields_v1(tree)


def test_paths_are_shown_as_kubernetes_shows_them():
    ports = 'k:{"containerPort":80,"protocol":"TCP"}'
    assert text(("f:spec", "f:containers", WEB, "f:image")) == '.spec.containers[name="web"].image'
    assert text(("f:ports", ports)) == '.ports[containerPort=80,protocol="TCP"]'
    assert text(("f:metadata", "f:finalizers", 'v:"a/b"')) == '.metadata.finalizers[="a/b"]'
    assert text(("f:x", "i:3")) == ".x[3]"


def test_the_fields_of_a_tree_are_its_leaves_and_the_elements_of_keyed_lists():
    container = {"name": "web", "image": "i", "command": ["a", "b"], "ports": [{"containerPort": 80}]}
    assert shown(fields_of(PODS, pod(container, nodeSelector={"a": "b"}))) == [
        '.spec.containers[name="web"]',
        '.spec.containers[name="web"].command',
        '.spec.containers[name="web"].image',
        '.spec.containers[name="web"].name',
        '.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"]',
        '.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"].containerPort',
        ".spec.nodeSelector",
    ]


def test_maps_are_owned_by_key_sets_by_value_and_selectors_whole():
    tree = {
        "metadata": {"labels": {"a": "b"}, "finalizers": ["x/y"], "annotations": {}},
        "spec": {"selector": {"matchLabels": {"a": "b"}}},
    }
    assert shown(fields_of(DEPLOYMENTS, tree)) == [
        ".metadata.annotations",
        '.metadata.finalizers[="x/y"]',
        ".metadata.labels.a",
        ".spec.selector",
    ]


def test_elements_that_cannot_be_told_apart_make_the_list_a_leaf():
    twice = pod({"name": "web", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]})
    assert '.spec.containers[name="web"].env' in shown(fields_of(PODS, twice))
    (fault,) = ambiguous(PODS, twice)
    assert fault.path == 'spec.containers[name="web"].env'
    assert not list(ambiguous(PODS, pod({"name": "web", "env": [{"name": "A"}]})))


def test_a_difference_names_what_is_new_changed_and_gone():
    old = pod({"name": "web", "image": "1"}, {"name": "old", "image": "x"})
    new = pod({"name": "web", "image": "2"}, {"name": "new"}, hostNetwork=True)
    difference = compare(PODS, old, new)
    assert shown(difference.changed) == [
        '.spec.containers[name="new"]',
        '.spec.containers[name="new"].name',
        '.spec.containers[name="web"].image',
        ".spec.hostNetwork",
    ]
    assert shown(difference.removed) == [
        '.spec.containers[name="old"]',
        '.spec.containers[name="old"].image',
        '.spec.containers[name="old"].name',
    ]


def test_the_order_of_keyed_elements_is_no_difference():
    difference = compare(PODS, pod({"name": "a"}, {"name": "b"}), pod({"name": "b"}, {"name": "a"}))
    assert not difference.changed
    assert not difference.removed


def test_merging_keeps_what_is_not_named_and_the_place_of_others_elements():
    live = pod({"name": "web", "image": "1", "tty": True}, {"name": "side"}, dnsPolicy="Default")
    applied = pod({"name": "new"}, {"name": "web", "image": "2"})
    result = merged(PODS, live, applied)["spec"]
    assert result["containers"] == [{"name": "new"}, {"name": "web", "image": "2", "tty": True}, {"name": "side"}]
    assert result["dnsPolicy"] == "Default"


def test_merging_replaces_atomic_lists_and_maps_and_keeps_what_an_empty_map_does_not_name():
    live = {"metadata": {"labels": {"a": "b"}}, "spec": {"selector": {"a": "b"}, "externalIPs": ["1.2.3.4"]}}
    applied = {"metadata": {"labels": {}}, "spec": {"selector": {"c": "d"}, "externalIPs": ["5.6.7.8"]}}
    result = merged(SERVICES, live, applied)
    assert result == {"metadata": {"labels": {"a": "b"}}, "spec": applied["spec"]}


def test_taking_fields_out_takes_what_becomes_empty_and_leaves_what_was():
    tree = {
        "metadata": {"finalizers": ["a/a", "b/b"], "labels": {"x": "y"}},
        **pod({"name": "a"}, {"name": "b", "tty": True}),
    }
    tree["spec"]["volumes"] = []
    gone = {
        ("f:metadata", "f:labels", "f:x"),
        ("f:metadata", "f:finalizers", 'v:"a/a"'),
        ("f:spec", "f:containers", 'k:{"name":"a"}'),
        ("f:spec", "f:containers", 'k:{"name":"b"}', "f:tty"),
        ("f:spec", "f:missing"),
    }
    assert without(tree, gone) == {
        "metadata": {"finalizers": ["b/b"]},
        "spec": {"containers": [{"name": "b"}], "volumes": []},
    }
