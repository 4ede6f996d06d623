"""Label and field selectors of lists and watches, compiled once per request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from api.object import Tree
from api.selectors import FieldSelector, Selector, check_fields, field_value, parse_field_selector, parse_label_selector
from controlplane.apiserver.objects import tree_of
from controlplane.commands import Envelope


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list or watch is narrowed to."""

    namespace: str
    labels: Selector
    fields: FieldSelector

    @property
    def node(self) -> str:
        """The only node whose pods are selected, or ""."""
        return self.fields.exact("spec.nodeName") or ""

    @property
    def name(self) -> str:
        """The only name that is selected, or ""."""
        return self.fields.exact("metadata.name") or ""

    @property
    def everything(self) -> bool:
        """Whether neither labels nor fields matter."""
        return self.labels.empty and self.fields.empty

    def matches(self, envelope: Envelope, body: bytes) -> bool:
        """Whether an object is selected; its body is decoded only when a field outside the envelope is asked for."""
        if not self.labels.matches(envelope.labels):
            return False
        return self.fields.empty or self.fields.matches(_field_reader(envelope, body))


def parse(resource: str, namespace: str, label_selector: str, field_selector: str) -> Selection:
    """Parse both selectors. Raises Invalid naming the column, or a field that cannot be selected by."""
    fields = parse_field_selector(field_selector)
    check_fields(resource, fields)
    return Selection(namespace, parse_label_selector(label_selector), fields)


def _field_reader(envelope: Envelope, body: bytes) -> Callable[[str], str]:
    tree: Tree | None = None

    def read(field: str) -> str:
        nonlocal tree
        match field:
            case "metadata.name":
                return envelope.key.name
            case "metadata.namespace":
                return envelope.key.namespace
            case "spec.nodeName":
                return envelope.node
            case _:
                if tree is None:
                    tree = tree_of(body)
                return field_value(tree, field)

    return read
