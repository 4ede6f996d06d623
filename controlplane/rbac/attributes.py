"""What a request is to whoever decides whether it may be made, and the words of a refusal.

It must not know rules, or where they are kept.
"""

from __future__ import annotations

import json
from typing import Final

import msgspec

from api.scheme import Kind

ALL: Final = "*"


class Attributes(msgspec.Struct, frozen=True, gc=False):
    """One request: a verb on a resource of a group, or, when `path` is not empty, on a path of the HTTPS API.

    `namespace` "" is the cluster scope, or all namespaces in a list; `name` "" where none is given, as in a create.
    Verbs are Kubernetes': get, list, watch, create, update, patch, delete, deletecollection, bind, escalate, impersonate;
    of a path the HTTP methods in small letters.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def qualified(self) -> str:
        """The resource with its group, as `api.scheme` and errors name it: deployments.apps."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    @property
    def combined(self) -> str:
        """The resource as rules name it: pods, pods/log."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def on(kind: Kind, verb: str, namespace: str = "", name: str = "", subresource: str = "") -> Attributes:
    """The request for one kind of object. What is done to a Namespace happens in that namespace, as in Kubernetes."""
    if not kind.namespaced:
        namespace = name if kind.resource == "namespaces" else ""
    return Attributes(verb, kind.group, kind.plural, subresource, namespace, name)


def on_path(verb: str, path: str) -> Attributes:
    """The request for a path, such as /version or /timonier/backup."""
    return Attributes(verb, path=path)


def refusal(user: str, asked: Attributes, reason: str = "") -> str:
    """Why it may not be made, in exactly Kubernetes' words."""
    who, verb = f"User {quoted(user)}", asked.verb
    if asked.path:
        message = f"forbidden: {who} cannot {verb} path {quoted(asked.path)}"
    else:
        scope = f"in the namespace {quoted(asked.namespace)}" if asked.namespace else "at the cluster scope"
        subject = f"{asked.qualified} {quoted(asked.name)}" if asked.name else asked.qualified
        message = (
            f"{subject} is forbidden: {who} cannot {verb} resource {quoted(asked.combined)} "
            f"in API group {quoted(asked.group)} {scope}"
        )
    return f"{message}: {reason}" if reason else message


def quoted(text: str) -> str:
    """In double quotes."""
    return json.dumps(text, ensure_ascii=False)
