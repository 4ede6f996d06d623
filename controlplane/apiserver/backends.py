"""Which pod answers for a Service: one of its ready endpoints. Pure, on a state."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from api.errors import NotFound, Unavailable
from api.network import EndpointSlice
from api.service import Service
from api.wellknown import SERVICE_NAME_LABEL
from controlplane.commands import Key
from controlplane.store.state import State

_SLICES = "endpointslices.discovery.k8s.io"


@dataclass(frozen=True, slots=True)
class Backend:
    """A port of a pod."""

    namespace: str
    pod: str
    port: int


def choose(state: State, namespace: str, name: str, port: str, rng: random.Random) -> Backend:
    """Return one of the pods that are ready behind a port of a Service, given by number or name; "" is its only one.

    NotFound for a Service or port that is not there, Unavailable when nothing is ready.
    """
    stored = state.get(Key("services", namespace, name))
    if stored is None:
        raise NotFound(f'services "{name}" not found')
    service = msgspec.json.decode(stored.body, type=Service)
    if service.spec.type == "ExternalName":
        raise Unavailable(
            f'service "{name}" is an alias of a name outside: it cannot be reached through the control plane'
        )
    ports = service.spec.ports
    named = [each for each in ports if port in {str(each.port), each.name or ""}] if port else ports
    if not named or (not port and len(ports) > 1):
        raise NotFound(
            f'service "{name}" has no port "{port}"' if port else f'service "{name}" has no single port: name one'
        )
    found = list(_backends(state, namespace, name, named[0].name or ""))
    if not found:
        raise Unavailable(f'no endpoints available for service "{name}"')
    return rng.choice(found)


def _backends(state: State, namespace: str, service: str, port: str) -> Iterator[Backend]:
    for stored in state.scan(_SLICES, namespace):
        if stored.envelope.labels.get(SERVICE_NAME_LABEL) != service:
            continue
        view = msgspec.json.decode(stored.body, type=EndpointSlice)
        numbers = [each.port for each in view.ports if (each.name or "") == port and each.port]
        for endpoint in view.endpoints:
            ready = endpoint.conditions is None or endpoint.conditions.ready is not False
            target = endpoint.target_ref
            if ready and numbers and target is not None and target.kind == "Pod" and target.name:
                yield Backend(namespace, target.name, numbers[0])
