"""What the transports tell of: a request that is over, for the policy to decide on and the file to keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog

from component.env import Env
from controlplane.admission.request import Identity
from controlplane.audit.policy import AuditPolicy, Level
from controlplane.audit.record import Document, Event, is_secret, shown
from controlplane.rbac.attributes import Attributes

log = structlog.get_logger()


class Part(msgspec.Struct, frozen=True):
    """One thing that a request asked for, what it sent for that and what it was answered; `reason` "" was done."""

    asked: Attributes
    sent: Document | None = None
    answered: Document | None = None
    code: int = 200
    reason: str = ""


class Start(msgspec.Struct, frozen=True):
    """When a request began: seconds since the epoch, and on the clock that never goes back."""

    received_time: float
    monotonic_seconds: float


class Circumstances(msgspec.Struct, frozen=True):
    """What all parts of a request have in common; the fields mean what `Event` says."""

    start: Start
    caller: Identity
    acting: Identity | None
    source: str
    user_agent: str
    manager: str
    uri: str
    dry_run: bool
    notes: Mapping[str, str] = {}


class AuditLog:
    """Decides about requests and hands on what is recorded."""

    def __init__(self, policy: AuditPolicy, put: Callable[[Event], None], env: Env) -> None:
        self._policy = policy
        self._put = put
        self._env = env

    def start(self) -> Start:
        """Now, when a request begins."""
        return Start(self._env.now(), self._env.monotonic())

    def tell(self, caller: Identity, parts: Callable[[], Sequence[Part]], about: Callable[[], Circumstances]) -> None:
        """Record each part that the policy wants; `about` is asked only if there is one. Never raises."""
        try:
            self._tell(caller, parts(), about)
        except Exception:  # the request was served: a fault in telling of it must not spoil the answer
            log.exception("audit_failed")

    def _tell(self, caller: Identity, parts: Sequence[Part], about: Callable[[], Circumstances]) -> None:
        levels = [(at, part, self._level(caller, part)) for at, part in enumerate(parts)]
        wanted = [each for each in levels if each[2]]
        if not wanted:
            return
        found, audit_id = about(), self._env.new_uid()
        latency_seconds = self._env.monotonic() - found.start.monotonic_seconds
        for at, part, level in wanted:
            self._put(
                Event(
                    audit_id=audit_id,
                    received_time=found.start.received_time,
                    latency_seconds=latency_seconds,
                    level=level,
                    caller=found.caller,
                    acting=found.acting,
                    asked=part.asked,
                    code=part.code,
                    reason=part.reason,
                    uri=found.uri,
                    source=found.source,
                    user_agent=found.user_agent,
                    manager=found.manager,
                    dry_run=found.dry_run,
                    notes=found.notes,
                    part=at if len(parts) > 1 else None,
                    sent=shown(part.sent) if level >= Level.REQUEST else None,
                    answered=shown(part.answered) if level >= Level.REQUEST_RESPONSE else None,
                )
            )

    def _level(self, caller: Identity, part: Part) -> Level:
        level = self._policy.level(caller, part.asked, part.code)
        return min(level, Level.METADATA) if is_secret(part.asked) else level
