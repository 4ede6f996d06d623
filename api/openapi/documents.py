"""The documents that clients ask for: one of OpenAPI 2 for everything, one of OpenAPI 3 for each group version. Pure.

Made anew at each call, which takes some tens of milliseconds: callers keep what they got.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from api.openapi import custom, machinery
from api.openapi.definitions import definitions
from api.openapi.machinery import META, Schema
from api.openapi.operations import CONNECTED, PARAMETERS, Operation, Path, Row, paths, served_kind
from api.scheme import Kind

TITLE = "Timonier"

_NEEDED = (machinery.STATUS, machinery.DELETE_OPTIONS, machinery.PATCH, f"{META}.WatchEvent")
_NULLABLE = {"io.k8s.api.events.v1.Event": "eventTime"}  # written as null where there is only the old time

Served = Mapping[str, Sequence[Row]]
"""By api version, the rows of discovery: what this server does."""


def version_2(version: str, served: Served, kinds: Sequence[Kind] = ()) -> Schema:
    """The document of OpenAPI 2 for everything; `version` is the server's, `kinds` the custom ones among those served."""
    found = [path for api_version, rows in served.items() for path in paths(api_version, rows)]
    schemas = _definitions(served, found, custom.schemas(kinds, 2))
    return {
        "swagger": "2.0",
        "info": {"title": TITLE, "version": version},
        "paths": {path.path: _path_2(path) for path in sorted(found, key=lambda path: path.path)},
        "definitions": {name: _referring(schema, "#/definitions/") for name, schema in schemas.items()},
    }


def version_3(version: str, served: Served, kinds: Sequence[Kind] = ()) -> Mapping[str, Schema]:
    """The documents of OpenAPI 3, one for each api version, by their path below /openapi/v3: `api/v1`, `apis/apps/v1`."""
    return {
        f"{'apis' if '/' in api_version else 'api'}/{api_version}": _of_group_version(
            version, api_version, rows, [kind for kind in kinds if kind.api_version == api_version]
        )
        for api_version, rows in served.items()
    }


def _of_group_version(version: str, api_version: str, rows: Sequence[Row], kinds: Sequence[Kind]) -> Schema:
    found = list(paths(api_version, rows))
    schemas = _definitions({api_version: rows}, found, custom.schemas(kinds, 3))
    prefix = "#/components/schemas/"
    return {
        "openapi": "3.0.0",
        "info": {"title": TITLE, "version": version},
        "paths": {path.path: _path_3(path) for path in sorted(found, key=lambda path: path.path)},
        "components": {
            "schemas": {name: _schema_3(_with_alternatives(name, schema), prefix) for name, schema in schemas.items()}
        },
    }


def index_3(documents: Mapping[str, bytes]) -> Schema:
    """Where the documents of OpenAPI 3 are; their hash lets clients keep them."""
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest(document)}"}
            for path, document in documents.items()
        }
    }


def digest(document: bytes) -> str:
    """The hash of a document as encoded."""
    return hashlib.sha256(document).hexdigest().upper()


def encoded(document: Schema) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document)


def _definitions(served: Served, found: Iterable[Path], own: Mapping[str, Schema]) -> dict[str, Schema]:
    kinds = [
        (*served_kind(api_version, row), "list" in row["verbs"])
        for api_version, rows in served.items()
        for row in rows
        if row["name"].partition("/")[2] not in CONNECTED  # the options of a stream stand in its query
    ]
    used = {name for path in found for each in path.operations for name in (each.body, each.answer) if name}
    return definitions(kinds, (*_NEEDED, *sorted(used)), own)


def _referring(value: Any, prefix: str) -> Any:
    """The schema with references that start with `prefix`."""
    if isinstance(value, dict):
        return {
            name: prefix + each if name == "$ref" and isinstance(each, str) else _referring(each, prefix)
            for name, each in value.items()
        }
    return [_referring(each, prefix) for each in value] if isinstance(value, list) else value


def _schema_3(value: Any, prefix: str) -> Any:
    """The same for OpenAPI 3, where nothing may stand beside a reference."""
    if not isinstance(value, dict):
        return [_schema_3(each, prefix) for each in value] if isinstance(value, list) else value
    if isinstance(value.get("$ref"), str):
        reference = {"$ref": prefix + value["$ref"]}
        beside = {name: each for name, each in value.items() if name != "$ref"}
        return {**beside, "allOf": [reference]} if beside else reference
    return {name: _schema_3(each, prefix) for name, each in value.items()}


def _with_alternatives(name: str, schema: Schema) -> Schema:
    """The schema with all its types, and with what may be null, for which OpenAPI 2 has no words."""
    if field := _NULLABLE.get(name):
        properties = schema["properties"]
        return schema | {"properties": properties | {field: properties[field] | {"nullable": True}}}
    types = machinery.ALTERNATIVES.get(name)
    if types is None:
        return schema
    return {key: value for key, value in schema.items() if key != "type"} | {
        "oneOf": [{"type": each} for each in types]
    }


def _path_2(path: Path) -> Schema:
    shown: Schema = {each.method: _operation_2(each) for each in path.operations}
    if path.parameters:
        shown["parameters"] = [_parameter(name, "path", type=PARAMETERS[name][0]) for name in path.parameters]
    return shown


def _operation_2(operation: Operation) -> Schema:
    parameters = [_parameter(name, "query", type=PARAMETERS[name][0]) for name in operation.query]
    if operation.body:
        body = {"$ref": f"#/definitions/{operation.body}"}
        parameters.append({"name": "body", "in": "body", "required": _needs_body(operation), "schema": body})
    return {
        **_common(operation),
        "consumes": list(operation.consumes),
        "produces": list(operation.produces),
        "schemes": ["https"],
        "parameters": parameters,
        "responses": {
            status: {"description": text, "schema": _answer(name, "#/definitions/")}
            for status, text, name in _answers(operation)
        },
    }


def _path_3(path: Path) -> Schema:
    shown: Schema = {each.method: _operation_3(each) for each in path.operations}
    if path.parameters:
        shown["parameters"] = [_parameter(name, "path", schema=_typed_3(name)) for name in path.parameters]
    return shown


def _operation_3(operation: Operation) -> Schema:
    prefix = "#/components/schemas/"
    shown = {
        **_common(operation),
        "parameters": [_parameter(name, "query", schema=_typed_3(name)) for name in operation.query],
        "responses": {
            status: {
                "description": text,
                "content": {media: {"schema": _answer(name, prefix)} for media in _media(operation, name)},
            }
            for status, text, name in _answers(operation)
        },
    }
    if operation.body:
        content = {media: {"schema": {"$ref": prefix + operation.body}} for media in operation.consumes}
        shown["requestBody"] = {"content": content, "required": _needs_body(operation)}
    return shown


def _typed_3(name: str) -> Schema:
    return {"type": PARAMETERS[name][0]}


def _common(operation: Operation) -> Schema:
    return {
        "operationId": operation.id,
        "description": operation.text,
        "tags": [operation.tag],
        "x-kubernetes-action": operation.action,
        "x-kubernetes-group-version-kind": dict(operation.kind),
    }


def _parameter(name: str, place: str, **form: Any) -> Schema:
    shown: Schema = {"name": name, "in": place, "description": PARAMETERS[name][1], **form}
    return {**shown, "required": True} if place == "path" else shown


def _needs_body(operation: Operation) -> bool:
    return operation.method != "delete"


def _answers(operation: Operation) -> Iterator[tuple[str, str, str]]:
    """(status, meaning, definition) of every answer; what is refused says why in a Status."""
    for status in operation.statuses:
        yield str(status), {200: "OK", 201: "Created", 202: "Accepted"}[status], operation.answer
    yield "default", "Refused", machinery.STATUS


def _answer(name: str, prefix: str) -> Schema:
    return {"$ref": prefix + name} if name else {"type": "string"}


def _media(operation: Operation, name: str) -> Sequence[str]:
    return operation.produces if name == operation.answer else ("application/json",)
