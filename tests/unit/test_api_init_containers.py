"""What a manifest may say of init containers, and what is written out for them."""

from __future__ import annotations

import pytest

from api.defaults import default
from tests.unit.test_api_validation_pod import BASE, POD, faults, put

EXEC = {"exec": {"command": ["true"]}}
LASTING = {"lifecycle": {"preStop": EXEC}, "livenessProbe": EXEC, "readinessProbe": EXEC, "startupProbe": EXEC}


def with_inits(*containers):
    trees = [{"name": f"init-{number}", "image": "i:1", **fields} for number, fields in enumerate(containers)]
    return put(BASE, "spec/initContainers", trees)


def test_init_containers_and_sidecars_are_valid():
    assert faults(with_inits({}, {"restartPolicy": "Always"}, {"restartPolicy": "Always", **LASTING})) == []


@pytest.mark.parametrize("field", sorted(LASTING))
def test_only_sidecars_have_hooks_and_probes(field):
    assert faults(with_inits({field: LASTING[field]})) == [
        f"spec.initContainers[0].{field}: Forbidden: may not be set for init containers without restartPolicy=Always"
    ]


@pytest.mark.parametrize(
    ("containers", "message"),
    [
        ([{"name": "main"}], 'spec.initContainers[0].name: Duplicate value: "main"'),
        ([{"name": "same"}, {"name": "same"}], 'spec.initContainers[1].name: Duplicate value: "same"'),
        ([{"name": ""}], "spec.initContainers[0].name: Required value"),
        ([{"image": ""}], "spec.initContainers[0].image: Required value"),
        ([{"volumeMounts": [{"name": "w", "mountPath": "/w"}]}], 'volumeMounts[0].name: Not found: "w"'),
        ([{"restartPolicy": "Always", "livenessProbe": {}}], "spec.initContainers[0].livenessProbe: Required value"),
        ([{"securityContext": {"runAsGroup": 1}}], "spec.initContainers[0].securityContext.runAsGroup: Forbidden"),
        ([{"env": [{"name": "a=b"}]}], "spec.initContainers[0].env[0].name: Invalid value"),
    ],
)
def test_bad_init_containers_are_refused_by_path(containers, message):
    (found,) = faults(with_inits(*containers))
    assert message in found


def test_a_restart_policy_of_an_init_container_is_always_or_none():
    found = faults(with_inits({"restartPolicy": "Never"}))
    assert any(
        'initContainers[0].restartPolicy: Unsupported value: "Never": supported values: "Always"' in f for f in found
    )


def test_init_containers_that_run_one_after_the_other_may_use_the_same_port_of_the_host():
    ports = {"ports": [{"containerPort": 80}]}
    assert faults(put(with_inits(ports, ports), "spec/hostNetwork", True)) == []
    twice = {"ports": [{"containerPort": 80}, {"containerPort": 80}]}
    assert faults(put(with_inits(twice), "spec/hostNetwork", True)) == [
        "spec.initContainers[0].ports[1].hostPort: Duplicate value: 80"
    ]


def test_init_containers_get_the_defaults_of_containers():
    limits = {"resources": {"limits": {"cpu": "1"}}}
    (tree,) = default(POD, with_inits({"image": "i", **limits}))["spec"]["initContainers"]
    assert tree["imagePullPolicy"] == "Always"
    assert tree["terminationMessagePath"] == "/dev/termination-log"
    assert tree["resources"]["requests"] == {"cpu": "1"}
    assert "restartPolicy" not in tree


def test_only_the_image_of_an_init_container_may_change():
    old = with_inits({}, {})
    assert faults(put(old, "spec/initContainers/1/image", "i:2"), old) == []
    for changed in (put(old, "spec/initContainers/1/args", ["x"]), with_inits({}), BASE):
        (found,) = faults(changed, old)
        assert "spec.initContainers: Forbidden: pod updates may not change fields other than" in found
        assert "`spec.initContainers[*].image`" in found
