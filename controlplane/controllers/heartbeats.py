"""Which nodes are silent, and the controller that acts on it (`node_lifecycle` decides).

Heartbeats stay in the memory of the replicas that hold the sessions; `NodeAges` is how their ages get here. Nothing
is known of the time before this replica led, so every node starts with full grace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Protocol

import structlog

from api.core import Node, Pod
from api.errors import ApiError
from component.env import Env
from component.informer import Change, Informer
from controlplane.controllers import node_lifecycle, pods
from controlplane.controllers.actions import Action
from controlplane.controllers.loop import Key, Source
from controlplane.controllers.node_lifecycle import NODE_LOST, SILENCE_SECONDS, Surroundings
from controlplane.controllers.node_roll import NodeRoll

log = structlog.get_logger()

LONGEST_WAIT_SECONDS = 1.0
SHORTEST_WAIT_SECONDS = 0.05
TOLD_NODES = 20  # by name at a time: a line for each of 5,000 nodes would hold the loop for a fifth of a second
LOOK_SECONDS = 4e-5  # for each node between two looks at all: a look takes less than 1 us a node, so a fortieth of the time at most

DEAF_SECONDS = 2.5
"""After this long without a word from any node we hear none. Every node speaks each second, and what another replica
hears gets here up to a second later; agents that end together are last heard up to a second apart.
"""


class NodeAges(Protocol):
    """The port through which heartbeats are seen."""

    def ages(self) -> Mapping[str, float]:
        """Seconds since each node was last heard, as far as any replica knows; unknown nodes are left out."""


class Heartbeats:
    """When each node was last heard (monotonic seconds); what was once heard is not forgotten with its session.

    While no node at all is heard, or this replica was paused itself, the fault is rather ours than theirs: no node is
    given up then, and when some are heard again the others get their full grace anew.
    """

    def __init__(self, ages: NodeAges, start_time: float) -> None:
        self._ages = ages
        self._start_time = start_time
        self._read_time = start_time
        self._heard: dict[str, float] = {}
        self._deaf = False
        self._silent: frozenset[str] = frozenset()
        self._lost: frozenset[str] = frozenset()

    def read(self, nodes: Iterable[str], now: float) -> bool:
        """Take the latest ages; `nodes` are the nodes there are, a new one counts as just heard.

        Returns whether silent nodes got their grace anew.
        """
        ages = self._ages.ages()
        heard, first = self._heard, now if self._heard else self._start_time
        self._heard = {name: heard.get(name, first) for name in nodes}
        for name, age in ages.items():
            if now - age > self._heard.get(name, inf):
                self._heard[name] = now - age
        was_deaf = self._deaf or now - self._read_time >= DEAF_SECONDS
        self._deaf = now - max(self._heard.values(), default=now) >= DEAF_SECONDS
        self._read_time = now
        renewed = was_deaf and not self._deaf
        if renewed:
            self._heard = {name: time if name in self._lost else now for name, time in self._heard.items()}
        silent = {name for name, time in self._heard.items() if now - time >= SILENCE_SECONDS}
        self._silent = _unless_equal(self._silent, silent)
        self._lost = _unless_equal(self._lost, silent & self._lost if self._deaf else silent)
        return renewed

    @property
    def silent_nodes(self) -> frozenset[str]:
        """The nodes that had not been heard for 4 s when the ages were last read."""
        return self._silent

    @property
    def lost(self) -> frozenset[str]:
        """The nodes that fell silent while others were heard, until they are heard themselves."""
        return self._lost

    def spoke(self, node: str, now: float) -> None:
        """Note a sign of life that came by another way than `ages`."""
        self._heard[node] = now

    def silent(self, node: str, now: float) -> bool:
        """Whether the node has not been heard for 4 s."""
        return now - self._heard.get(node, now) >= SILENCE_SECONDS

    def next_silence_seconds(self, now: float) -> float:
        """Seconds until the next node may fall silent; infinite when all are silent already."""
        speaking = [heard for heard in self._heard.values() if heard + SILENCE_SECONDS > now]
        return min(speaking) + SILENCE_SECONDS - now if speaking else inf


class NodeLifecycleController:
    """Looks at nodes when they change and when they fall silent."""

    name = "node-lifecycle"

    def __init__(self, nodes: Informer[Node], pod_cache: Informer[Pod], ages: NodeAges, env: Env) -> None:
        self._nodes = nodes
        self._pods = pod_cache
        self._env = env
        self._roll = NodeRoll(nodes)
        self._heartbeats = Heartbeats(ages, env.monotonic())
        self._silent: frozenset[str] = frozenset()
        self._untold: set[str] = set()  # fell silent, were given up or spoke again since `follow_heartbeats` looked
        self._look_again_time = -inf  # what is known of all nodes is new enough until then
        self._evicting = True
        self._calm_since = env.now()

    def sources(self) -> Sequence[Source]:
        """Nodes, and pods of nodes that are not well."""
        return [Source(self._nodes, self._keys_of_node), Source(self._pods, self._keys_of_pod)]

    def all_keys(self) -> Iterable[Key]:
        """All nodes."""
        return [node.key for node in self._nodes.items()]

    async def follow_heartbeats(self, add: Callable[[Key], None]) -> None:
        """Tell `add` which nodes fell silent or spoke again, at the moment they do; ends by cancellation."""
        await self._nodes.wait_synced()
        evicting = self._evicting
        while True:
            now = self._env.monotonic()
            for name in self._listen(now):
                add(("", name))
            if self._evicting != evicting:
                evicting = self._evicting
                for node in self._nodes.items():
                    add(node.key)
            wait = min(self._heartbeats.next_silence_seconds(now), LONGEST_WAIT_SECONDS)
            await asyncio.sleep(max(wait, SHORTEST_WAIT_SECONDS, self._look_again_time - now))

    async def plan(self, key: Key, failure: ApiError | None) -> Sequence[Action]:
        """Decide for one node."""
        del failure
        node = self._nodes.get("", key[1])
        if node is None:
            return []
        monotonic = self._env.monotonic()
        if monotonic >= self._look_again_time:
            self._look(monotonic)  # it may have spoken since; saying it did not would make it flap
        silent = key[1] in self._silent and self._heartbeats.silent(key[1], monotonic)
        surroundings = Surroundings(
            now=self._env.now(),
            silent=silent,
            lost=silent and key[1] in self._heartbeats.lost,
            evicting=self._evicting,
            calm_since=self._calm_since,
        )
        return node_lifecycle.reconcile(node, self._pods.by_index("node", key[1]), surroundings)

    def _listen(self, now: float) -> list[str]:
        """Take the latest ages; returns the nodes that fell silent, were given up or spoke again since the last time."""
        if now >= self._look_again_time:
            self._look(now)
        changed, self._untold = sorted(self._untold), set()
        return changed

    def _look(self, now: float) -> None:
        """Take the latest ages of all nodes; not to be had for every pass: with 5,000 nodes it takes 3 ms."""
        self._look_again_time = now + len(self._roll) * LOOK_SECONDS
        before, lost_before = self._silent, self._heartbeats.lost
        if self._heartbeats.read(self._roll.names, now):
            self._calm_since = self._env.now() + SILENCE_SECONDS
        self._silent, lost = self._heartbeats.silent_nodes, self._heartbeats.lost
        _tell("node_lost", lost - lost_before)
        _tell("node_silent_like_all", self._silent - before - lost)
        self._untold |= (self._silent ^ before) | (lost ^ lost_before)
        self._judge_evictions()

    def _judge_evictions(self) -> None:
        """Stop evictions while half or more of the nodes are lost; nodes that never reported do not count."""
        nodes, lost = self._roll.reported, self._roll.unheard(self._silent)
        evicting = node_lifecycle.evictions_allowed(lost, nodes)
        if evicting == self._evicting:
            return
        self._evicting = evicting
        if evicting:
            self._calm_since = max(self._calm_since, self._env.now())
            log.info("evictions_resumed", lost=lost, nodes=nodes)
        else:
            log.warning("evictions_stopped", lost=lost, nodes=nodes)

    def _keys_of_node(self, change: Change[Node]) -> Iterable[Key]:
        if change.old is not None and change.new is not None:
            before, after = (node_lifecycle.ready_status(each.view) for each in (change.old, change.new))
            if before == "Unknown" != after:
                # Only its agent says that. The replica that hears it may tell us up to a second later, and a node
                # that is called silent until then takes its pods out of Services once more.
                self._heartbeats.spoke(change.new.object.name, self._env.monotonic())
        return [change.latest.key]

    def _keys_of_pod(self, change: Change[Pod]) -> Iterable[Key]:
        pod = change.new
        if pod is None or not pod.view.spec.node_name:
            return []
        node = self._nodes.get("", pod.view.spec.node_name)
        if node is None:
            return []
        condition = pods.condition(pod.view, "Ready")
        marked = condition is not None and condition.reason == NODE_LOST
        ill = node_lifecycle.ready_status(node.view) != "True" or any(
            taint.effect == "NoExecute" for taint in node.view.spec.taints
        )
        return [node.key] if marked or ill or node.object.name in self._silent else []


def _unless_equal(before: frozenset[str], names: set[str]) -> frozenset[str]:
    """`names`, as the same object as before if they are the same: the garbage collector looks through every new set."""
    return before if before == names else frozenset(names)


def _tell(event: str, nodes: Iterable[str]) -> None:
    """Log what became of nodes: the first by name, the others by number."""
    names = sorted(nodes)
    for name in names[:TOLD_NODES]:
        log.warning(event, node=name)
    if len(names) > TOLD_NODES:
        log.warning(event, other_nodes=len(names) - TOLD_NODES)
