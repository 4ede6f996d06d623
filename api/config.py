"""Configuration given to pods, and the identity that they run under."""

from __future__ import annotations

from api.meta import LocalObjectReference, ObjectMeta, ObjectReference, Resource, required


class ConfigMap(Resource):
    """Configuration as keys; `binary_data` is base64. 1 MiB in all."""

    api_version: str = required("v1")
    kind: str = required("ConfigMap")
    metadata: ObjectMeta = ObjectMeta()
    binary_data: dict[str, str] = {}
    data: dict[str, str] = {}
    immutable: bool | None = None


class Secret(Resource):
    """Confidential values as keys; `data` is base64, `string_data` is plain text and only ever written."""

    api_version: str = required("v1")
    kind: str = required("Secret")
    metadata: ObjectMeta = ObjectMeta()
    type: str | None = None
    data: dict[str, str] = {}
    immutable: bool | None = None
    string_data: dict[str, str] = {}


class ServiceAccount(Resource):
    """The identity of the processes in a pod."""

    api_version: str = required("v1")
    kind: str = required("ServiceAccount")
    metadata: ObjectMeta = ObjectMeta()
    automount_service_account_token: bool | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    secrets: tuple[ObjectReference, ...] = ()
