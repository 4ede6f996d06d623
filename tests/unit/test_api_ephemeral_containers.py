"""What may be said of ephemeral containers, and how a pod's may change."""

from __future__ import annotations

import pytest

from api.defaults import default
from api.resources import pod_requests, qos_class
from api.scheme import by_resource, decode
from api.validate_ephemeral import ephemeral_change_faults
from tests.unit.test_api_validation_pod import BASE, POD, faults, put

NOT_HERE = "Forbidden: cannot be set for an Ephemeral Container"
FIELDS = {
    "ports": [{"containerPort": 80}],
    "resources": {"limits": {"cpu": "1"}},
    "lifecycle": {"preStop": {"exec": {"command": ["true"]}}},
    "livenessProbe": {"exec": {"command": ["true"]}},
    "readinessProbe": {"exec": {"command": ["true"]}},
    "startupProbe": {"exec": {"command": ["true"]}},
    "restartPolicy": "Always",
    "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
}


def with_ephemeral(*containers):
    trees = [{"name": f"debug-{number}", "image": "d:1", **fields} for number, fields in enumerate(containers)]
    return put(BASE, "spec/ephemeralContainers", trees)


def added(*containers):
    """The faults of a pod that has them already."""
    tree = with_ephemeral(*containers)
    return faults(tree, tree)


def test_ephemeral_containers_may_look_at_everything_that_the_pod_has():
    mounts = [{"name": "v", "mountPath": "/v"}]
    whole = {"targetContainerName": "main", "stdin": True, "tty": True, "volumeMounts": mounts, "env": [{"name": "A"}]}
    assert added({**whole, "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}, {"resources": {}}) == []


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_what_makes_a_service_of_a_container_is_refused_by_name(field):
    assert f"spec.ephemeralContainers[0].{field}: {NOT_HERE}" in added({field: FIELDS[field]})


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"name": "main"}, 'spec.ephemeralContainers[0].name: Duplicate value: "main"'),
        ({"name": ""}, "spec.ephemeralContainers[0].name: Required value"),
        ({"image": ""}, "spec.ephemeralContainers[0].image: Required value"),
        ({"targetContainerName": "absent"}, 'spec.ephemeralContainers[0].targetContainerName: Not found: "absent"'),
        ({"targetContainerName": "debug-0"}, 'spec.ephemeralContainers[0].targetContainerName: Not found: "debug-0"'),
        ({"volumeMounts": [{"name": "w", "mountPath": "/w"}]}, 'volumeMounts[0].name: Not found: "w"'),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/w", "subPath": "a"}]},
            f"spec.ephemeralContainers[0].volumeMounts[0].subPath: {NOT_HERE}",
        ),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/w", "subPathExpr": "$(A)"}]},
            f"spec.ephemeralContainers[0].volumeMounts[0].subPathExpr: {NOT_HERE}",
        ),
        ({"securityContext": {"runAsGroup": 1}}, "spec.ephemeralContainers[0].securityContext.runAsGroup: Forbidden"),
    ],
)
def test_bad_ephemeral_containers_are_refused_by_path(container, message):
    (found,) = added(container)
    assert message in found


def test_two_of_one_name_are_refused():
    assert added({"name": "same"}, {"name": "same"}) == [
        'spec.ephemeralContainers[1].name: Duplicate value: "same"',
    ]


def test_a_new_pod_has_none():
    assert faults(with_ephemeral({})) == ["spec.ephemeralContainers: Forbidden: cannot be set on create"]


def test_an_ordinary_update_neither_adds_nor_removes_nor_changes_them():
    other = put(with_ephemeral({}), "spec/ephemeralContainers/0/image", "d:2")
    for old, new in ((BASE, with_ephemeral({})), (with_ephemeral({}), BASE), (with_ephemeral({}), other)):
        (found,) = faults(new, old)
        assert found.startswith("spec.ephemeralContainers: Forbidden: pod updates may not change fields other than")
    assert faults(put(with_ephemeral({}), "metadata/labels", {"a": "b"}), with_ephemeral({})) == []


def test_templates_have_none():
    deployment = by_resource("deployments.apps")
    template = {"metadata": {"labels": {"a": "b"}}, "spec": with_ephemeral({})["spec"]}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    found = faults({"metadata": {"name": "d", "namespace": "default"}, "spec": spec}, kind=deployment)
    assert found == [
        "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template"
    ]


def test_defaults_are_those_of_other_containers():
    (container,) = default(POD, with_ephemeral({"image": "d"}))["spec"]["ephemeralContainers"]
    assert container["imagePullPolicy"] == "Always"
    assert container["terminationMessagePath"] == "/dev/termination-log"


def test_they_count_neither_for_the_class_nor_for_the_node():
    limits = {"limits": {"cpu": "1", "memory": "1Gi"}}
    tree = put(put(with_ephemeral({}), "spec/containers/0/resources", limits), "spec/containers/1/resources", limits)
    spec = decode(POD, default(POD, tree)).spec
    assert qos_class(spec) == "Guaranteed"
    assert pod_requests(spec)["cpu"] == 2000


def spec_of(*names, image="d:1"):
    return {"ephemeralContainers": [{"name": name, "image": image} for name in names]}


def test_some_may_be_added_in_any_order():
    assert list(ephemeral_change_faults(spec_of("c", "a", "b"), spec_of("a", "b"))) == []
    assert list(ephemeral_change_faults(spec_of("a"), {})) == []


def test_none_may_be_removed_or_changed():
    where = "spec.ephemeralContainers: Forbidden: existing ephemeral containers"
    assert [str(each) for each in ephemeral_change_faults(spec_of("a", image="d:2"), spec_of("a", "b"))] == [
        f'{where} "a" may not be changed',
        f'{where} "b" may not be removed',
    ]
