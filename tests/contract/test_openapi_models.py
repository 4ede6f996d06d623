"""OpenAPI definitions say of every field what the models of Kubernetes' Python client say, which are made from Kubernetes' own."""

from __future__ import annotations

import pytest

from api.openapi.definitions import definitions, name_of
from api.openapi.machinery import INT_OR_STRING, JSON, MANAGED_FIELDS_ENTRY, MICRO_TIME, QUANTITY, TIME
from api.scheme import KINDS, REVIEWS
from tests.contract.test_api_kubernetes_models import NARROWED, OPAQUE, OURS, STRUCTS, model_of

pytestmark = pytest.mark.slow

SCHEMAS = definitions((kind.api_version, kind.kind, True) for kind in (*KINDS, *REVIEWS))
TEXTS = {TIME: "datetime", MICRO_TIME: "datetime", QUANTITY: "str", INT_OR_STRING: "object", JSON: "object"}
THEIRS = {ours: theirs for theirs, ours in OURS.items()}


def described(schema):
    """The property in the words of the models."""
    if reference := schema.get("$ref"):
        name = "CoreEndpointPort" if reference.endswith(".core.v1.EndpointPort") else reference.rpartition(".")[2]
        return TEXTS.get(reference) or THEIRS.get(name, f"V1{name}")
    match schema["type"]:
        case "array":
            return f"List[{described(schema['items'])}]"
        case "object" if "additionalProperties" in schema:
            return f"Dict[str, {described(schema['additionalProperties'])}]"
        case "string" if schema.get("format") == "byte":
            return "str"
        case plain:
            names = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "object": "object"}
            return names[plain]


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_properties_have_the_types_of_the_model(name):
    struct, model = STRUCTS[name], model_of(STRUCTS[name])
    properties = SCHEMAS[name_of(struct)]["properties"]
    theirs = {
        model.attribute_map[attribute]: text.replace("bytes", "str") for attribute, text in model.openapi_types.items()
    }
    ours = {field: described(schema) for field, schema in properties.items()}
    kept = {field for field in ours if (name, field) not in (OPAQUE | NARROWED) - {("ObjectMeta", "managedFields")}}
    assert {field: ours[field] for field in kept} == {field: theirs[field] for field in kept}
    assert ours.keys() == theirs.keys()


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_properties_are_required_where_the_model_requires_them(name):
    struct, model = STRUCTS[name], model_of(STRUCTS[name])
    theirs = {
        json_name
        for attribute, json_name in model.attribute_map.items()
        if attribute in model.model_fields and model.model_fields[attribute].is_required()
    }
    assert set(SCHEMAS[name_of(struct)].get("required", [])) == theirs


def test_keys_that_hold_bytes_say_so():
    secret = SCHEMAS["io.k8s.api.core.v1.Secret"]["properties"]
    assert secret["data"]["additionalProperties"] == {"type": "string", "format": "byte"}
    assert secret["stringData"]["additionalProperties"] == {"type": "string"}
    assert MANAGED_FIELDS_ENTRY in SCHEMAS
