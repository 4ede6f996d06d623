"""Slices that say what a user's Endpoints do: those of a Service without a selector, whose address they make lead somewhere.

Rules are those of the Kubernetes documentation ("EndpointSlice mirroring"). Only slices of this controller are touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from api.core import Service
from api.endpoints import EndpointAddress, Endpoints, EndpointSubset
from api.names import derived_name
from api.network import Endpoint, EndpointSlice
from api.object import Tree
from api.validate_service import ENDPOINT_LIMIT
from api.wellknown import LAST_APPLIED_ANNOTATION, SERVICE_NAME_LABEL
from component.informer import Cached
from controlplane.controllers.actions import Action, Create, Update, delete
from controlplane.controllers.endpointslice import MANAGED_BY
from controlplane.controllers.ownership import owner_reference

MANAGED_BY_MIRRORING: Final = "endpointslicemirroring-controller.k8s.io"
SKIP_MIRROR: Final = "endpointslice.kubernetes.io/skip-mirror"
LEADER: Final = "control-plane.alpha.kubernetes.io/leader"


def mirrored(
    service: Cached[Service], endpoints: Cached[Endpoints] | None, slices: Sequence[Cached[EndpointSlice]]
) -> list[Action]:
    """Return what makes `slices`, those made here before, say what `endpoints` do; [] once they do."""
    if service.metadata.deletion_timestamp is not None:
        return []
    wanted = {} if endpoints is None or _skipped(endpoints) else _wanted(endpoints)
    creates: list[Action] = []
    updates: list[Action] = []
    known = {each.object.name: each.object for each in slices}
    for name, tree in wanted.items():
        if (stored := known.get(name)) is None:
            creates.append(Create(tree))
        elif update := _updated(stored.tree(), tree):
            updates.append(update)
    return [*updates, *creates, *(delete(item) for name, item in known.items() if name not in wanted)]


def _skipped(endpoints: Cached[Endpoints]) -> bool:
    metadata = endpoints.metadata
    ending = metadata.deletion_timestamp is not None
    return ending or metadata.labels.get(SKIP_MIRROR) == "true" or LEADER in metadata.annotations


def _wanted(endpoints: Cached[Endpoints]) -> dict[str, Tree]:
    """The slices there should be, by name; the same Endpoints always give the same names."""
    found: dict[str, Tree] = {}
    for subset in endpoints.view.subsets:
        listed = [
            *(_endpoint(each, ready=True) for each in subset.addresses),
            *(_endpoint(each, ready=False) for each in subset.not_ready_addresses),
        ]
        for start in range(0, len(listed), ENDPOINT_LIMIT):
            name = derived_name(endpoints.object.name, endpoints.object.uid, len(found))
            found[name] = _slice(endpoints, name, subset, listed[start : start + ENDPOINT_LIMIT])
    return found


def _slice(endpoints: Cached[Endpoints], name: str, subset: EndpointSubset, listed: list[Tree]) -> Tree:
    metadata = endpoints.metadata
    labels = {key: value for key, value in metadata.labels.items() if key != SKIP_MIRROR}
    notes = {key: text for key, text in metadata.annotations.items() if key != LAST_APPLIED_ANNOTATION}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": endpoints.object.namespace,
            "labels": {**labels, SERVICE_NAME_LABEL: endpoints.object.name, MANAGED_BY: MANAGED_BY_MIRRORING},
            **({"annotations": notes} if notes else {}),
            "ownerReferences": [owner_reference(endpoints.object)],
        },
        "addressType": "IPv4",
        "endpoints": listed,
        "ports": [
            {
                "name": port.name or "",
                "protocol": port.protocol or "TCP",
                "port": port.port,
                **({"appProtocol": port.app_protocol} if port.app_protocol else {}),
            }
            for port in subset.ports
        ],
    }


def _endpoint(address: EndpointAddress, *, ready: bool) -> Tree:
    return {"addresses": [address.ip], "conditions": {"ready": ready}, **whereabouts(address)}


def whereabouts(address: Endpoint | EndpointAddress) -> Tree:
    """What slices and Endpoints say of an address in the same words: name, node and pod."""
    tree: Tree = {}
    if address.hostname:
        tree["hostname"] = address.hostname
    if address.node_name:
        tree["nodeName"] = address.node_name
    if (target := address.target_ref) is not None:
        named = {"kind": target.kind, "namespace": target.namespace, "name": target.name, "uid": target.uid}
        tree["targetRef"] = {name: value for name, value in named.items() if value}
    return tree


def _updated(stored: Tree, wanted: Tree) -> Update | None:
    fields = ("endpoints", "ports")
    about = ("labels", "annotations")
    same = all(stored.get(name, []) == wanted[name] for name in fields)
    said = {name: wanted["metadata"].get(name, {}) for name in about}
    if same and all(stored["metadata"].get(name, {}) == said[name] for name in about):
        return None
    metadata = {**stored["metadata"], **said}
    return Update({**stored, "metadata": metadata, **{name: wanted[name] for name in fields}})
