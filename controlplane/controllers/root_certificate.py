"""The ConfigMap kube-root-ca.crt that every namespace has: by it pods know that they talk to this cluster's API."""

from __future__ import annotations

from api.core import ConfigMap, Namespace
from api.wellknown import ROOT_CERTIFICATE
from component.informer import Cached, Informer
from controlplane.controllers.actions import Action, Create, Update
from controlplane.controllers.per_namespace import PerNamespaceController

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


def controller(
    namespaces: Informer[Namespace], config_maps: Informer[ConfigMap], ca_pem: str
) -> PerNamespaceController[ConfigMap]:
    """Keeps the ConfigMap in every namespace."""
    return PerNamespaceController(
        "root-certificate",
        namespaces,
        config_maps,
        ROOT_CERTIFICATE,
        lambda namespace, found: reconcile(namespace, found, ca_pem),
    )
