"""Who may call what. One table from RPCs to roles, and what a node may read; finer rules for writes are admission's.

Until there is RBAC the roles come from certificate groups: administrators and the control plane's own parts
(system:masters), nodes, replicas, and everybody else with a certificate of the cluster, who may read. A service account
may do nothing yet: its token only tells who it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from api.core import Event, Pod
from api.errors import Forbidden
from component.rpc_server import Check, Context
from controlplane.admission.request import ACCOUNTS_GROUP, MASTERS_GROUP, REPLICAS_GROUP, Identity
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.references import named_by
from controlplane.commands import Key
from controlplane.store.state import State

Role = Literal["admin", "node", "replica", "reader", "account"]

API_METHODS = "/api.v1.ApiServer/"
_API, _NODE, _LINK = API_METHODS, "/api.v1.NodeService/", "/api.v1.ReplicaLink/"
_ADMIN: frozenset[Role] = frozenset({"admin"})
_READERS: frozenset[Role] = frozenset({"admin", "reader"})
_ALL: frozenset[Role] = frozenset({"admin", "node", "replica", "reader"})

ROLES: Mapping[str, frozenset[Role]] = {
    _API + "Create": _ADMIN,
    _API + "Get": _READERS | {"node"},
    _API + "List": _READERS,
    _API + "Update": _ADMIN,
    _API + "UpdateStatus": _ADMIN,
    _API + "Delete": _ADMIN,
    _API + "Watch": _READERS,
    _API + "Moment": _READERS,
    _API + "History": _READERS,
    _API + "Apply": _ADMIN,
    _API + "Transaction": _ADMIN,
    _API + "Patch": _ADMIN,
    _API + "Bind": _ADMIN,
    _API + "Logs": _READERS,
    _API + "Exec": _ADMIN,
    _API + "CreateJoinToken": _ADMIN,
    _API + "CreateToken": _ADMIN | {"node"},
    _API + "Backup": _ADMIN,
    _API + "RemoveReplica": _ADMIN,
    _API + "TransferLeadership": _ADMIN,
    _API + "ClusterStatus": _ALL,
    _NODE + "Session": _ADMIN | {"node"},
    _NODE + "Dial": _ADMIN | {"node"},
    _LINK + "Propose": _ADMIN | {"replica"},
    _LINK + "ReadIndex": _ADMIN | {"replica"},
    _LINK + "ChangeMembership": _ADMIN | {"replica"},
    _LINK + "ReportSessions": _ADMIN | {"replica"},
    _LINK + "OpenNodeStream": _ADMIN | {"replica"},
    _LINK + "Status": _ADMIN | {"replica"},
    "/grpc.health.v1.Health/Check": _ALL,
    "/grpc.health.v1.Health/List": _ALL,
    "/grpc.health.v1.Health/Watch": _ALL,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ALL,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": _ALL,
}
"""Every RPC of every service, and which roles may call it. What is missing here nobody may call."""

READER_HIDDEN = frozenset({"secrets"})
"""Not for those who may only read, as in Kubernetes' role "view"."""


def roles_of(identity: Identity) -> frozenset[Role]:
    """The roles a certificate's groups give. Somebody without a special group may read."""
    roles: set[Role] = set()
    if MASTERS_GROUP in identity.groups:
        roles.add("admin")
    if identity.node:
        roles.add("node")
    if REPLICAS_GROUP in identity.groups:
        roles.add("replica")
    if ACCOUNTS_GROUP in identity.groups:
        roles.add("account")
    return frozenset(roles) or frozenset({"reader"})


def check_call(identity: Identity, method: str) -> None:
    """Raise Forbidden unless the table lets `identity` call the RPC."""
    if not roles_of(identity) & ROLES.get(method, frozenset()):
        verb = method.rpartition("/")[2]
        raise Forbidden(f'user "{identity.user}" may not call {verb}')


def check_write(identity: Identity) -> None:
    """Raise Forbidden for those who write nothing. Administrators write anything, nodes what admission lets them."""
    if not roles_of(identity) & {"admin", "node"}:
        raise Forbidden(f'user "{identity.user}" may only read')


def check_read(identity: Identity, resource: str, namespace: str, name: str, state: State) -> None:
    """Raise Forbidden unless `identity` may read this object; `name` "" for a list or watch."""
    roles = roles_of(identity)
    if "admin" in roles or ("reader" in roles and resource not in READER_HIDDEN):
        return
    if identity.node and name and _needed_by(identity.node, Key(resource, namespace, name), state):
        return
    what = f'{resource} "{name}"' if name else resource
    raise Forbidden(f'user "{identity.user}" may not read {what}')


def check_of(authenticator: Authenticator) -> Check:
    """What checks every RPC of a server against the table before its handler runs."""

    def check(method: str, context: Context) -> None:
        check_call(authenticator.identify(context), method)

    return check


def _needed_by(node: str, key: Key, state: State) -> bool:
    """A node needs itself, its pods, the ConfigMaps, Secrets and service accounts they name, and the Events it wrote."""
    if key.resource == "nodes":
        return key.name == node
    if key.resource in {"pods", "events"}:
        stored = state.get(key)
        if stored is None or key.resource == "pods":
            return stored is not None and stored.envelope.node == node
        source = msgspec.json.decode(stored.body, type=Event).source
        return source is not None and source.host == node
    for pod_key in state.by_node(node):
        stored = state.get(pod_key) if pod_key.namespace == key.namespace else None
        if stored is not None and (key.resource, key.name) in named_by(msgspec.json.decode(stored.body, type=Pod)):
            return True
    return False
