"""The signals that `lifecycle.stopSignal` may name on Linux, and their numbers."""

from __future__ import annotations

import signal
from collections.abc import Mapping

_NAMES = (
    "SIGABRT SIGALRM SIGBUS SIGCHLD SIGCLD SIGCONT SIGFPE SIGHUP SIGILL SIGINT SIGIO SIGIOT SIGKILL SIGPIPE SIGPOLL "
    "SIGPROF SIGPWR SIGQUIT SIGSEGV SIGSTKFLT SIGSTOP SIGSYS SIGTERM SIGTRAP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 "
    "SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ SIGRTMIN SIGRTMAX"
)

STOP_SIGNALS: Mapping[str, int] = {
    **{name: int(getattr(signal, name)) for name in _NAMES.split()},
    **{f"SIGRTMIN+{offset}": signal.SIGRTMIN + offset for offset in range(1, 16)},
    **{f"SIGRTMAX-{offset}": signal.SIGRTMAX - offset for offset in range(1, 15)},
}
"""Numbers by name, as the Kubernetes API writes the names."""
