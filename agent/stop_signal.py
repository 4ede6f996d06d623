"""Which signal asks a container to end."""

from __future__ import annotations

import signal

from api.core import Container


def stop_signal(spec: Container | None) -> int:
    """The container's `lifecycle.stopSignal`, else SIGTERM."""
    name = spec.lifecycle.stop_signal if spec is not None and spec.lifecycle is not None else None
    if name is None:
        return signal.SIGTERM
    try:
        return signal.Signals[name]
    except KeyError:
        return signal.SIGTERM
