"""The ServiceAccount `default` that every namespace has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.core import Namespace, ServiceAccount
from api.errors import ApiError
from component.informer import Cached, Change, Informer
from controlplane.controllers.actions import Action, Create
from controlplane.controllers.loop import Key, Source, own_key

DEFAULT = "default"


def reconcile(namespace: Cached[Namespace], *, present: bool) -> list[Create]:
    """Return the creation of the account where it is missing."""
    if present or namespace.metadata.deletion_timestamp is not None:
        return []
    metadata = {"name": DEFAULT, "namespace": namespace.object.name}
    return [Create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})]


class ServiceAccountController:
    """Looks at namespaces, and at accounts that go."""

    name = "serviceaccount"

    def __init__(self, namespaces: Informer[Namespace], accounts: Informer[ServiceAccount]) -> None:
        self._namespaces = namespaces
        self._accounts = accounts

    def sources(self) -> Sequence[Source]:
        """Namespaces and service accounts."""
        return [Source(self._namespaces, own_key), Source(self._accounts, _keys_of_account)]

    def all_keys(self) -> Iterable[Key]:
        """All namespaces."""
        return [cached.key for cached in self._namespaces.items()]

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one namespace."""
        del failure
        namespace = self._namespaces.get("", key[1])
        if namespace is None:
            return []
        return reconcile(namespace, present=self._accounts.get(key[1], DEFAULT) is not None)


def _keys_of_account(change: Change[ServiceAccount]) -> Iterable[Key]:
    item = change.latest.object
    return [("", item.namespace)] if change.new is None and item.name == DEFAULT else []
