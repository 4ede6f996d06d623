"""Who may call what at all: one table from RPCs to those who have any business with them.

Administrators and the control plane's own parts (system:masters), nodes, replicas and everybody else with a certificate
of the cluster are told apart by groups. What a call asks for in particular is decided by roles and bindings
(`controlplane.apiserver.authorizer`), where the objects are known.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from api.errors import Forbidden
from component.rpc_server import Check, Context
from controlplane.admission.request import MASTERS_GROUP, REPLICAS_GROUP, Identity
from controlplane.apiserver.authn import Authenticator
from controlplane.rbac.attributes import Attributes, on_path

Role = Literal["admin", "node", "replica", "user"]

API_METHODS = "/api.v1.ApiServer/"
_API, _NODE, _LINK = API_METHODS, "/api.v1.NodeService/", "/api.v1.ReplicaLink/"
_ADMIN: frozenset[Role] = frozenset({"admin"})
_USERS: frozenset[Role] = frozenset({"admin", "user"})
_ALL: frozenset[Role] = frozenset({"admin", "node", "replica", "user"})

ROLES: Mapping[str, frozenset[Role]] = {
    _API + "Create": _USERS,
    _API + "Get": _USERS | {"node"},
    _API + "List": _USERS,
    _API + "Update": _USERS,
    _API + "UpdateStatus": _USERS,
    _API + "Delete": _USERS,
    _API + "DeleteCollection": _USERS,
    _API + "Watch": _USERS,
    _API + "Moment": _USERS,
    _API + "History": _USERS,
    _API + "Apply": _USERS,
    _API + "Transaction": _USERS,
    _API + "Patch": _USERS,
    _API + "Bind": _USERS,
    _API + "Logs": _USERS,
    _API + "Exec": _USERS,
    _API + "Attach": _USERS,
    _API + "PortForward": _USERS,
    _API + "CreateJoinToken": _USERS,
    _API + "CreateToken": _USERS | {"node"},
    _API + "RenewCertificate": _ADMIN | {"node"},
    _API + "Backup": _USERS,
    _API + "RemoveReplica": _USERS,
    _API + "TransferLeadership": _USERS,
    _API + "SecretsKeys": _USERS,
    _API + "RotateSecretsKey": _USERS,
    _API + "RetireSecretsKeys": _USERS,
    _API + "RevokeCertificate": _USERS,
    _API + "ListRevoked": _USERS,
    _API + "ClusterStatus": _ALL,
    _NODE + "Session": _ADMIN | {"node"},
    _NODE + "Dial": _ADMIN | {"node"},
    _LINK + "Propose": _ADMIN | {"replica"},
    _LINK + "ReadIndex": _ADMIN | {"replica"},
    _LINK + "ChangeMembership": _ADMIN | {"replica"},
    _LINK + "ReportSessions": _ADMIN | {"replica"},
    _LINK + "OpenNodeStream": _ADMIN | {"replica"},
    _LINK + "Status": _ADMIN | {"replica"},
    _LINK + "ShareKeys": _ADMIN | {"replica"},
    _LINK + "KeyUses": _ADMIN | {"replica"},
    _LINK + "ForgetKeys": _ADMIN | {"replica"},
    "/grpc.health.v1.Health/Check": _ALL,
    "/grpc.health.v1.Health/List": _ALL,
    "/grpc.health.v1.Health/Watch": _ALL,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ALL,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": _ALL,
}
"""Every RPC of every service, and which roles may call it. What is missing here nobody may call."""

PATHS: Mapping[str, Attributes] = {
    _API + "Backup": on_path("get", "/timonier/backup"),
    _API + "RemoveReplica": on_path("delete", "/timonier/replicas"),
    _API + "TransferLeadership": on_path("post", "/timonier/leadership"),
    _API + "RevokeCertificate": on_path("post", "/timonier/revocations"),
    _API + "ListRevoked": on_path("get", "/timonier/revocations"),
    _API + "SecretsKeys": on_path("get", "/timonier/secrets-keys"),
    _API + "RotateSecretsKey": on_path("post", "/timonier/secrets-keys"),
    _API + "RetireSecretsKeys": on_path("delete", "/timonier/secrets-keys"),
}
"""The path that rules name (nonResourceURLs) for an RPC about the cluster itself, and the verb on it."""


LASTING: frozenset[str] = frozenset(
    {
        *(_API + name for name in ("Watch", "Logs", "Exec", "PortForward", "Backup")),
        *(_NODE + name for name in ("Session", "Dial")),
        *(_LINK + name for name in ("Propose", "ReportSessions", "OpenNodeStream")),
        "/grpc.health.v1.Health/Watch",
    }
)
"""The RPCs that stream: they are ended when their certificate is revoked, others are over soon."""


def roles_of(identity: Identity) -> frozenset[Role]:
    """The roles a certificate's groups give. Somebody without a special group is a user."""
    roles: set[Role] = set()
    if MASTERS_GROUP in identity.groups:
        roles.add("admin")
    if identity.node:
        roles.add("node")
    if REPLICAS_GROUP in identity.groups:
        roles.add("replica")
    return frozenset(roles) or frozenset({"user"})


def check_call(identity: Identity, method: str) -> None:
    """Raise Forbidden unless the table lets `identity` call the RPC."""
    if not roles_of(identity) & ROLES.get(method, frozenset()):
        verb = method.rpartition("/")[2]
        raise Forbidden(f'user "{identity.user}" may not call {verb}')


def check_of(authenticator: Authenticator, authorize: Callable[[Identity, Attributes], Awaitable[None]]) -> Check:
    """What checks every RPC of a server before its handler runs; `authorize` decides about paths."""

    def check(method: str, context: Context) -> Awaitable[None] | None:
        identity = authenticator.identify(context)
        check_call(identity, method)
        if method in LASTING:
            authenticator.follow(context)
        path = PATHS.get(method)
        return None if path is None else authorize(identity, path)

    return check
