"""The full names that Kubernetes gives to kinds in OpenAPI documents. Pure."""

from __future__ import annotations

from typing import Final

from api.scheme import BUILT_IN, DEFINITIONS, EVENTS_V1

_OWN_GROUPS: Final = frozenset(kind.group for kind in BUILT_IN.kinds) | {
    "authentication.k8s.io",
    "authorization.k8s.io",
    EVENTS_V1.group,
}
_EXTENSIONS: Final = DEFINITIONS.partition(".")[2]


def is_custom(group: str) -> bool:
    """Whether the kinds of a group are those of definitions."""
    return "." in group and group not in _OWN_GROUPS


def name_of_kind(api_version: str, kind: str) -> str:
    """Kubernetes' full name of a kind's type: `io.k8s.api.apps.v1.Deployment`, `com.example.stable.v1.CronTab`."""
    group, _, version = api_version.rpartition("/")
    if group == _EXTENSIONS:
        return f"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{kind}"
    if is_custom(group):
        return f"{'.'.join(reversed(group.split('.')))}.{version}.{kind}"
    return f"io.k8s.api.{group.partition('.')[0] or 'core'}.{version}.{kind}"
