"""Rules for CustomResourceDefinitions besides those for their schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from api.apiextensions import CustomResourceDefinition, CustomResourceDefinitionSpec, CustomResourceDefinitionVersion
from api.custom_columns import FORMATS, TYPES
from api.errors import FieldError
from api.faults import check_choice, check_text, check_unique, forbidden, immutable, invalid, required
from api.jsonpath import BadPath, path
from api.names import dns_1035_label_fault, dns_subdomain_fault
from api.object import Tree
from api.scheme import BUILT_IN
from api.validate_schema import schema_faults

NOT_YET: Final = "not supported yet"
SCOPES: Final = ("Cluster", "Namespaced")
_WARNING_CHARACTERS: Final = 256
_SCALE_PATH: Final = re.compile(r"(\.[A-Za-z_][A-Za-z0-9_-]*)+", re.ASCII)
_PROTECTED: Final = (".k8s.io", ".kubernetes.io")
_APPROVED: Final = "api-approved.kubernetes.io"


def definition_faults(view: CustomResourceDefinition, tree: Tree, old: Tree | None) -> Iterator[FieldError]:
    """Yield what is wrong with a definition; `old` is what it was before, None for a new one."""
    spec = view.spec
    wanted = f"{spec.names.plural}.{spec.group}"
    if view.metadata.name != wanted:
        yield invalid("metadata.name", view.metadata.name, 'must be spec.names.plural+"."+spec.group')
    yield from _group_faults(view)
    yield from check_choice("spec.scope", spec.scope or None, SCOPES)
    if not spec.scope:
        yield required("spec.scope")
    yield from _name_faults(tree.get("spec", {}).get("names", {}), "spec.names")
    yield from _conversion_faults(spec)
    yield from _version_faults(spec, tree)
    if old is not None:
        yield from _change_faults(tree, old)


def _group_faults(view: CustomResourceDefinition) -> Iterator[FieldError]:
    group = view.spec.group
    yield from check_text("spec.group", group, dns_subdomain_fault)
    if group and "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    if any(kind.group == group for kind in BUILT_IN.kinds):
        yield forbidden("spec.group", f'the kinds of "{group}" are the cluster\'s own')
    protected = group.endswith(_PROTECTED) or f".{group}" in _PROTECTED
    if protected and not view.metadata.annotations.get(_APPROVED):
        message = (
            "protected groups must have approval annotation, see https://github.com/kubernetes/enhancements/pull/1111"
        )
        yield required(f"metadata.annotations[{_APPROVED}]", message)


def _name_faults(names: Tree, where: str) -> Iterator[FieldError]:
    """All words that commands take are lower case; a kind is written as people like."""
    for name in ("plural", "singular", "kind", "listKind"):
        value = names.get(name, "")
        yield from check_text(
            f"{where}.{name}", value.lower() if name in {"kind", "listKind"} else value, dns_1035_label_fault
        )
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        yield invalid(f"{where}.listKind", names["listKind"], "kind and listKind may not be the same")
    for name in ("shortNames", "categories"):
        for index, value in enumerate(names.get(name, ())):
            yield from check_text(f"{where}.{name}[{index}]", value, dns_1035_label_fault)


def _conversion_faults(spec: CustomResourceDefinitionSpec) -> Iterator[FieldError]:
    if spec.preserve_unknown_fields:
        yield invalid("spec.preserveUnknownFields", True, "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead")  # fmt: skip
    conversion = spec.conversion
    if conversion is None:
        return
    if conversion.strategy == "Webhook":
        yield FieldError("spec.conversion.strategy", f'"Webhook" is {NOT_YET}; supported: "None"')
    elif conversion.strategy != "None":
        yield from check_choice("spec.conversion.strategy", conversion.strategy, ("None", "Webhook"))
    elif conversion.webhook is not None:
        yield forbidden("spec.conversion.webhook", "should not be set when strategy is not set to Webhook")


def _version_faults(spec: CustomResourceDefinitionSpec, tree: Tree) -> Iterator[FieldError]:
    if not spec.versions:
        yield required("spec.versions", "must have at least one version")
        return
    yield from check_unique("spec.versions[{}].name", [each.name for each in spec.versions])
    stored = [each.name for each in spec.versions if each.storage]
    if len(stored) != 1:
        message = "must have exactly one version marked as storage version"
        yield invalid("spec.versions", stored, message)
    for index, version in enumerate(spec.versions):
        yield from _one_version(version, tree["spec"]["versions"][index], f"spec.versions[{index}]")


def _one_version(version: CustomResourceDefinitionVersion, tree: Tree, where: str) -> Iterator[FieldError]:
    yield from check_text(f"{where}.name", version.name, dns_1035_label_fault)
    if version.selectable_fields:
        yield FieldError(f"{where}.selectableFields", NOT_YET)
    if version.deprecation_warning is not None:
        if not version.deprecated:
            yield invalid(
                f"{where}.deprecationWarning", version.deprecation_warning, "can only be set for deprecated versions"
            )
        if (
            not 0 < len(version.deprecation_warning) <= _WARNING_CHARACTERS
            or not version.deprecation_warning.isprintable()
        ):
            message = f"must be 1 to {_WARNING_CHARACTERS} printable characters"
            yield invalid(f"{where}.deprecationWarning", version.deprecation_warning, message)
    document = tree.get("schema", {}).get("openAPIV3Schema")
    if document is None:
        yield required(f"{where}.schema.openAPIV3Schema", "schemas are required")
    else:
        yield from schema_faults(document, f"{where}.schema.openAPIV3Schema")
    yield from _column_faults(tree.get("additionalPrinterColumns", []), f"{where}.additionalPrinterColumns")
    yield from _subresource_faults(tree.get("subresources", {}), f"{where}.subresources")


def _column_faults(columns: list[Tree], where: str) -> Iterator[FieldError]:
    for index, column in enumerate(columns):
        place = f"{where}[{index}]"
        for name in ("name", "type", "jsonPath"):
            if not column.get(name):
                yield required(f"{place}.{name}")
        yield from check_choice(f"{place}.type", column.get("type") or None, TYPES)
        yield from check_choice(f"{place}.format", column.get("format") or None, FORMATS)
        if written := column.get("jsonPath"):
            try:
                path(written)
            except BadPath as error:
                yield invalid(f"{place}.jsonPath", written, str(error))


def _subresource_faults(given: Tree, where: str) -> Iterator[FieldError]:
    status: Any = given.get("status", {})
    if status != {}:
        yield invalid(f"{where}.status", status, "must be an empty object")
    scale = given.get("scale")
    if scale is None:
        return
    for name, parents in (
        ("specReplicasPath", (".spec.",)),
        ("statusReplicasPath", (".status.",)),
        ("labelSelectorPath", (".spec.", ".status.")),
    ):
        value = scale.get(name, "")
        if not value:
            if name != "labelSelectorPath":
                yield required(f"{where}.scale.{name}")
        elif not _SCALE_PATH.fullmatch(value):
            yield invalid(f"{where}.scale.{name}", value, "should be a simple json path without index")
        elif not value.startswith(parents):
            yield invalid(
                f"{where}.scale.{name}",
                value,
                f"should be a json path under {' or '.join(p.rstrip('.') for p in parents)}",
            )


def _change_faults(tree: Tree, old: Tree) -> Iterator[FieldError]:
    """An established definition keeps its group, scope and names that clients build paths of."""
    spec, before = tree["spec"], old["spec"]
    if spec.get("group") != before.get("group"):
        yield immutable("spec.group", spec.get("group"))
    if spec.get("scope") != before.get("scope"):
        yield immutable("spec.scope", spec.get("scope"))
    for name in ("plural", "kind"):
        if spec.get("names", {}).get(name) != before["names"].get(name):
            yield immutable(f"spec.names.{name}", spec.get("names", {}).get(name))
    names = {each.get("name") for each in spec.get("versions", ())}
    for index, stored in enumerate(old.get("status", {}).get("storedVersions", ())):
        if stored not in names:
            message = "missing from spec.versions; objects may be stored in it"
            yield invalid(f"status.storedVersions[{index}]", stored, message)
