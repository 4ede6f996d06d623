"""Three replicas over a scripted log that loses leaders, messages and replies: every commit resolves once, correctly.

Time is virtual, so that deadlines and pauses cost nothing and a run depends on its script only.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from api import errors
from component.env import Env
from controlplane.commands import Add, Check, CommitRefused, Committed, Envelope, Key, Put
from controlplane.raft.protocol import Entry, NotLeader, RaftStatus, Snapshot
from controlplane.replica import Replica
from controlplane.store import snapshot

pytestmark = pytest.mark.slow

REPLICAS = ("r1", "r2", "r3")


class VirtualSelector(selectors.SelectSelector):
    """Waiting takes no time; the loop's clock jumps instead."""

    now = 0.0

    def select(self, timeout=None):
        if timeout is not None and timeout > 0:
            self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.virtual = VirtualSelector()
        super().__init__(self.virtual)

    def time(self):
        return self.virtual.now


class Cluster:
    """One history of entries; who leads and how far each replica has got are up to the script."""

    def __init__(self):
        self.entries = [Entry(1, 1, b"")]
        self.committed = 1
        self.term = 1
        self.leader = "r1"
        self.logs = {name: ScriptedLog(self, name) for name in REPLICAS}
        self.replicas = {}
        self.link = "works"

    def elect(self, leader, kept):
        """Another leader, whose log holds the first `kept` of the entries that were not committed."""
        del self.entries[self.committed + kept :]
        self.term += 1
        self.leader = leader
        self.entries.append(Entry(len(self.entries) + 1, self.term, b""))

    def commit(self):
        self.committed = len(self.entries)

    def append(self, data, term):
        """Append at the leader; what a deposed one appends is lost without a word."""
        if term == self.term:
            self.entries.append(Entry(len(self.entries) + 1, term, data))


class ScriptedLog:
    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name
        self.delivered = 0
        self.refusing = False
        self.saw = RaftStatus("follower", 0, "", 0, 0)
        self.saved = None

    async def connect(self, applied, on_entries, on_status, on_install):
        self.delivered = applied[0]
        self.on_entries, self.on_status, self.on_install = on_entries, on_status, on_install

    @property
    def status(self):
        return self.saw

    def propose(self, data, term, on_refused, *, awaited_elsewhere=False):
        if self.refusing or self.saw.role != "leader" or term != self.saw.term:
            asyncio.get_running_loop().call_soon(on_refused)
        else:
            self.cluster.append(data, term)

    async def read_index(self):
        cluster = self.cluster
        if cluster.leader != self.name or cluster.entries[cluster.committed - 1].term != cluster.term:
            raise NotLeader(self.name)
        return cluster.committed

    def snapshot_saved(self, saved):
        self.saved = saved

    async def close(self):
        pass

    def deliver(self, count):
        entries = self.cluster.entries[self.delivered : min(self.delivered + count, self.cluster.committed)]
        if entries:
            self.delivered = entries[-1].index
            self.on_entries(entries)

    def look(self):
        """Learn who leads now."""
        cluster = self.cluster
        role = "leader" if cluster.leader == self.name else "follower"
        reached = self.delivered and self.cluster.entries[self.delivered - 1].term == cluster.term
        leading = role == "leader" and bool(reached)
        self.saw = RaftStatus(role, cluster.term, cluster.leader, cluster.committed, len(cluster.entries), leading)
        self.on_status(self.saw)

    def lose_sight(self):
        """Know no leader, as while the Raft process is away."""
        self.saw = RaftStatus("follower", self.saw.term, "", self.saw.commit_index, self.saw.last_index)
        self.on_status(self.saw)

    async def install(self, origin):
        """Jump over entries by the snapshot of another replica."""
        state = origin.state.clone()
        if state.applied_index <= self.delivered:
            return
        with tempfile.TemporaryDirectory() as folder:
            written = snapshot.write(state, Path(folder))
            await self.on_install(Snapshot(written.index, written.term, written.path))
        self.delivered = state.applied_index


class Link:
    """The way to the leader, with every way to fail."""

    def __init__(self, cluster):
        self.cluster = cluster

    async def propose(self, leader, term, transactions):
        await asyncio.sleep(0)
        mode = self.cluster.link
        if mode == "refuses late":
            await asyncio.sleep(0.5)
        if mode in {"refuses", "refuses late"}:
            raise NotLeader(leader)
        if mode == "loses the batch":
            raise errors.Unavailable("broke before it arrived")
        self.cluster.replicas[leader].accept(term, transactions)
        if mode == "loses the reply":
            raise errors.Unavailable("broke after it arrived")
        if mode == "hangs":
            await asyncio.sleep(3600)

    async def read_index(self, leader):
        return await self.cluster.replicas[leader].leader_read_index()


MODES = ["works", "works", "works", "refuses", "refuses late", "loses the batch", "loses the reply", "hangs"]


def script_of(rng, length):
    """A script in which enough goes right for something to go wrong."""
    steps = []
    while len(steps) < length:
        who = rng.choice(REPLICAS)
        steps += rng.choices(
            [
                [("write", who, rng.randint(1, 3))],
                [("commit",)],
                [("deliver", who, rng.choice([1, 2, 100]))],
                [("look", who)],
                [("commit",), *(each for name in REPLICAS for each in (("deliver", name, 100), ("look", name)))],
                [("elect", who, rng.randint(0, 3)), *(("look", name) for name in REPLICAS if rng.random() < 0.7)],
                [("link", rng.choice(MODES))],
                [("refusing", who, rng.random() < 0.5)],
                [("lose sight", who), ("look", who)],
                [("lose sight", who)],
                [("install", who, rng.choice(REPLICAS))],
                [("commit",), *(("deliver", name, 100) for name in rng.sample(REPLICAS, 2)), ("time", 0.1)],
                [("time", 0.03)],
                [("time", rng.choice([1.0, 3.0, 11.0]))],
            ],
            weights=[8, 6, 8, 6, 4, 2, 4, 2, 2, 1, 1, 4, 4, 0.5],
        )[0]
    return steps


class Script:
    """Performs steps and remembers what became of every write."""

    def __init__(self, folder):
        self.cluster = Cluster()
        self.folder = folder
        self.outcomes = {}
        self.tasks = []

    async def start(self):
        loop = asyncio.get_running_loop()

        async def at_once(function):
            return function()

        for number, name in enumerate(REPLICAS):
            rng = random.Random(number)
            env = Env(loop.time, loop.time, rng, lambda rng=rng: str(rng.random()))
            replica = Replica(
                name, self.cluster.logs[name], Link(self.cluster), Path(self.folder) / name, env, in_thread=at_once
            )
            await replica.start()
            self.cluster.replicas[name] = replica
            self.cluster.logs[name].look()

    async def write(self, name, number):
        key = Key("pods", "d", f"p{number}")
        ops = [Check(key, absent=True), Put(Envelope(key, f"u{number}"), b"{}"), Add("writes", {"all": 1})]
        try:
            self.outcomes[number] = await self.cluster.replicas[name].commit(ops)
        except (errors.Unavailable, errors.Unknown, CommitRefused) as error:
            self.outcomes[number] = error

    async def perform(self, step):
        cluster = self.cluster
        match step:
            case "write", name, count:
                for _ in range(count):
                    number = len(self.tasks)
                    self.tasks.append(asyncio.ensure_future(self.write(name, number)))
            case ("commit",):
                cluster.commit()
            case "deliver", name, count:
                cluster.logs[name].deliver(count)
            case "look", name:
                cluster.logs[name].look()
            case "lose sight", name:
                cluster.logs[name].lose_sight()
            case "elect", name, kept:
                cluster.elect(name, kept)
            case _:
                await self.disturb(step)
        for _ in range(4):
            await asyncio.sleep(0)

    async def disturb(self, step):
        match step:
            case "link", mode:
                self.cluster.link = mode
            case "refusing", name, refusing:
                self.cluster.logs[name].refusing = refusing
            case "install", name, origin:
                await self.cluster.logs[name].install(self.cluster.replicas[origin])
            case "time", seconds:
                await asyncio.sleep(seconds)

    async def heal(self):
        """Everything works again, for long enough that every write still under way gets its outcome."""
        cluster = self.cluster
        cluster.link = "works"
        for log in cluster.logs.values():
            log.refusing = False
        cluster.elect("r2", 0)
        for _ in range(60):
            cluster.commit()
            for log in cluster.logs.values():
                log.deliver(1000)
                log.look()
            await asyncio.sleep(0.03)

    async def close(self):
        for replica in self.cluster.replicas.values():
            await replica.close()

    def check(self):
        assert len(self.outcomes) == len(self.tasks), "a write has no outcome"
        digests = {replica.state.digest for replica in self.cluster.replicas.values()}
        assert len(digests) == 1, "replicas differ"
        state = self.cluster.replicas["r1"].state
        for number, outcome in self.outcomes.items():
            stored = state.get(Key("pods", "d", f"p{number}"))
            if isinstance(outcome, Committed):
                assert stored.revision == outcome.first_revision == outcome.last_revision
            elif isinstance(outcome, errors.Unavailable):
                assert stored is None, "said not to be done, but it is"
            else:
                assert isinstance(outcome, errors.Unknown), f"applied twice: {outcome}"
        assert state.ledger("writes").get("all", 0) == state.count("pods")


def run(steps):
    async def main():
        with tempfile.TemporaryDirectory() as folder:
            script = Script(folder)
            await script.start()
            for step in steps:
                await script.perform(step)
            await script.heal()
            await script.close()
            script.check()
            return script.outcomes

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@pytest.mark.parametrize("block", range(10))
def test_every_commit_resolves_once_and_correctly_whatever_fails(block):
    kinds = Counter()
    for seed in range(block * 30, block * 30 + 30):
        steps = script_of(random.Random(seed), 250)
        try:
            kinds.update(type(outcome).__name__ for outcome in run(steps).values())
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error
    assert kinds["Committed"] > 1000, "too little happened"
    assert kinds["Unknown"], "nothing was ever open"
    assert kinds["Unavailable"], "nothing was ever refused"


def test_with_a_new_leader_in_time_nobody_gets_an_error():
    """Lose the leader after every possible step of writes from all replicas: a delay, not an error."""
    writes = [("write", name, 2) for name in REPLICAS]
    progress = [("commit",), *(("deliver", name, 5) for name in REPLICAS), *(("look", name) for name in REPLICAS)]
    script = [*writes, *progress, *writes, *progress]
    kinds = Counter()
    for lost_at in range(len(script) + 1):
        for leader in REPLICAS:
            for kept in (0, 1):
                steps = [*script[:lost_at], ("elect", leader, kept), *script[lost_at:]]
                kinds.update(type(outcome) for outcome in run(steps).values())
    assert set(kinds) == {Committed}
    assert kinds[Committed] == (len(script) + 1) * 3 * 2 * 12
