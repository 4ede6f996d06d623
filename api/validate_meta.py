"""Rules for object metadata and label selectors."""

from __future__ import annotations

from collections.abc import Iterator

from api.errors import FieldError
from api.faults import check_labels, check_range, check_text, forbidden, immutable, invalid, required
from api.meta import LabelSelector, ObjectMeta, OwnerReference
from api.names import Fault, dns_label_fault, qualified_name_fault
from api.selectors import requirement_faults

ANNOTATIONS_LIMIT_BYTES = 256 * 1024
NO_OWNERS = {("v1", "Event"), ("events.k8s.io/v1", "Event")}  # they come and go: as in Kubernetes
STANDARD_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")


def metadata_faults(
    meta: ObjectMeta, old: ObjectMeta | None, *, namespaced: bool, name_fault: Fault
) -> Iterator[FieldError]:
    """Yield what is wrong with an object's own metadata."""
    if meta.generate_name and (why := name_fault(meta.generate_name.rstrip("-") or "-")):
        yield invalid("metadata.generateName", meta.generate_name, why)
    if meta.name:
        yield from check_text("metadata.name", meta.name, name_fault)
    elif not meta.generate_name:
        yield required("metadata.name", "name or generateName is required")
    if namespaced:
        yield from check_text("metadata.namespace", meta.namespace, dns_label_fault)
    elif meta.namespace:
        yield forbidden("metadata.namespace", "not allowed on this type")
    yield from check_range("metadata.generation", meta.generation, 0)
    yield from check_labels("metadata.labels", meta.labels)
    yield from _annotation_faults(meta, "metadata.annotations")
    yield from _owner_faults(meta.owner_references)
    yield from _finalizer_faults(meta)
    if old is not None:
        yield from _change_faults(meta, old)


def template_metadata_faults(meta: ObjectMeta, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with the metadata of a pod template."""
    yield from check_labels(f"{path}.labels", meta.labels)
    yield from _annotation_faults(meta, f"{path}.annotations")


def _annotation_faults(meta: ObjectMeta, path: str) -> Iterator[FieldError]:
    for key in meta.annotations:
        if why := qualified_name_fault(key.lower()):
            yield invalid(path, key, why)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in meta.annotations.items())
    if size > ANNOTATIONS_LIMIT_BYTES:
        yield FieldError(path, f"Too long: may not be more than {ANNOTATIONS_LIMIT_BYTES} bytes")


def _owner_faults(owners: tuple[OwnerReference, ...]) -> Iterator[FieldError]:
    controllers = []
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        for name, value in (
            *(("apiVersion", owner.api_version), ("kind", owner.kind)),
            *(("name", owner.name), ("uid", owner.uid)),
        ):
            if not value:
                yield required(f"{path}.{name}", "must not be empty")
        if owner.api_version and (why := _group_version_fault(owner.api_version)):
            yield invalid(f"{path}.apiVersion", owner.api_version, why)
        if (owner.api_version, owner.kind) in NO_OWNERS:
            yield invalid(path, f"{owner.api_version}, Kind={owner.kind}", "is disallowed from being an owner")
        if owner.controller:
            controllers.append(f"{owner.kind} {owner.name}")
    if len(controllers) > 1:
        yield FieldError(
            "metadata.ownerReferences",
            f"Invalid value: only one reference can have controller set to true, found {', '.join(controllers)}",
        )


def _group_version_fault(text: str) -> str | None:
    group, slash, version = text.partition("/")
    if "/" in version or (slash and not group):
        return f"unexpected GroupVersion string: {text}"
    return None if version or not slash else "version must not be empty"


def _finalizer_faults(meta: ObjectMeta) -> Iterator[FieldError]:
    for index, finalizer in enumerate(meta.finalizers):
        path = f"metadata.finalizers[{index}]"
        if why := finalizer_fault(finalizer):
            yield invalid(path, finalizer, why)
    if {"orphan", "foregroundDeletion"} <= set(meta.finalizers):
        yield FieldError("metadata.finalizers", "Invalid value: orphan and foregroundDeletion exclude each other")


def finalizer_fault(finalizer: str) -> str | None:
    """Return why nobody could remove this finalizer: it belongs to nobody by name, and is not Kubernetes' own."""
    if why := qualified_name_fault(finalizer):
        return why
    if "/" in finalizer or finalizer in STANDARD_FINALIZERS:
        return None
    return "name is neither a standard finalizer name nor is it fully qualified"


def _change_faults(meta: ObjectMeta, old: ObjectMeta) -> Iterator[FieldError]:
    if meta.name != old.name:
        yield immutable("metadata.name", meta.name)
    if meta.namespace != old.namespace:
        yield immutable("metadata.namespace", meta.namespace)
    if old.deletion_timestamp:
        added = [finalizer for finalizer in meta.finalizers if finalizer not in old.finalizers]
        if added:
            yield forbidden(
                "metadata.finalizers",
                f"no new finalizers can be added if the object is being deleted, found {', '.join(added)}",
            )


def selector_faults(selector: LabelSelector, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with a label selector in an object."""
    yield from check_labels(f"{path}.matchLabels", selector.match_labels)
    for index, requirement in enumerate(selector.match_expressions):
        yield from requirement_faults(requirement, f"{path}.matchExpressions[{index}]")
