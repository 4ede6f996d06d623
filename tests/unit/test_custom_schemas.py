"""Schemas of custom kinds: what is pruned, completed and refused of objects, and which schemas are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import defaults, managed_fields, scheme, strict, validation
from api.errors import Conflict
from api.managed_fields import Owner
from api.schema_trees import completed, faults, known
from api.structural import compiled
from api.validate_schema import schema_faults
from tests.crontabs import SCHEMA, compiled_kind, crontab, definition


def told(found):
    return [str(each) for each in found]


def judged(schema, value, old=None):
    root = compiled({"type": "object", "properties": {"x": schema}})
    return told(faults(root, {"x": value}, None if old is None else {"x": old}))


def test_fields_that_the_schema_does_not_know_go_and_are_named():
    tree = crontab(foo=1, ports=[{"name": "a", "bar": 2}]) | {"status": {"free": {"y": 1}}, "other": 3}
    kept, dropped = known(compiled(SCHEMA), tree)
    assert dropped == ["spec.foo", "spec.ports[0].bar", "other"]
    assert kept == crontab(ports=[{"name": "a"}]) | {"status": {"free": {"y": 1}}}


def test_defaults_are_written_out_at_every_depth():
    inner = {"type": "object", "properties": {"n": {"type": "integer", "default": 7}}}
    schema = compiled(
        {
            "type": "object",
            "properties": {
                "list": {"type": "array", "items": inner},
                "map": {"type": "object", "additionalProperties": inner},
                "made": {**inner, "default": {}},
                "absent": inner,
            },
        }
    )
    tree = {"list": [{}, {"n": 1}], "map": {"k": {}}}
    assert completed(schema, tree) == {"list": [{"n": 7}, {"n": 1}], "map": {"k": {"n": 7}}, "made": {"n": 7}}
    assert tree == {"list": [{}, {"n": 1}], "map": {"k": {}}}


def test_null_gives_way_to_a_default_unless_it_may_be_there():
    fields = {"a": {"type": "integer", "default": 1}, "b": {"type": "integer", "default": 1, "nullable": True}}
    assert completed(compiled({"type": "object", "properties": fields}), {"a": None, "b": None}) == {"a": 1, "b": None}
    assert judged({"type": "string"}, None) == ['x: Invalid value: "null": x in body must be of type string: "null"']
    assert judged({"type": "string", "nullable": True}, None) == []


@pytest.mark.parametrize(
    ("schema", "value", "fault"),
    [
        ({"type": "integer"}, "1", 'x: Invalid value: "string": x in body must be of type integer: "string"'),
        ({"type": "integer"}, True, "must be of type integer"),
        ({"type": "string"}, [1], "must be of type string"),
        ({"type": "integer", "maximum": 10}, 11, "x in body should be less than or equal to 10"),
        ({"type": "integer", "maximum": 10, "exclusiveMaximum": True}, 10, "should be less than 10"),
        ({"type": "number", "minimum": 0.5}, 0.25, "should be greater than or equal to 0.5"),
        ({"type": "number", "multipleOf": 0.1}, 0.35, "should be a multiple of 0.1"),
        ({"type": "number", "multipleOf": 0.3}, 10**400, "should be a multiple of 0.3"),
        ({"type": "number", "multipleOf": 10**400}, 1.5, "should be a multiple of"),
        ({"type": "string", "format": "duration"}, "1" * 1_000_000 + "!", "must be of type duration"),
        ({"type": "string", "format": "duration"}, "1.1" * 300_000, "must be of type duration"),
        ({"type": "integer", "format": "int32"}, 2**31, "must be of type int32"),
        ({"type": "string", "minLength": 2}, "a", "should be at least 2 chars long"),
        ({"type": "string", "maxLength": 2}, "abc", "x: Too long: may not be more than 2 characters"),
        ({"type": "string", "pattern": "^a+$"}, "ab", "x in body should match '^a+$'"),
        ({"type": "string", "pattern": "^a+$"}, "a\n", "should match"),
        ({"type": "string", "enum": ["a", "b"]}, "c", 'x: Unsupported value: "c": supported values: "a", "b"'),
        ({"type": "string", "format": "date-time"}, "today", "must be of type date-time"),
        ({"type": "string", "format": "ipv4"}, "1.2.3", "must be of type ipv4"),
        (
            {"type": "array", "items": {"type": "string"}, "maxItems": 1},
            ["a", "b"],
            "x: Too many: 2: must have at most 1",
        ),
        ({"type": "array", "items": {"type": "string"}}, ["a", 1], "x[1]: Invalid value"),
        (
            {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            ["a", "a"],
            "x[1]: Duplicate",
        ),
        ({"type": "object", "required": ["y"]}, {}, "x.y: Required value"),
        ({"type": "object", "minProperties": 1}, {}, "should have at least 1 properties"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"k": 1}, "x.k: Invalid value"),
        ({"x-kubernetes-int-or-string": True}, 1.5, "must be of type integer or string"),
        ({"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]}, "c", "at least one schema (anyOf)"),
        (
            {"type": "string", "oneOf": [{"pattern": "a"}, {"pattern": "b"}]},
            "ab",
            "(oneOf). Found 2 valid alternatives",
        ),
        ({"type": "string", "allOf": [{"minLength": 2}]}, "a", "should be at least 2 chars long"),
        ({"type": "string", "not": {"pattern": "^a"}}, "ab", "must not validate the schema (not)"),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}}, "anyOf": [{"required": ["a"]}]},
            {},
            "at least one schema",
        ),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
            {"kind": "Pod"},
            "x.apiVersion: Required value",
        ),
    ],
)
def test_what_a_schema_forbids_is_refused_in_kubernetes_words(schema, value, fault):
    (found,) = judged(schema, value)
    assert fault in found


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, 2.0),
        ({"type": "number"}, 1),
        ({"type": "number", "multipleOf": 0.1}, 0.3),
        ({"x-kubernetes-int-or-string": True}, "25%"),
        ({"x-kubernetes-preserve-unknown-fields": True}, [{"any": "thing"}]),
        ({"type": "string", "oneOf": [{"pattern": "a"}, {"pattern": "b"}]}, "a"),
        ({"type": "string", "format": "unheard-of"}, "x"),
        ({"type": "string", "format": "date-time"}, "2026-01-02T03:04:05.678Z"),
        ({"type": "number", "multipleOf": 0.5}, 10**400),
        ({"type": "string", "format": "duration"}, "1h30m"),
        ({"type": "string", "format": "duration"}, "-1.5h.5m30s"),
        ({"type": "string", "format": "duration"}, "3 days"),
    ],
)
def test_what_a_schema_allows_is_accepted(schema, value):
    assert judged(schema, value) == []


def test_what_was_there_before_the_schema_forbade_it_may_stay_as_it_is():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    assert judged(schema, {"a": "x", "b": 2}, {"a": "x", "b": 1}) == []
    assert len(judged(schema, {"a": "y", "b": 1}, {"a": "x", "b": 1})) == 1


ROOT = "spec.versions[0].schema.openAPIV3Schema"


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({}, f"{ROOT}.type: Required value: must not be empty at the root"),
        ({"type": "string"}, "must be object at the root"),
        (
            {"properties": {"a": {}}},
            f"{ROOT}.properties[a].type: Required value: must not be empty for specified object",
        ),
        ({"properties": {"a": {"type": "array"}}}, f"{ROOT}.properties[a].items: Required value"),
        ({"properties": {"a": {"type": "array", "items": {}}}}, "must not be empty for specified array items"),
        ({"properties": {"a": {"type": "what"}}}, "Unsupported value"),
        ({"properties": {"a": {"type": "null"}}}, "use nullable as an alternative"),
        ({"properties": {"a": {"type": "string", "pattern": "("}}}, "must be a valid regular expression"),
        ({"properties": {"a": {"type": "string", "pattern": "a{1001}"}}}, "must be a valid regular expression"),
        ({"properties": {"a": {"type": "string", "default": 1}}}, f"{ROOT}.properties[a].default: Invalid value"),
        ({"properties": {"a": {"type": "object", "default": {"b": 1}}}}, "must not have unknown fields: b"),
        ({"additionalProperties": False}, "cannot be set to false"),
        ({"properties": {"a": {"type": "string"}}, "additionalProperties": True}, "mutual exclusive"),
        ({"x-kubernetes-validations": [{"rule": "true"}]}, f"{ROOT}.x-kubernetes-validations: not supported yet"),
        ({"patternProperties": {"a": {"type": "string"}}}, "patternProperties is not supported"),
        ({"properties": {"a": {"$ref": "#/x"}}}, "ref is not supported"),
        ({"x-kubernetes-preserve-unknown-fields": False}, "must be true or undefined"),
        ({"properties": {"a": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}}}, "quadratic"),
        ({"anyOf": [{"properties": {"a": {"minimum": 1}}}]}, f"{ROOT}.properties[a]: Required value: because it is"),
        ({"anyOf": [{"type": "object"}]}, f"{ROOT}.anyOf[0].type: Forbidden: must be empty to be structural"),
        (
            {"properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}},
            "name and gen",
        ),
        (
            {"properties": {"a": {"type": "string", "x-kubernetes-list-type": "map"}}},
            "must be array if x-kubernetes-list-type is specified",
        ),
        (
            {
                "properties": {
                    "a": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["k"],
                    }
                }
            },
            "it must have a default or be a required property",
        ),
    ],
)
def test_schemas_that_are_not_structural_are_refused(schema, fault):
    document = schema if not schema or "type" in schema else {"type": "object", **schema}
    assert any(fault in each for each in told(schema_faults(document, ROOT))), told(schema_faults(document, ROOT))


def test_the_documented_definition_is_accepted():
    kind = scheme.by_resource(scheme.DEFINITIONS)
    tree = definition()
    assert strict.check(kind, tree) == []
    assert validation.validate(kind, defaults.default(kind, tree), None) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"group": "x"}, "should be a domain with at least one dot"),
        ({"group": "apps"}, "are the cluster's own"),
        ({"group": "a.k8s.io"}, "protected groups must have approval annotation"),
        ({"scope": "Everywhere"}, "spec.scope: Unsupported value"),
        ({"conversion": {"strategy": "Webhook"}}, 'spec.conversion.strategy: "Webhook" is not supported yet'),
        ({"versions": []}, "spec.versions: Required value"),
        ({"preserveUnknownFields": True}, "spec.preserveUnknownFields: Invalid value"),
    ],
)
def test_definitions_that_cannot_be_honoured_are_refused_by_field(change, fault):
    kind = scheme.by_resource(scheme.DEFINITIONS)
    tree = definition()
    tree["spec"] |= change
    found = told(validation.validate(kind, defaults.default(kind, tree), None))
    assert any(fault in each for each in found), found


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"selectableFields": [{"jsonPath": ".spec.image"}]}, "spec.versions[0].selectableFields: not supported yet"),
        ({"schema": {}}, "spec.versions[0].schema.openAPIV3Schema: Required value"),
        ({"storage": False}, "must have exactly one version marked as storage version"),
        ({"additionalPrinterColumns": [{"name": "a", "type": "string", "jsonPath": "{"}]}, "jsonPath: Invalid value"),
        (
            {"subresources": {"scale": {"specReplicasPath": ".metadata.x", "statusReplicasPath": ".status.x"}}},
            "under .spec",
        ),
        ({"deprecationWarning": "old"}, "can only be set for deprecated versions"),
    ],
)
def test_versions_that_cannot_be_honoured_are_refused_by_field(change, fault):
    kind = scheme.by_resource(scheme.DEFINITIONS)
    tree = definition()
    tree["spec"]["versions"][0] |= change
    found = told(validation.validate(kind, defaults.default(kind, tree), None))
    assert any(fault in each for each in found), found


def test_owners_of_a_keyed_list_own_its_elements_apart():
    kind = compiled_kind()
    first, second = (Owner(name, "Apply", kind.api_version) for name in ("one", "two"))
    live = crontab(ports=[{"name": "a", "port": 1}])
    managed = managed_fields.created(kind, first, live, "2026-01-01T00:00:00Z")
    more = {**crontab(), "spec": {"ports": [{"name": "b", "port": 2}]}}
    applied = managed_fields.apply(kind, managed, second, live, more, "2026-01-01T00:00:01Z", force=False)
    assert [each["name"] for each in applied.tree["spec"]["ports"]] == ["a", "b"]
    other = {**crontab(), "spec": {"ports": [{"name": "a", "port": 3}]}}
    with pytest.raises(Conflict, match=r"\.spec\.ports\[name=\"a\"\]\.port"):
        managed_fields.apply(kind, managed, second, live, other, "2026-01-01T00:00:01Z", force=False)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "port", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(spec=st.dictionaries(st.sampled_from(["cronSpec", "image", "replicas", "ports", "y"]), VALUES, max_size=5))
def test_any_object_is_judged_and_what_is_pruned_and_completed_stays_so(spec):
    schema = compiled(SCHEMA)
    tree, _ = known(schema, {**crontab(), "spec": spec})
    tree = completed(schema, tree)
    assert known(schema, tree) == (tree, [])
    assert completed(schema, tree) == tree
    assert list(faults(schema, tree, tree)) == []
    told(faults(schema, tree, None))


def test_an_unknown_field_whose_name_is_none_is_quoted():
    schema = compiled({"type": "object", "properties": {"spec": {"type": "object", "properties": {}}}})
    _, dropped = known(schema, {"": 0, "spec": {"": 1, "a\nb": 2, "c": 3}})
    assert dropped == ['[""]', 'spec[""]', 'spec["a\\nb"]', "spec.c"]
