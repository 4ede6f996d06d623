"""Which signal asks a container to end."""

from __future__ import annotations

import signal

from api.core import Container
from api.stop_signals import STOP_SIGNALS


def stop_signal(spec: Container | None) -> int:
    """The container's `lifecycle.stopSignal`, else SIGTERM."""
    name = spec.lifecycle.stop_signal if spec is not None and spec.lifecycle is not None else None
    return STOP_SIGNALS.get(name or "", signal.SIGTERM)
