"""Environment variables of containers and where their values come from."""

from __future__ import annotations

from api.meta import Quantity, Resource, required


class ConfigMapKeySelector(Resource):
    """One key of a ConfigMap; if `optional`, it may be missing."""

    name: str | None = None
    key: str = required("")
    optional: bool | None = None


class SecretKeySelector(Resource):
    """One key of a Secret; if `optional`, it may be missing."""

    name: str | None = None
    key: str = required("")
    optional: bool | None = None


class ObjectFieldSelector(Resource):
    """A field of the pod itself, such as `metadata.name` or `metadata.labels['app']`."""

    api_version: str | None = None
    field_path: str = required("")


class FileKeySelector(Resource):
    """A variable in a file of a volume."""

    key: str = required("")
    optional: bool | None = None
    path: str = required("")
    volume_name: str = required("")


class ResourceFieldSelector(Resource):
    """A container's own limit or request, divided by `divisor` and rounded up."""

    container_name: str | None = None
    divisor: Quantity | None = None
    resource: str = required("")


class EnvVarSource(Resource):
    """Where a value comes from; exactly one of these is given."""

    config_map_key_ref: ConfigMapKeySelector | None = None
    field_ref: ObjectFieldSelector | None = None
    file_key_ref: FileKeySelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    secret_key_ref: SecretKeySelector | None = None


class EnvVar(Resource):
    """One variable. `value` may refer to earlier ones as `$(NAME)`; `$$` is a dollar sign."""

    name: str = required("")
    value: str | None = None
    value_from: EnvVarSource | None = None


class ConfigMapEnvSource(Resource):
    """All keys of a ConfigMap."""

    name: str | None = None
    optional: bool | None = None


class SecretEnvSource(Resource):
    """All keys of a Secret."""

    name: str | None = None
    optional: bool | None = None


class EnvFromSource(Resource):
    """Turns every key into a variable, with `prefix` in front of its name."""

    config_map_ref: ConfigMapEnvSource | None = None
    prefix: str | None = None
    secret_ref: SecretEnvSource | None = None
