"""The ConfigMap kube-root-ca.crt that every namespace has: by it pods know that they talk to this cluster's API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.core import ConfigMap, Namespace
from api.errors import ApiError
from api.wellknown import ROOT_CERTIFICATE
from component.informer import Cached, Change, Informer
from controlplane.controllers.actions import Action, Create, Update
from controlplane.controllers.loop import Key, Source, own_key

KEY = "ca.crt"


def reconcile(namespace: Cached[Namespace], found: Cached[ConfigMap] | None, ca_pem: str) -> list[Action]:
    """Return what makes the namespace's ConfigMap hold the certificate; [] once it does, and where the namespace goes."""
    if namespace.metadata.deletion_timestamp is not None:
        return []
    data = {KEY: ca_pem}
    if found is None:
        metadata = {"name": ROOT_CERTIFICATE, "namespace": namespace.object.name}
        return [Create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})]
    if found.view.data == data and not found.view.binary_data:
        return []
    tree = {name: value for name, value in found.object.tree().items() if name != "binaryData"}
    return [Update(tree | {"data": data})]


class RootCertificateController:
    """Looks at namespaces and at the ConfigMaps of this name."""

    name = "root-certificate"

    def __init__(self, namespaces: Informer[Namespace], config_maps: Informer[ConfigMap], ca_pem: str) -> None:
        self._namespaces = namespaces
        self._config_maps = config_maps
        self._ca_pem = ca_pem

    def sources(self) -> Sequence[Source]:
        """Namespaces and ConfigMaps."""
        return [Source(self._namespaces, own_key), Source(self._config_maps, _keys_of_config_map)]

    def all_keys(self) -> Iterable[Key]:
        """All namespaces."""
        return [cached.key for cached in self._namespaces.items()]

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one namespace."""
        del failure
        namespace = self._namespaces.get("", key[1])
        if namespace is None:
            return []
        return reconcile(namespace, self._config_maps.get(key[1], ROOT_CERTIFICATE), self._ca_pem)


def _keys_of_config_map(change: Change[ConfigMap]) -> Iterable[Key]:
    return [("", change.latest.object.namespace)]
