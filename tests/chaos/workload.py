"""Clients that write, read and list a few hundred Secrets, and note every request with its time and outcome.

Most objects belong to one client, which knows their revision; the rest are fought for by all.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass, field

from api.errors import AlreadyExists, ApiError, Conflict, NotFound, Unavailable, Unknown
from api.object import Object, Tree
from tests.chaos.ports import Port
from tests.simulation.checks.record import Asked, Verb

TOKEN_LABEL = "token"
PAYLOAD = "x" * 200
OWN_OBJECTS = 12
SHARED_OBJECTS = 8
SHARED_PART = 0.1
GET_PART = 0.12
LIST_PART = 0.004
DELETE_PART = 0.12
BLIND_PART = 0.03  # updates without a precondition
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 0.8  # of a client whose replica does not answer


@dataclass
class Recording:
    """All requests of all clients, and the instant of the last acknowledged write."""

    namespace: str
    asked: list[Asked] = field(default_factory=list)
    acknowledged: int = 0
    acknowledged_time: float = 0.0
    stopped: bool = False


class Client:
    """One client, one request after the other, at most `rate` a second."""

    def __init__(self, name: str, port: Port, recording: Recording, rate: float, rng: random.Random) -> None:
        self.name = name
        self._port = port
        self._recording = recording
        self._period = 1 / rate
        self._rng = rng
        self._own = [f"{name}-{number}" for number in range(OWN_OBJECTS)]
        self._shared = [f"shared-{number}" for number in range(SHARED_OBJECTS)]
        self._known: dict[str, tuple[int, str]] = {}  # revision and uid; revision 0: not there
        self._count = 0

    async def run(self) -> None:
        """Ask until the recording is stopped."""
        due_time = time.monotonic()
        wait = FIRST_PAUSE_SECONDS
        while not self._recording.stopped:
            asked = await self._step()
            due_time = max(due_time + self._period * self._rng.uniform(0.5, 1.5), time.monotonic() - 1)
            pause = due_time - time.monotonic()
            if asked.outcome in {"unavailable", "unknown"}:
                pause = max(pause, wait)
                wait = min(2 * wait, LONGEST_PAUSE_SECONDS)
            else:
                wait = FIRST_PAUSE_SECONDS
            await asyncio.sleep(max(0.0, pause))
        await self._port.close()

    async def write_last(self, seconds: float) -> int:
        """Write until a write is acknowledged and return its revision; 0 when none is in time."""
        end_time = time.monotonic() + seconds
        revision = 0
        while not revision and time.monotonic() < end_time:
            name = self._own[0]
            asked = await self._ask("create", name)
            revision = asked.revision
            await asyncio.sleep(0 if revision else FIRST_PAUSE_SECONDS)
        await self._port.close()
        return revision

    async def _step(self) -> Asked:
        roll = self._rng.random()
        name = self._rng.choice(self._shared if self._rng.random() < SHARED_PART else self._own)
        if roll < LIST_PART:
            return await self._ask("list", "")
        if roll < LIST_PART + GET_PART or name not in self._known:
            return await self._ask("get", name)
        revision, uid = self._known[name]
        if not revision:
            return await self._ask("create", name)
        if self._rng.random() < DELETE_PART:
            return await self._ask("delete", name, uid=uid)
        precondition = 0 if self._rng.random() < BLIND_PART else revision
        return await self._ask("update", name, precondition=precondition)

    async def _ask(self, verb: Verb, name: str, *, uid: str = "", precondition: int = 0) -> Asked:
        token = ""
        if verb in {"create", "update"}:
            self._count += 1
            token = f"{self.name}-{self._count}"
        asked = Asked(
            self.name, verb, self._path(name), time.monotonic(), token=token, uid=uid, precondition=precondition
        )
        self._recording.asked.append(asked)
        try:
            await self._send(asked, name)
            asked.outcome = "ok"
        except (Conflict, NotFound, AlreadyExists) as error:
            asked.outcome, asked.reason = "refused", error.reason
        except Unavailable as error:
            asked.outcome, asked.reason = "unavailable", str(error)
        except Unknown as error:
            asked.outcome, asked.reason = "unknown", str(error)
        except ApiError as error:
            asked.outcome, asked.reason = "refused", f"{error.reason}: {error}"
        asked.return_time = time.monotonic()
        self._learn(asked, name)
        return asked

    async def _send(self, asked: Asked, name: str) -> None:
        namespace = self._recording.namespace
        match asked.verb:
            case "create":
                stored = await self._port.create(self._tree(name, asked))
            case "update":
                stored = await self._port.update(self._tree(name, asked))
            case "delete":
                stored = await self._port.delete(namespace, name, asked.uid)
            case "get":
                stored = await self._port.get(namespace, name)
                asked.seen = token_of(stored)
            case _:
                listed = await self._port.list(namespace)
                asked.seen = {self._path(item.name): (item.revision, token_of(item)) for item in listed.items}
                asked.revision = listed.revision
                return
        if asked.verb != "delete":  # which is answered with the object as it was last
            asked.revision = stored.revision
        asked.uid = stored.uid

    def _learn(self, asked: Asked, name: str) -> None:
        """What the next request on this object may assume."""
        if asked.verb == "list":
            return
        if asked.outcome == "ok":
            self._known[name] = (0, "") if asked.verb == "delete" else (asked.revision, asked.uid)
        elif asked.reason == "NotFound":
            self._known[name] = (0, "")
        else:
            self._known.pop(name, None)
        if asked.outcome == "ok" and asked.verb != "get":
            self._recording.acknowledged += 1
            self._recording.acknowledged_time = asked.return_time

    def _tree(self, name: str, asked: Asked) -> Tree:
        metadata: Tree = {
            "name": name,
            "namespace": self._recording.namespace,
            "labels": {TOKEN_LABEL: asked.token},
        }
        if asked.verb == "create":
            metadata["uid"] = asked.uid = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        if asked.precondition:
            metadata["resourceVersion"] = str(asked.precondition)
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"payload": PAYLOAD}}

    def _path(self, name: str) -> str:
        return f"{self._recording.namespace}/{name}" if name else ""


def token_of(stored: Object) -> str:
    """The mark of the write that stored this."""
    return str(stored.tree()["metadata"]["labels"][TOKEN_LABEL])
