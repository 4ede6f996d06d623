"""An action now, or the wait until it may be tried again after it failed. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from agent.actions import Action, Wait
from agent.observed import Observed


def retry(key: str, action: Action, observed: Observed, now: float) -> list[Action]:
    """The action unless its last failure was too short a time ago; `key` is the one of `Observed.failures`."""
    return retry_all(key, (action,), observed, now)


def retry_all(key: str, actions: Iterable[Action], observed: Observed, now: float) -> list[Action]:
    """As `retry`, for actions whose failures count together."""
    found = list(actions)
    failure = observed.failures.get(key)
    if found and failure is not None and now < failure.retry_time:
        return [Wait(failure.retry_time)]
    return found
