"""Events about pods: repeats are counted, talkative objects slowed down. Holds no connection, only what is to be sent.

The limits are Kubernetes': 25 at once per object, then one in five minutes; a thousand different ones remembered.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from api.core import Pod
from api.object import Tree
from api.pod_containers import is_ephemeral
from component.env import Env, rfc3339

EVENTS_KEPT = 1024
QUEUE_LIMIT = 1000
BURST = 25
REFILL_SECONDS = 300.0
NAME_LIMIT = 236  # characters of the pod's name in an event's, which may have 253
MESSAGE_LIMIT = 1024  # characters (Kubernetes' limit for an event's note)

EventType = Literal["Normal", "Warning"]


@dataclass(slots=True)
class _Kept:
    tree: Tree
    count: int


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_time: float


class EventRecorder:
    """Turns facts into Event objects and keeps them until they are taken to be sent."""

    def __init__(self, node_name: str, env: Env) -> None:
        self._node_name = node_name
        self._env = env
        self._kept: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._pending: OrderedDict[str, Tree] = OrderedDict()

    def record(self, pod: Pod, event_type: EventType, reason: str, message: str, container: str = "") -> None:
        """Note that something happened to the pod (or one container of it); beyond the limits it is dropped."""
        message = message[:MESSAGE_LIMIT]
        uid, now = pod.metadata.uid, self._env.now()
        if not self._take_token(uid):
            return
        key = (uid, container, event_type, reason, message)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(self._tree(pod, event_type, reason, message, container, now), 0)
            if len(self._kept) > EVENTS_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        kept.count += 1
        kept.tree = kept.tree | {"count": kept.count, "lastTimestamp": rfc3339(now)}
        name = kept.tree["metadata"]["name"]
        self._pending[name] = kept.tree
        self._pending.move_to_end(name)
        while len(self._pending) > QUEUE_LIMIT:
            self._pending.popitem(last=False)

    @property
    def waiting(self) -> bool:
        """Whether there is something to send."""
        return bool(self._pending)

    def take(self, limit: int) -> list[Tree]:
        """Remove and return the oldest events to be sent, at most `limit`."""
        return [self._pending.popitem(last=False)[1] for _ in range(min(limit, len(self._pending)))]

    def put_back(self, events: list[Tree]) -> None:
        """Return events that could not be delivered, unless newer counts of them wait already."""
        for tree in reversed(events):
            name = tree["metadata"]["name"]
            if name not in self._pending and len(self._pending) < QUEUE_LIMIT:
                self._pending[name] = tree
                self._pending.move_to_end(name, last=False)

    def _take_token(self, uid: str) -> bool:
        now = self._env.monotonic()
        bucket = self._buckets.setdefault(uid, _Bucket(BURST, now))
        self._buckets.move_to_end(uid)
        if len(self._buckets) > EVENTS_KEPT:
            self._buckets.popitem(last=False)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled_time) / REFILL_SECONDS)
        bucket.filled_time = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _tree(self, pod: Pod, event_type: EventType, reason: str, message: str, container: str, now: float) -> Tree:
        meta = pod.metadata
        about = {"apiVersion": "v1", "kind": "Pod", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid}
        if container:
            about["fieldPath"] = f"spec.{_list_of(pod, container)}{{{container}}}"
        suffix = self._env.new_uid().replace("-", "")[-16:]
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{meta.name[:NAME_LIMIT]}.{suffix}", "namespace": meta.namespace},
            "involvedObject": about,
            "type": event_type,
            "reason": reason,
            "message": message,
            "firstTimestamp": rfc3339(now),
            "source": {"component": "kubelet", "host": self._node_name},
            "reportingComponent": "kubelet",
            "reportingInstance": self._node_name,
        }


def _list_of(pod: Pod, container: str) -> str:
    """The field of the spec that a container stands in."""
    if is_ephemeral(pod.spec, container):
        return "ephemeralContainers"
    return "initContainers" if any(each.name == container for each in pod.spec.init_containers) else "containers"
