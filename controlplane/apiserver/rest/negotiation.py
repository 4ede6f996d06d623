"""Which form of an answer a client wants, and which form the body has that it sent. Pure.

JSON is always there; YAML for single documents. Protobuf is read, because clients written in Go send it unasked, but never
written: those clients name JSON beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from component.client import PatchType
from controlplane.apiserver.rest.refusals import Refusal

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
APPLY: Final = "application/apply-patch+yaml"
STRATEGIC: Final = "application/strategic-merge-patch+json"

PATCH_TYPES: Final[Mapping[str, PatchType]] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    STRATEGIC: "strategic",
    APPLY: "apply",
}
CUSTOM_PATCH_TYPES: Final = tuple(media for media in PATCH_TYPES if media != STRATEGIC)
"""What objects of custom kinds can be patched with: nobody says how their lists merge."""

_JSON_NAMES: Final = frozenset({JSON, "application/*", "*/*", "*"})
_YAML_NAMES: Final = frozenset({YAML, "application/x-yaml", "text/yaml"})


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is to look. `shape` "" is the object itself, else the kind it is to be shown as, in `version`."""

    media: Literal["application/json", "application/yaml"] = JSON
    shape: str = ""
    version: str = ""


PLAIN: Final = Form()


@lru_cache(maxsize=256)  # every client sends the same with each request
def accepted(accept: str, shapes: tuple[tuple[str, str], ...] = ()) -> Form:
    """Return the first form that the client wants and that can be had; `shapes` are (kind, version). Raises Refusal."""
    clauses = [_clause(text) for text in accept.split(",") if text.strip()]
    for media, parameters in sorted(clauses, key=lambda each: -_weight(each[1])):
        shape, version = parameters.get("as", ""), parameters.get("v", "")
        if shape and (shape, version) not in shapes:
            continue
        if media in _JSON_NAMES:
            return Form(JSON, shape, version if shape else "")
        if media in _YAML_NAMES and not shape:
            return Form(YAML)
    if clauses:
        message = f"only {JSON} and {YAML} can be had, not {accept[:200]}"
        raise Refusal(406, "NotAcceptable", message)
    return PLAIN


@lru_cache(maxsize=64)
def sent_as(content_type: str) -> str:
    """The form of a body by its Content-Type, which may be missing: JSON, YAML or PROTOBUF. Raises Refusal."""
    media, _ = _clause(content_type)
    if media in {"", JSON}:
        return JSON
    if media in _YAML_NAMES:
        return YAML
    if media == PROTOBUF:
        return PROTOBUF
    raise unsupported(media)


def patch_type(content_type: str) -> PatchType:
    """The type of a patch. Raises Refusal."""
    media, _ = _clause(content_type)
    found = PATCH_TYPES.get(media)
    if found is None:
        raise unsupported(media, (*PATCH_TYPES,))
    return found


def unsupported(media: str, known: Collection[str] = (JSON, YAML, PROTOBUF)) -> Refusal:
    """A body of a type that cannot be read here."""
    said = f'the body is "{media}"' if media else "the body has no Content-Type"
    return Refusal(415, "UnsupportedMediaType", f"{said}; it must be one of {', '.join(known)}")


def _clause(text: str) -> tuple[str, Mapping[str, str]]:
    media, *parameters = (part.strip() for part in text.split(";"))
    pairs = (parameter.partition("=") for parameter in parameters)
    return media.lower(), {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _weight(parameters: Mapping[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
