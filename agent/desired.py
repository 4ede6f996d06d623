"""A pod as it shall be, and what follows from that alone for its containers. Pure; knows nothing of what is observed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from api.core import Container, Pod

DEFAULT_GRACE_SECONDS = 30
ORPHAN_GRACE_SECONDS = 1.0
"""A pod that was forced away or is unknown: its containers must not run a moment longer than they need to end."""


@dataclass(frozen=True, slots=True)
class Desired:
    """A pod as the control plane wants it; `pod` None: nothing of this uid shall be here."""

    uid: str
    pod: Pod | None


def spec_hash(container: Container) -> str:
    """Tells whether a running container is still the one described: only its image may change in a pod's life."""
    return hashlib.sha256(f"{container.name}\0{container.image}".encode()).hexdigest()[:16]


def terminating(desired: Desired) -> bool:
    """Whether the pod shall end."""
    return desired.pod is None or desired.pod.metadata.deletion_timestamp is not None


def grace_seconds(desired: Desired) -> float:
    """How long the containers of a terminating pod may take to end."""
    if desired.pod is None:
        return ORPHAN_GRACE_SECONDS
    grace = desired.pod.metadata.deletion_grace_period_seconds
    return float(pod_grace_seconds(desired.pod) if grace is None else grace)


def pod_grace_seconds(pod: Pod) -> int:
    """The pod's own grace period."""
    grace = pod.spec.termination_grace_period_seconds
    return DEFAULT_GRACE_SECONDS if grace is None else grace
