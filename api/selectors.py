"""Label and field selectors: parsing, checking, matching.

Label selectors as in the Kubernetes documentation, "Labels and Selectors": `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`,
`a`, `!a`, joined by commas that mean "and". Field selectors know `=`, `==` and `!=`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from api.errors import FieldError, Invalid
from api.meta import LabelSelector, LabelSelectorRequirement
from api.names import label_value_fault, qualified_name_fault
from api.object import Tree

OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_NO_VALUES: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label; NotIn also holds for an absent label, as in Kubernetes."""

    key: str
    operator: str
    values: frozenset[str] = _NO_VALUES

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy this condition."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
            case _:
                return value is None


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold. `nothing` marks the selector that never matches."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy every requirement."""
        return not self.nothing and all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether everything matches."""
        return not self.requirements and not self.nothing


NOTHING = Selector(nothing=True)


def label_selector_of(selector: LabelSelector | None) -> Selector:
    """Compile a selector from an object; None selects nothing, an empty one everything.

    Expects a selector that `requirement_faults` accepts.
    """
    if selector is None:
        return NOTHING
    equal = (Requirement(key, "In", frozenset((value,))) for key, value in selector.match_labels.items())
    rest = (Requirement(e.key, e.operator, frozenset(e.values)) for e in selector.match_expressions)
    return Selector((*equal, *rest))


def requirement_faults(requirement: LabelSelectorRequirement, path: str) -> Iterator[FieldError]:
    """Yield what is wrong with one requirement of a selector in an object."""
    if fault := qualified_name_fault(requirement.key):
        yield FieldError(f"{path}.key", f'Invalid value: "{requirement.key}": {fault}')
    if requirement.operator not in OPERATORS:
        yield FieldError(f"{path}.operator", f'Invalid value: "{requirement.operator}": not a valid selector operator')
    elif requirement.operator in {"In", "NotIn"} and not requirement.values:
        yield FieldError(f"{path}.values", "Required value: must be specified when `operator` is 'In' or 'NotIn'")
    elif requirement.operator in {"Exists", "DoesNotExist"} and requirement.values:
        yield FieldError(
            f"{path}.values", "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        )
    for index, value in enumerate(requirement.values):
        if fault := label_value_fault(value):
            yield FieldError(f"{path}.values[{index}]", f'Invalid value: "{value}": {fault}')


_TOKEN = re.compile(r"\s*(?:(?P<symbol>==|!=|[=!(),])|(?P<word>[^\s=!(),<>]+)|(?P<bad>\S))")


class _Tokens:
    """The words of a label selector, one ahead; `fail` points at the current one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 0
        self.advance()

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.end)
        if match is None:
            self.start, self.token, self.is_word = len(self.text), "", False
            return
        kind = match.lastgroup or ""
        self.start, self.end = match.start(kind), match.end()
        self.token, self.is_word = match[kind], kind == "word"

    def take(self, *symbols: str) -> bool:
        """Step over the current token if it is one of these."""
        if self.token not in symbols:
            return False
        self.advance()
        return True

    def word(self, what: str) -> str:
        if not self.is_word:
            self.fail(f"expected {what}")
        word = self.token
        self.advance()
        return word

    def fail(self, problem: str) -> NoReturn:
        found = f'found "{self.token}"' if self.token else "found the end"
        raise Invalid(f'label selector "{self.text}": column {self.start + 1}: {problem}, {found}')


def parse_label_selector(text: str) -> Selector:
    """Parse a label selector; empty text selects everything. Raises Invalid naming the column."""
    tokens = _Tokens(text)
    if not tokens.token:
        return Selector()
    requirements = [_requirement(tokens)]
    while tokens.take(","):
        requirements.append(_requirement(tokens))
    if tokens.token:
        tokens.fail("expected a comma")
    return Selector(tuple(requirements))


def _requirement(tokens: _Tokens) -> Requirement:
    if tokens.take("!"):
        return Requirement(_key(tokens), "DoesNotExist")
    key = _key(tokens)
    if tokens.take("=", "=="):
        return Requirement(key, "In", frozenset((_value(tokens),)))
    if tokens.take("!="):
        return Requirement(key, "NotIn", frozenset((_value(tokens),)))
    if tokens.token in {"in", "notin"}:
        operator = "In" if tokens.word("an operator") == "in" else "NotIn"
        return Requirement(key, operator, _values(tokens))
    if tokens.token not in {"", ","}:
        tokens.fail("expected =, ==, !=, in, notin or a comma")
    return Requirement(key, "Exists")


def _key(tokens: _Tokens) -> str:
    if tokens.is_word and (fault := qualified_name_fault(tokens.token)):
        tokens.fail(f"label key: {fault}")
    return tokens.word("a label key")


def _value(tokens: _Tokens) -> str:
    if not tokens.is_word:
        return ""
    if fault := label_value_fault(tokens.token):
        tokens.fail(f"label value: {fault}")
    return tokens.word("a label value")


def _values(tokens: _Tokens) -> frozenset[str]:
    if not tokens.take("("):
        tokens.fail('expected "("')
    values = [_value(tokens)]
    while tokens.take(","):
        values.append(_value(tokens))
    if not tokens.take(")"):
        tokens.fail('expected "," or ")"')
    return frozenset(values)


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """A field must be, or must not be (`negated`), this text."""

    field: str
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All requirements must hold."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, get: Callable[[str], str]) -> bool:
        """Whether the fields, as `get` tells them, satisfy every requirement."""
        return all((get(r.field) == r.value) != r.negated for r in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether everything matches."""
        return not self.requirements

    def exact(self, field: str) -> str | None:
        """The one value this field must have, if the selector says so: lets indexes answer."""
        return next((r.value for r in self.requirements if r.field == field and not r.negated), None)


_FIELD_TERM = re.compile(r"\s*([A-Za-z0-9._\[\]-]+)\s*(==|!=|=)((?:[^\\,=]|\\[\\,=])*)(?:,|$)")


def parse_field_selector(text: str) -> FieldSelector:
    r"""Parse a field selector; `\\`, `\,` and `\=` stand for themselves in values. Raises Invalid naming the column."""
    requirements = []
    position = 0
    while position < len(text):
        match = _FIELD_TERM.match(text, position)
        if match is None:
            raise Invalid(
                f'field selector "{text}": column {position + 1}: expected field=value, field==value or field!=value'
            )
        field, operator, value = match.groups()
        value = re.sub(r"\\(.)", r"\1", value.strip())
        requirements.append(FieldRequirement(field, value, negated=operator == "!="))
        position = match.end()
    return FieldSelector(tuple(requirements))


_COMMON_FIELDS = frozenset({"metadata.name", "metadata.namespace"})
_FIELDS = {
    "pods": {
        *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork"),
        *("status.phase", "status.podIP", "status.nominatedNodeName"),
    },
    "events": {
        *("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid"),
        *("involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath"),
        *("reason", "reportingComponent", "source", "type"),
    },
    "secrets": {"type"},
    "namespaces": {"status.phase"},
    "nodes": {"spec.unschedulable"},
    "services": {"spec.clusterIP", "spec.type"},
    "replicasets.apps": {"status.replicas"},
}
# Fields that read as Go's zero value when absent, and one that is short for another.
_ZERO = {"spec.unschedulable": "false", "spec.hostNetwork": "false", "status.replicas": "0"}
_ALIAS = {"source": "source.component"}


def supported_fields(resource: str) -> frozenset[str]:
    """The fields that a list or watch of this resource can be selected by."""
    return _COMMON_FIELDS | _FIELDS.get(resource, frozenset())


def check_fields(resource: str, selector: FieldSelector) -> None:
    """Raise Invalid when the selector names a field this resource cannot be selected by."""
    supported = supported_fields(resource)
    for requirement in selector.requirements:
        if requirement.field not in supported:
            raise Invalid(
                f'field selector: "{requirement.field}" is not supported for {resource}; use one of {", ".join(sorted(supported))}'
            )


def field_value(tree: Tree, path: str) -> str:
    """Return a field as selectors compare it: "" when absent, true and false for booleans."""
    value: object = tree
    for name in _ALIAS.get(path, path).split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        return _ZERO.get(path, "")
    return str(value).lower() if isinstance(value, bool) else str(value)
