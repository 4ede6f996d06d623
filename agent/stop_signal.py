"""Which signal asks a container to end."""

from __future__ import annotations

import signal

from agent.runtime.protocol import Container
from api.core import Container as ContainerSpec
from api.stop_signals import STOP_SIGNALS


def stop_signal(spec: ContainerSpec | None, container: Container | None) -> int:
    """The container's `lifecycle.stopSignal`, else its image's, else SIGTERM."""
    name = spec.lifecycle.stop_signal if spec is not None and spec.lifecycle is not None else None
    default = container.stop_signal if container is not None else 0
    return STOP_SIGNALS.get(name or "", default or signal.SIGTERM)
