"""The event loop of the Raft process: epoll, with one hook that runs immediately before it sleeps.

The hook is where everything collected since the last sleep becomes durable and leaves the process. The poller
knows neither logs nor sockets, only descriptors.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
_BROKEN = select.EPOLLHUP | select.EPOLLERR

Ready = Callable[[int], None]


class Poller:
    """Calls back for ready descriptors, with the epoll event mask. Only `wake` may be called from other threads."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Ready] = {}
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, READ)
        self.before_sleep: Callable[[], None] = lambda: None

    def watch(self, descriptor: int, events: int, ready: Ready) -> None:
        """Call `ready` for these events from now on, replacing an earlier interest."""
        if descriptor in self._ready:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._ready[descriptor] = ready

    def forget(self, descriptor: int) -> None:
        """Lose interest; must be called before the descriptor is closed."""
        if self._ready.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def wake(self) -> None:
        """End the current or the next sleep at once; safe in threads and signal handlers."""
        os.eventfd_write(self._wake, 1)

    def poll(self, timeout_seconds: float) -> None:
        """Run the hook, sleep until something is ready, and call back."""
        self.before_sleep()
        for descriptor, events in self._epoll.poll(timeout_seconds):
            if descriptor == self._wake:
                os.eventfd_read(self._wake)
                continue
            ready = self._ready.get(descriptor)  # a callback before this one may have closed it
            if ready is not None:
                ready(events)

    def close(self) -> None:
        """Close epoll and the eventfd."""
        self._epoll.close()
        os.close(self._wake)


def broken(events: int) -> bool:
    """Whether the event mask reports a hang-up or an error."""
    return bool(events & _BROKEN)
