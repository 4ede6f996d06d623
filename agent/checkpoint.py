"""What the agent must know after a restart without the control plane: inputs, cluster, boot. Blocking file I/O.

Everything but Secrets is durable before it is acted on; Secrets stand in a second journal on a tmpfs, so they are
gone after a boot and come again with the next session.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import structlog

from agent.inputs import Key, key_of
from agent.journal import Journal, JournalDamage, Loaded
from agent.paths import Paths
from api.v1 import node_pb2, resource_pb2

log = structlog.get_logger()

VERSION = 1
COMPACT_FACTOR = 2
COMPACT_MIN_BYTES = 1 << 20


class Cluster(msgspec.Struct, frozen=True):
    """What a registration taught us; `endpoints` are host:port of all replicas, `state_uid` tells its state from others."""

    cluster_uid: str = ""
    session_epoch: int = 0
    endpoints: tuple[str, ...] = ()
    pod_range: str = ""
    service_range: str = ""
    cluster_domain: str = ""
    state_uid: str = ""


class _Header(msgspec.Struct, frozen=True):
    version: int
    boot_id: str
    cluster: Cluster


@dataclass(frozen=True, slots=True)
class Remembered:
    """A loaded checkpoint. `rebooted`: the machine was started since, so every sandbox is gone."""

    cluster: Cluster = field(default_factory=Cluster)
    inputs: node_pb2.Inputs | None = None
    rebooted: bool = False


class Checkpoint:
    """The two journals. Not safe for two threads at once: the caller runs one operation after the other."""

    def __init__(self, paths: Paths, boot_id: str) -> None:
        self._durable = Journal(paths.checkpoint, synced=True)
        self._secrets = Journal(paths.secrets, synced=False)
        self._boot_id = boot_id
        self._adopted_boot_id = boot_id
        self._compacted_bytes = 0
        self._usable = False

    def load(self) -> Remembered:
        """Return what was remembered; a damaged or unknown file counts as none and is reported in the log."""
        loaded = _load(self._durable, "checkpoint")
        if loaded is None or not loaded.records:
            return Remembered()
        try:
            header = msgspec.json.decode(loaded.records[0], type=_Header)
        except msgspec.DecodeError as error:
            log.warning("checkpoint_refused", error=str(error))
            return Remembered()
        if header.version != VERSION:
            log.warning("checkpoint_refused", error=f"version {header.version} is not {VERSION}")
            return Remembered()
        resources, revision = _fold(loaded.records[1:])
        self._adopted_boot_id = header.boot_id
        rebooted = header.boot_id != self._boot_id
        secrets = _load(self._secrets, "secrets")
        if secrets is not None:
            resources |= _fold(secrets.records)[0]
        inputs = None
        if revision:
            inputs = node_pb2.Inputs(full=True, results_in=revision, set=list(resources.values()))
        return Remembered(header.cluster, inputs, rebooted)

    def boot_adopted(self) -> None:
        """What the machine lost with the last boot has been dealt with; the next `save` remembers that."""
        self._adopted_boot_id = self._boot_id

    def save(self, cluster: Cluster, inputs: node_pb2.Inputs | None) -> None:
        """Write everything anew; `inputs` is a full set or None when none was received. Raises OSError."""
        self._usable = False
        header = msgspec.json.encode(_Header(VERSION, self._adopted_boot_id, cluster))
        durable, secrets = _split(inputs) if inputs is not None else (None, None)
        self._secrets.rewrite([secrets.SerializeToString()] if secrets is not None else [])
        self._durable.rewrite([header] + ([durable.SerializeToString()] if durable is not None else []))
        self._compacted_bytes = self._durable.size_bytes
        self._usable = True

    def append(self, change: node_pb2.Inputs, *, synced: bool = True) -> bool:
        """Add a change to what was saved; durable when it returns, unless `synced` is off (nothing follows from it).

        True: time to `save` anew. So it is after a write that failed, too, since what comes behind a gap would be read
        as if nothing was missing. Raises OSError.
        """
        if not self._usable:
            return True
        self._usable = False
        durable, secrets = _split(change)
        if secrets.set or secrets.removed:
            self._secrets.append(secrets.SerializeToString())
        self._durable.append(durable.SerializeToString(), synced=synced)
        self._usable = True
        return self._durable.size_bytes > max(COMPACT_FACTOR * self._compacted_bytes, COMPACT_MIN_BYTES)


def _load(journal: Journal, name: str) -> Loaded | None:
    try:
        loaded = journal.load()
    except JournalDamage as error:
        log.warning("journal_refused", journal=name, error=str(error))
        return None
    except OSError as error:
        log.warning("journal_unreadable", journal=name, error=str(error))
        return None
    if loaded is not None and loaded.torn:
        log.warning("journal_torn", journal=name, records=len(loaded.records))
    return loaded


def _fold(records: Iterable[bytes]) -> tuple[dict[Key, resource_pb2.Resource], int]:
    """Replay sets and changes; returns the objects and the last revision."""
    resources: dict[Key, resource_pb2.Resource] = {}
    revision = 0
    for record in records:
        message = node_pb2.Inputs.FromString(record)
        if message.full:
            resources.clear()
        for removed in message.removed:
            resources.pop((removed.resource, removed.namespace, removed.name), None)
        resources |= {key: each for each in message.set if (key := key_of(each)) is not None}
        revision = message.results_in
    return resources, revision


def _split(message: node_pb2.Inputs) -> tuple[node_pb2.Inputs, node_pb2.Inputs]:
    """The same set without Secrets, and only the Secrets of it."""
    parts = []
    for secret in (False, True):
        part = node_pb2.Inputs(full=message.full, applies_to=message.applies_to, results_in=message.results_in)
        part.set.extend(each for each in message.set if (each.kind == "Secret") == secret)
        part.removed.extend(each for each in message.removed if (each.resource == "secrets") == secret)
        parts.append(part)
    return parts[0], parts[1]
