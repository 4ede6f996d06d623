"""What a plugin is given: who asks for what, and the state the decision is made on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec

from api.errors import Forbidden
from api.object import Object, Tree
from api.scheme import Kind

if TYPE_CHECKING:  # what it says is made of requests
    from controlplane.admission.webhooks.asking import Answers

Verb = Literal["create", "update", "update_status", "update_ephemeral", "bind", "delete"]

NODES_GROUP = "system:nodes"
REPLICAS_GROUP = "system:replicas"
MASTERS_GROUP = "system:masters"
ACCOUNTS_GROUP = "system:serviceaccounts"
AUTHENTICATED_GROUP = "system:authenticated"
UNAUTHENTICATED_GROUP = "system:unauthenticated"
NODE_USER_PREFIX = "system:node:"
NODE_MANAGER = "tim-agent"


class Identity(msgspec.Struct, frozen=True):
    """Who asks: the common name and the organisations of a client certificate, as in Kubernetes, or what a token says.

    `manager` is the program that does, as whose its changes are recorded (metadata.managedFields); no permission depends on it.
    `impersonator` is the user who acts as this one. `local`: root on a replica's machine, for whom no admission webhook is asked.
    """

    user: str
    groups: tuple[str, ...] = ()
    manager: str = ""
    impersonator: str = ""
    local: bool = False

    @property
    def actor(self) -> str:
        """Whom history names as the writer."""
        return f"{self.user} (by {self.impersonator})" if self.impersonator else self.user

    @property
    def node(self) -> str:
        """The name of the node that asks; "" for everybody else."""
        if NODES_GROUP in self.groups and self.user.startswith(NODE_USER_PREFIX):
            return self.user.removeprefix(NODE_USER_PREFIX)
        return ""


ANONYMOUS: Final = Identity("system:anonymous", (UNAUTHENTICATED_GROUP,))
"""Whoever shows nothing; some paths of the HTTPS API are open to it."""


LOCAL_ADMIN: Final = Identity("system:local-admin", (MASTERS_GROUP,), local=True)
"""Whoever asks over the admin socket of a replica."""


def groups_of(identity: Identity) -> tuple[str, ...]:
    """The groups that somebody is in: the identity's own and, of whoever is known, `system:authenticated`."""
    groups = identity.groups
    if UNAUTHENTICATED_GROUP in groups or AUTHENTICATED_GROUP in groups:
        return groups
    return (*groups, AUTHENTICATED_GROUP)


def node_identity(node: str) -> Identity:
    """The identity that a node's certificate gives it."""
    return Identity(NODE_USER_PREFIX + node, (NODES_GROUP,), NODE_MANAGER)


class Request(msgspec.Struct, frozen=True):
    """A write on its way in.

    `tree` is the object as it is to be stored so far; in a delete it is the stored one. `old` is the stored object,
    None in a create, and `revision` its. `options` say how it is to be done, as Kubernetes writes them.
    """

    identity: Identity
    verb: Verb
    kind: Kind
    namespace: str
    name: str
    tree: Tree
    old: Tree | None = None
    revision: int = 0
    options: Tree = {}

    def forbidden(self, why: str) -> Forbidden:
        """The refusal of this request, in Kubernetes' words."""
        return Forbidden(f'{self.kind.resource} "{self.name}" is forbidden: {why}')


class Remarks:
    """What is to be told besides the outcome of a request, once each however often it is decided.

    `tell` gets the warnings; without one nobody hears them. `audits` are for the log. `makes`: as it was decided last, an
    object that was not there.
    """

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self._tell = tell
        self._warnings: set[str] = set()
        self.audits: list[str] = []
        self.makes = False

    def warn(self, text: str) -> None:
        """Tell the caller."""
        if self._tell is not None and text not in self._warnings:
            self._warnings.add(text)
            self._tell(text)

    def audit(self, text: str) -> None:
        """Tell the log, when the request is done."""
        if text not in self.audits:
            self.audits.append(text)


class Snapshot(Protocol):
    """The state a decision is made on, and what else was learnt for it.

    `answers` are those of webhooks, None where they have no say. In a `dry_run` nothing is stored.
    """

    @property
    def answers(self) -> Answers | None:
        """Where webhooks are asked."""

    @property
    def dry_run(self) -> bool:
        """Whether the decision is only shown."""

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """Return the object as it is now, or None. It becomes a check of the transaction."""

    def list(self, resource: str, namespace: str) -> Sequence[Object]:
        """Return all objects of a kind in a namespace, "" for one without namespaces. They may change meanwhile."""

    def look(self, resource: str, namespace: str, name: str) -> Object | None:
        """Return the object as it is now, or None. It may change meanwhile."""

    def warn(self, text: str) -> None:
        """Tell the caller something."""

    def audit(self, text: str) -> None:
        """Tell the log something, if the request is done."""

    def ledger(self, name: str) -> Mapping[str, int]:
        """Return the amounts of a ledger. They may change meanwhile: limits of the transaction make sure."""
