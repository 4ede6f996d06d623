"""The tokens in the volumes of this node's pods: asked for when a pod starts, renewed long before they expire.

What stands in a volume is the memory: it lies on a tmpfs, outlives the agent, and serves while nobody can be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import structlog

from agent.paths import Paths
from agent.session_calls import NotAnswered, SessionCalls
from agent.volumes import VolumeFailure
from api.core import Pod
from api.v1 import apiserver_pb2 as pb
from api.volume import ServiceAccountTokenProjection
from component import jwt
from component.env import Env

log = structlog.get_logger()

RENEWED_AT = 0.8
"""Of a token's life (Kubernetes: the same)."""

OLDEST_SECONDS = 24 * 3600.0
"""No token is used for longer, however long it lives (Kubernetes: the same)."""

SPREAD_SECONDS = 10.0
"""Pods that started together renew their tokens over so long."""

LOOK_SECONDS = 30.0
"""How often tokens are looked at: the shortest has two minutes left when it is due."""

DEFAULT_SECONDS = 3600

Place = tuple[str, str]
"""Volume and path of a token's file in one pod."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A token for one pod; audience "" is the API itself."""

    namespace: str
    account: str
    pod: str
    uid: str
    audience: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Held:
    """A token, when it should be replaced, and when it is worth nothing any more (seconds since the epoch)."""

    token: str = field(repr=False)
    due_time: float
    expiry_time: float


class Mounted(Protocol):
    """A pod's worker, as far as renewal is concerned."""

    @property
    def pod(self) -> Pod | None:
        """The pod as it is assigned."""

    def configuration_changed(self) -> None:
        """What its volumes are made from changed."""


class Tokens:
    """What the pods of this node hold. `ask` gets a new token, or raises NotAnswered."""

    def __init__(self, ask: Callable[[Wanted], Awaitable[str]], paths: Paths, env: Env) -> None:
        self._ask = ask
        self._paths = paths
        self._env = env
        self._held: dict[str, dict[Place, Held]] = {}
        self._refused: set[str] = set()  # uids whose renewal failed last time: told once

    async def of_pod(self, pod: Pod) -> Mapping[Place, str]:
        """All tokens of a pod, new where they are due. VolumeFailure when one is missing and cannot be had.

        A token that is due and cannot be had anew goes on being used: the control plane may be away.
        """
        places = _places(pod)
        asked = (self._current(pod, place, part) for place, part in places.items())
        found = await asyncio.gather(*asked, return_exceptions=True)
        tokens: dict[Place, str] = {}
        for place, each in zip(places, found, strict=True):
            if isinstance(each, BaseException):
                raise each
            tokens[place] = each
        return tokens

    def due(self, pod: Pod) -> bool:
        """Whether a token of the pod should be replaced by now."""
        now = self._env.now()
        held = (self._known(pod, place) for place in _places(pod))
        return any(each is not None and each.due_time <= now for each in held)

    def forget(self, uid: str) -> None:
        """The pod's volumes go."""
        self._held.pop(uid, None)
        self._refused.discard(uid)

    async def run(self, workers: Callable[[], Iterable[Mounted]]) -> None:
        """Have the volumes of pods refreshed whose tokens are due, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.renew(workers())

    def renew(self, workers: Iterable[Mounted]) -> None:
        """Tell every worker whose pod has a token that is due; one that has no volumes yet takes no notice."""
        for worker in workers:
            if worker.pod is not None and self.due(worker.pod):
                worker.configuration_changed()

    async def _current(self, pod: Pod, place: Place, part: ServiceAccountTokenProjection) -> str:
        held = self._known(pod, place)
        if held is not None and self._env.now() < held.due_time:
            return held.token
        meta = pod.metadata
        account = pod.spec.service_account_name or "default"
        seconds = DEFAULT_SECONDS if part.expiration_seconds is None else part.expiration_seconds
        wanted = Wanted(meta.namespace, account, meta.name, meta.uid, part.audience or "", seconds)
        try:
            token = await self._ask(wanted)
            fresh = held_of(token, self._env.rng.uniform(0, SPREAD_SECONDS))
        except (NotAnswered, jwt.Malformed) as error:
            if held is None:
                message = f'MountVolume.SetUp failed for volume "{place[0]}" : failed to fetch token: {error}'
                raise VolumeFailure(message) from error
            self._tell(pod, held, str(error))
            return held.token
        self._held.setdefault(meta.uid, {})[place] = fresh
        self._refused.discard(meta.uid)
        return token

    def _known(self, pod: Pod, place: Place) -> Held | None:
        """What is held, or stands in the volume since an earlier run of the agent."""
        uid = pod.metadata.uid
        held = self._held.get(uid, {}).get(place)
        if held is None:
            try:
                text = (self._paths.memory_volume(uid, place[0]) / place[1]).read_text(encoding="ascii")
                held = self._held.setdefault(uid, {})[place] = held_of(text, 0.0)
            except (OSError, ValueError):
                return None
        return held

    def _tell(self, pod: Pod, held: Held, error: str) -> None:
        if pod.metadata.uid not in self._refused:
            self._refused.add(pod.metadata.uid)
            left_seconds = round(held.expiry_time - self._env.now())
            log.warning("token_not_renewed", pod_uid=pod.metadata.uid, left_seconds=left_seconds, error=error)


def asking(calls: SessionCalls) -> Callable[[Wanted], Awaitable[str]]:
    """What gets tokens from the control plane. NotAnswered."""

    async def ask(wanted: Wanted) -> str:
        request = pb.CreateTokenRequest(
            namespace=wanted.namespace,
            service_account=wanted.account,
            audiences=[wanted.audience] if wanted.audience else [],
            expiration_seconds=wanted.seconds,
            bound=pb.BoundObject(kind="Pod", api_version="v1", name=wanted.pod, uid=wanted.uid),
        )
        return (await calls.ask("CreateToken", request, pb.CreateTokenResponse)).token

    return ask


class _Times(msgspec.Struct):
    iat: float
    exp: float


def held_of(token: str, early_seconds: float) -> Held:
    """Read from a token until when it is to be used; `early_seconds` before that it is due. jwt.Malformed."""
    try:
        times = msgspec.json.decode(jwt.parts(token).payload, type=_Times)
    except jwt.UNREADABLE as error:
        raise jwt.Malformed("it does not say when it was made and when it expires") from error
    used_seconds = min(RENEWED_AT * (times.exp - times.iat), OLDEST_SECONDS)
    return Held(token, times.iat + used_seconds - early_seconds, times.exp)


def _places(pod: Pod) -> dict[Place, ServiceAccountTokenProjection]:
    return {
        (volume.name, source.service_account_token.path): source.service_account_token
        for volume in pod.spec.volumes
        if volume.projected is not None
        for source in volume.projected.sources
        if source.service_account_token is not None
    }
