import json

import pytest

from api import scheme, strict
from api.errors import Invalid

DEPLOYMENT = scheme.lookup("deployment")
POD = scheme.lookup("pod")


def errors(kind, tree):
    return [str(error) for error in strict.check(kind, tree)]


def test_every_fault_is_named_in_document_order():
    tree = {
        "apiVersion": "apps/v1",
        "metadata": {"labels": {"a": 1}, "nmae": "x"},
        "spec": {
            "replicas": "3",
            "zzz": 2,
            "template": {
                "spec": {
                    "contianers": 1,
                    "containers": [
                        None,
                        {
                            "name": "a",
                            "image": 3,
                            "ports": {},
                            "args": [1],
                            "livenessProbe": {"httpGet": {"port": 1.5}},
                        },
                    ],
                }
            },
        },
    }
    assert errors(DEPLOYMENT, tree) == [
        "metadata.labels[a]: expected string, got integer 1",
        'metadata.nmae: unknown field, did you mean "name"?',
        'spec.replicas: expected integer, got string "3"',
        "spec.zzz: unknown field",
        'spec.template.spec.contianers: unknown field, did you mean "containers"?',
        "spec.template.spec.containers[0]: expected object, got null",
        "spec.template.spec.containers[1].image: expected string, got integer 3",
        "spec.template.spec.containers[1].ports: expected list, got object",
        "spec.template.spec.containers[1].args[0]: expected string, got integer 1",
        "spec.template.spec.containers[1].livenessProbe.httpGet.port: expected integer or string, got number 1.5",
    ]


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"hostNetwork": "yes"}, 'spec.hostNetwork: expected boolean, got string "yes"'),
        ({"priority": True}, "spec.priority: expected integer, got boolean true"),
        ({"priority": 1.0}, "spec.priority: expected integer, got number 1.0"),
        ({"priority": 2**31}, "spec.priority: expected integer, got 2147483648, which does not fit 32 bits"),
        ({"priority": -(2**31) - 1}, "spec.priority: expected integer, got -2147483649, which does not fit 32 bits"),
        (
            {"activeDeadlineSeconds": 2**63},
            "spec.activeDeadlineSeconds: expected integer, got 9223372036854775808, which does not fit 64 bits",
        ),
        ({"nodeSelector": []}, "spec.nodeSelector: expected map, got list"),
        ({"hostPid": True}, 'spec.hostPid: unknown field, did you mean "hostPID"?'),
        ({"overhead": {"cpu": True}}, "spec.overhead[cpu]: expected quantity, got boolean true"),
        ({"nodeName": ["a"]}, "spec.nodeName: expected string, got list"),
        ({"affinity": []}, "spec.affinity: expected object, got list"),
        ({"nodeName": None}, "spec.nodeName: expected string, got null"),
        ({"priority": "x" * 100}, f'spec.priority: expected integer, got string "{"x" * 39}...'),
    ],
)
def test_wrong_types_say_what_was_expected(spec, fault):
    assert errors(POD, {"spec": spec}) == [fault]


@pytest.mark.parametrize(
    ("name", "path"),
    [("", '[""]'), ("a.b", '["a.b"]'), ("a\nb", '["a\\nb"]'), ("x" * 100, "x" * 100), ("é", "é"), ("a[0]", '["a[0]"]')],
)
def test_a_field_whose_name_is_none_is_quoted_so_that_every_fault_has_a_path(name, path):
    assert errors(POD, {name: 1}) == [f"{path}: unknown field"]
    assert errors(POD, {"spec": {name: 1}})[0].startswith(("spec.", "spec["))


def test_quantities_and_ports_may_be_numbers_or_text():
    for amount in ("1", 1, 0.5):
        assert errors(POD, {"spec": {"overhead": {"cpu": amount}}}) == []
    for port in (80, "http"):
        probe = {"tcpSocket": {"port": port}}
        assert errors(POD, {"spec": {"containers": [{"livenessProbe": probe}]}}) == []


def test_managed_fields_may_hold_anything():
    assert errors(POD, {"metadata": {"managedFields": [{"fieldsV1": {"f:x": {}}}, 3]}}) == []


def test_nulls_are_pruned_from_objects_but_not_from_lists():
    tree = {"metadata": {"creationTimestamp": None, "name": "a"}, "items": [None, {"a": None}], "zero": 0, "off": False}
    assert strict.prune(tree) == {"metadata": {"name": "a"}, "items": [None, {}], "zero": 0, "off": False}
    assert "creationTimestamp" in tree["metadata"]


def test_nesting_is_bounded():
    tree = {}
    for _ in range(200):
        tree = {"a": [tree]}
    with pytest.raises(Invalid, match="nested deeper than 100 levels"):
        strict.prune(tree)


@pytest.mark.parametrize(
    "value",
    [
        "2030-01-31T12:00:00Z",
        "2030-01-31T12:00:00.123456Z",
        "2030-01-31T12:00:00.123456789+02:00",
        "1999-12-31T23:59:59-00:30",
    ],
)
def test_times_are_rfc_3339(value):
    assert errors(POD, {"status": {"startTime": value}}) == []


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2030-01-31",
        "2030-01-31T12:00:00",
        "2030-02-30T12:00:00Z",
        "2030-01-31 12:00:00Z",
        "2030-01-31T12:00:00z",
        5,
    ],
)
def test_what_is_no_time_is_refused_where_one_belongs(value):
    """It would be stored, and everything that computes with it would fail."""
    assert len(errors(scheme.lookup("lease"), {"spec": {"renewTime": value}})) == 1
    kind = "integer" if value == 5 else "string"
    assert errors(POD, {"status": {"containerStatuses": [{"state": {"running": {"startedAt": value}}}]}}) == [
        f"status.containerStatuses[0].state.running.startedAt: expected RFC 3339 time, got {kind} {json.dumps(value)}"
    ]
