"""The types carry exactly what the Kubernetes API of today has for the kinds, checked against its Python client's models."""

import re
import typing

import msgspec
import pytest
from kubernetes import client
from kubernetes.client import models

import api.core
import api.endpoints
import api.volume_sources
from api import scheme, shape
from api.meta import Required, Resource, resource_types

pytestmark = pytest.mark.slow

RENAMED = {
    "Event": "CoreV1Event",
    "EventSeries": "CoreV1EventSeries",
    "ResourceClaim": "CoreV1ResourceClaim",
    "CoreEndpointPort": "CoreV1EndpointPort",
    "EndpointPort": "DiscoveryV1EndpointPort",
    "Subject": "RbacV1Subject",
    "ServiceReference": "AdmissionregistrationV1ServiceReference",
    "WebhookClientConfig": "AdmissionregistrationV1WebhookClientConfig",
}
OURS = {theirs: ours for ours, theirs in RENAMED.items()}

# Kept opaque: nothing here reads it, it only travels.
OPAQUE = {("ObjectMeta", "managedFields"), ("CustomResourceConversion", "webhook")}

# The model lets a list of schemas stand there, which no definition may have.
NARROWED = {("JSONSchemaProps", "items")}

# The models call quantities text; these are the fields that hold them.
QUANTITIES = {
    ("ContainerStatus", "allocatedResources"),
    ("EmptyDirVolumeSource", "sizeLimit"),
    *(("LimitRangeItem", each) for each in ("default", "defaultRequest", "max", "maxLimitRequestRatio", "min")),
    ("NodeAllocatableMappedResources", "quantity"),
    ("NodeAllocatableOverheadResources", "perContainer"),
    ("NodeAllocatableOverheadResources", "perPod"),
    ("NodeStatus", "allocatable"),
    ("NodeStatus", "capacity"),
    ("PodSpec", "overhead"),
    ("PodStatus", "allocatedResources"),
    ("ResourceFieldSelector", "divisor"),
    ("ResourceQuotaSpec", "hard"),
    ("ResourceQuotaStatus", "hard"),
    ("ResourceQuotaStatus", "used"),
    ("ResourceRequirements", "limits"),
    ("ResourceRequirements", "requests"),
    ("VolumeResourceRequirements", "limits"),
    ("VolumeResourceRequirements", "requests"),
}


def label(struct):
    """The name of a type here; one of two of the same name bears its group's."""
    return "CoreEndpointPort" if struct is api.endpoints.EndpointPort else struct.__name__


def model_of(struct):
    return getattr(models, RENAMED.get(label(struct), f"V1{label(struct)}"))


def our_name(model):
    return OURS.get(model, model.removeprefix("V1"))


def reachable():
    found, waiting = {}, [kind.type for kind in (*scheme.KINDS, *scheme.REVIEWS)]
    while waiting:
        struct = waiting.pop()
        if label(struct) in found:
            continue
        found[label(struct)] = struct
        for form in shape.fields(struct).values():
            inner = form.item or form
            if inner.struct:
                waiting.append(inner.struct)
    return found


STRUCTS = reachable()


def described(form):
    """Our form in the words of the models, quantities as text."""
    match form.form:
        case "list":
            return f"List[{described(form.item)}]"
        case "map":
            return f"Dict[str, {described(form.item)}]"
        case "object":
            return label(form.struct)
        case "integer or string" | "any":
            return "object"
        case plain:
            names = {"string": "str", "quantity": "str", "time": "datetime", "integer": "int", "boolean": "bool"}
            return (names | {"number": "float"})[plain]


def expected(text):
    text = text.replace("bytes", "str")
    return re.sub(
        r"\b(V1\w+|CoreV1\w+|DiscoveryV1\w+|RbacV1\w+|AdmissionregistrationV1\w+)",
        lambda match: our_name(match[1]),
        text,
    )


def test_every_type_of_the_package_belongs_to_a_kind():
    modules = {"api.custom_kind"}  # the part that objects of all custom kinds share
    types = [struct for struct in resource_types() if struct.__module__ not in modules]
    assert {label(struct) for struct in types if struct.__module__.startswith("api.")} == set(STRUCTS)


def test_the_core_module_offers_every_type_it_names():
    assert all(issubclass(getattr(api.core, name), Resource) for name in api.core.__all__)
    assert api.volume_sources.NFSVolumeSource.__name__ in STRUCTS


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_type_has_the_fields_of_the_model(name):
    struct, model = STRUCTS[name], model_of(STRUCTS[name])
    names = [field.rstrip("_") for field in struct.__struct_fields__]  # some are words of Python
    ours = dict(zip(struct.__struct_encode_fields__, names, strict=True))
    theirs = {json_name: attribute.lstrip("_") for attribute, json_name in model.attribute_map.items()}
    assert ours == theirs


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_fields_have_the_types_of_the_model(name):
    struct, model = STRUCTS[name], model_of(STRUCTS[name])
    json_names = model.attribute_map
    theirs = {json_names[attribute]: expected(text) for attribute, text in model.openapi_types.items()}
    forms = shape.fields(struct)
    for field, text in theirs.items():
        if (name, field) not in OPAQUE | NARROWED:
            assert described(forms[field]) == text, field


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_scalars_that_the_model_requires_are_never_none(name):
    struct, model = STRUCTS[name], model_of(STRUCTS[name])
    constants = {"apiVersion", "kind"} if name in {kind.kind for kind in (*scheme.KINDS, *scheme.REVIEWS)} else set()
    scalars = {
        json_name
        for attribute, json_name in model.attribute_map.items()
        if attribute in model.model_fields
        and model.model_fields[attribute].is_required()
        and shape.fields(struct)[json_name].form not in {"object", "list", "map"}
    }
    ours = {f.encode_name for f in msgspec.structs.fields(struct) if isinstance(f.default_factory, Required)}
    assert ours == scalars | constants


def test_quantities_are_where_kubernetes_has_them():
    found = {
        (name, field)
        for name, struct in STRUCTS.items()
        for field, form in shape.fields(struct).items()
        if "quantity" in {form.form, form.item.form if form.item else ""}
    }
    assert found == QUANTITIES


def test_absent_lists_and_maps_are_empty_and_absent_scalars_none():
    for struct in STRUCTS.values():
        hints = typing.get_type_hints(struct)
        for field in msgspec.structs.fields(struct):
            value = getattr(struct(), field.name)
            origin = typing.get_origin(hints[field.name])
            if origin is tuple:
                assert value == ()
            elif origin is dict:
                assert value == {}
            elif type(None) in typing.get_args(hints[field.name]):
                assert value is None


@pytest.mark.parametrize("kind", scheme.REVIEWS, ids=lambda kind: kind.kind)
def test_reviews_are_only_created(kind):
    api_class = {scheme.AUTHORIZATION: client.AuthorizationV1Api, scheme.AUTHENTICATION: client.AuthenticationV1Api}
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.kind).lower()
    made = f"create_namespaced_{snake}" if kind.namespaced else f"create_{snake}"
    assert hasattr(api_class[kind.group], made)
    assert not [name for name in dir(api_class[kind.group]) if name.startswith("read_")]


@pytest.mark.parametrize("kind", scheme.KINDS, ids=lambda kind: kind.kind)
def test_scope_and_status_of_a_kind_are_those_of_the_api(kind):
    group = {
        "": "CoreV1Api",
        "apps": "AppsV1Api",
        "discovery.k8s.io": "DiscoveryV1Api",
        scheme.RBAC: "RbacAuthorizationV1Api",
        "scheduling.k8s.io": "SchedulingV1Api",
        scheme.ADMISSION: "AdmissionregistrationV1Api",
        "apiextensions.k8s.io": "ApiextensionsV1Api",
    }
    api_class = getattr(client, group.get(kind.group, "CoordinationV1Api"))
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.kind).lower()
    read = f"read_namespaced_{snake}" if kind.namespaced else f"read_{snake}"
    assert hasattr(api_class, read)
    assert hasattr(api_class, f"{read}_status") == kind.has_status
    assert kind.api_version.endswith("v1")
