"""CustomResourceDefinition: a kind that whoever runs the cluster adds. Types only; `api.structural` reads the schemas."""

from __future__ import annotations

from typing import Any

import msgspec

from api.meta import Number, ObjectMeta, Resource, required


class JSONSchemaProps(Resource):
    """What values may be: OpenAPI v3, of which some words are Kubernetes' own.

    Defaults and examples are kept as they came. `additional_properties` is a schema or true.
    """

    id: str | None = None
    schema_: str | None = msgspec.field(default=None, name="$schema")
    ref: str | None = msgspec.field(default=None, name="$ref")
    description: str | None = None
    type: str | None = None
    format: str | None = None
    title: str | None = None
    default: Any = None
    maximum: Number | None = None
    exclusive_maximum: bool | None = None
    minimum: Number | None = None
    exclusive_minimum: bool | None = None
    max_length: int | None = None
    min_length: int | None = None
    pattern: str | None = None
    max_items: int | None = None
    min_items: int | None = None
    unique_items: bool | None = None
    multiple_of: Number | None = None
    enum: tuple[Any, ...] = ()
    max_properties: int | None = None
    min_properties: int | None = None
    required: tuple[str, ...] = ()
    items: JSONSchemaProps | None = None
    all_of: tuple[JSONSchemaProps, ...] = ()
    one_of: tuple[JSONSchemaProps, ...] = ()
    any_of: tuple[JSONSchemaProps, ...] = ()
    not_: JSONSchemaProps | None = msgspec.field(default=None, name="not")
    properties: dict[str, JSONSchemaProps] = {}
    additional_properties: Any = None
    pattern_properties: dict[str, JSONSchemaProps] = {}
    dependencies: dict[str, Any] = {}
    additional_items: Any = None
    definitions: dict[str, JSONSchemaProps] = {}
    external_docs: ExternalDocumentation | None = None
    example: Any = None
    nullable: bool | None = None
    x_kubernetes_preserve_unknown_fields: bool | None = msgspec.field(
        default=None, name="x-kubernetes-preserve-unknown-fields"
    )
    x_kubernetes_embedded_resource: bool | None = msgspec.field(default=None, name="x-kubernetes-embedded-resource")
    x_kubernetes_int_or_string: bool | None = msgspec.field(default=None, name="x-kubernetes-int-or-string")
    x_kubernetes_list_map_keys: tuple[str, ...] = msgspec.field(default=(), name="x-kubernetes-list-map-keys")
    x_kubernetes_list_type: str | None = msgspec.field(default=None, name="x-kubernetes-list-type")
    x_kubernetes_map_type: str | None = msgspec.field(default=None, name="x-kubernetes-map-type")
    x_kubernetes_validations: tuple[ValidationRule, ...] = msgspec.field(default=(), name="x-kubernetes-validations")


class ExternalDocumentation(Resource):
    """Where more is written."""

    description: str | None = None
    url: str | None = None


class ValidationRule(Resource):
    """A condition in the Common Expression Language."""

    rule: str = required("")
    message: str | None = None
    message_expression: str | None = None
    reason: str | None = None
    field_path: str | None = None
    optional_old_self: bool | None = None


class CustomResourceValidation(Resource):
    """The schema of one version."""

    open_apiv3_schema: JSONSchemaProps | None = msgspec.field(default=None, name="openAPIV3Schema")


class CustomResourceSubresourceScale(Resource):
    """Where an object keeps its number of replicas, as JSON paths that begin with a dot."""

    spec_replicas_path: str = required("")
    status_replicas_path: str = required("")
    label_selector_path: str | None = None


class CustomResourceSubresources(Resource):
    """What objects have besides themselves; an empty `status` is one."""

    status: Any = None
    scale: CustomResourceSubresourceScale | None = None


class CustomResourceColumnDefinition(Resource):
    """One column of tables; a `priority` above 0 shows it only where there is much room."""

    name: str = required("")
    type: str = required("")
    json_path: str = required("")
    description: str | None = None
    format: str | None = None
    priority: int | None = None


class SelectableField(Resource):
    """A field that lists can be selected by."""

    json_path: str = required("")


class CustomResourceDefinitionVersion(Resource):
    """One version of the kind. Exactly one is stored; any number are served."""

    name: str = required("")
    served: bool = required(False)
    storage: bool = required(False)
    additional_printer_columns: tuple[CustomResourceColumnDefinition, ...] = ()
    deprecated: bool | None = None
    deprecation_warning: str | None = None
    schema: CustomResourceValidation | None = None
    selectable_fields: tuple[SelectableField, ...] = ()
    subresources: CustomResourceSubresources | None = None


class CustomResourceDefinitionNames(Resource):
    """How the kind and its objects are called."""

    kind: str = required("")
    plural: str = required("")
    categories: tuple[str, ...] = ()
    list_kind: str | None = None
    short_names: tuple[str, ...] = ()
    singular: str | None = None


class CustomResourceConversion(Resource):
    """How one version becomes another; None changes the apiVersion only."""

    strategy: str = required("")
    webhook: Any = None


class CustomResourceDefinitionSpec(Resource):
    """What the kind is to be, written by users only."""

    group: str = required("")
    names: CustomResourceDefinitionNames = msgspec.field(default_factory=CustomResourceDefinitionNames)
    scope: str = required("")
    versions: tuple[CustomResourceDefinitionVersion, ...] = ()
    conversion: CustomResourceConversion | None = None
    preserve_unknown_fields: bool | None = None


class CustomResourceDefinitionCondition(Resource):
    """One observed aspect of a definition: NamesAccepted, Established, Terminating."""

    type: str = required("")
    status: str = required("")
    last_transition_time: str | None = None
    message: str | None = None
    reason: str | None = None
    observed_generation: int | None = None


class CustomResourceDefinitionStatus(Resource):
    """What of it is in force. `stored_versions` are those in which objects may be stored."""

    accepted_names: CustomResourceDefinitionNames | None = None
    conditions: tuple[CustomResourceDefinitionCondition, ...] = ()
    stored_versions: tuple[str, ...] = ()
    observed_generation: int | None = None


class CustomResourceDefinition(Resource):
    """A kind of objects that the cluster keeps and serves like its own."""

    api_version: str = required("apiextensions.k8s.io/v1")
    kind: str = required("CustomResourceDefinition")
    metadata: ObjectMeta = ObjectMeta()
    spec: CustomResourceDefinitionSpec = msgspec.field(default_factory=CustomResourceDefinitionSpec)
    status: CustomResourceDefinitionStatus | None = None
