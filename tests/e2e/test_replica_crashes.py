"""Processes of replicas killed amid changes of the membership: nothing is lost, every change ends or never happened.

One lab of its own whose replicas are replaced one after the other under a writer, each time with other victims.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from component import kubeconfig
from component.env import system_env
from component.rpc import Tls
from component.rpc_client import RpcClient
from lab import cluster as labs
from lab import replicas
from lab.layout import LabProblem
from tests.e2e.cluster import Cluster, eventually
from tests.e2e.labs import UP_SECONDS, running_lab
from tests.e2e.writer import Writer

SETTLED_SECONDS = 90.0  # programs start slowly on a machine that is busy with other clusters
REMOVAL_SECONDS = 0.6  # `tim` needs a third of it until it asks
VICTIMS = {"raft of the leader": ("raft",), "api of the leader": ("api",), "both of the leader": ("raft", "api")}


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A lab of three replicas and no node, removed afterwards whatever happens."""
    with running_lab(f"e2e-rc-{os.getpid()}", "--nodes", "0") as cluster:
        yield cluster


class Doing:
    """Something that goes on in a thread of its own until the block is left, and must not fail."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_raised: object) -> None:
        self._thread.join(UP_SECONDS)
        assert not self._thread.is_alive(), "it does not end"
        if self._problem is not None:
            raise self._problem

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as problem:  # noqa: BLE001 - raised in the test's thread
            self._problem = problem


def statuses(cluster: Cluster) -> dict[str, str]:
    """Role by replica, "learner" for one without a vote, as any replica says."""
    answer = cluster.call(cluster.client.cluster_status())
    return {each.id: each.role if each.voter else "learner" for each in answer.replicas}


def leading(cluster: Cluster) -> str:
    return eventually("a replica leads", cluster.leader, SETTLED_SECONDS)


def reconnect(cluster: Cluster) -> None:
    """A client with the addresses of now, which `tim replica list` wrote down."""
    cluster.tim("replica", "list")
    cluster.lab = labs.load(cluster.lab.name)
    cluster.call(cluster.client.close())
    cluster.client = cluster.call(cluster._connect())


def running(cluster: Cluster, host: str, processes: tuple[str, ...]) -> bool:
    """Whether all of them run, of a host that may be about to start."""
    cluster.lab = labs.load(cluster.lab.name)
    try:
        found = cluster.processes(host)
    except (LabProblem, LookupError):
        return False
    return all(found[process] for process in processes)


def kill(cluster: Cluster, host: str, processes: tuple[str, ...]) -> None:
    eventually(f"{host} runs", lambda: running(cluster, host, processes), SETTLED_SECONDS)
    for process in processes:
        # One that ends by itself just then, for it is new and lacks something, is killed when it runs again.
        eventually(f"{process} of {host} is killed", lambda process=process: killed(cluster, host, process))


def killed(cluster: Cluster, host: str, process: str) -> bool:
    pid = cluster.processes(host)[process]
    with suppress(ProcessLookupError):
        if pid:
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def remove(cluster: Cluster, gone: str, victims: tuple[str, ...], rng: random.Random) -> None:
    """Remove it while the leader's processes are killed; until it is out, as an administrator would."""
    leader = leading(cluster)
    with Doing(lambda: cluster.tim("replica", "remove", gone, check=False)):
        threading.Event().wait(rng.uniform(0.0, REMOVAL_SECONDS))  # any moment of the change will do
        kill(cluster, leader, victims)

    answers: list[str] = []

    def out() -> bool:
        again = cluster.tim("replica", "remove", gone, check=False)
        answers.append(again.out + again.err)
        return again.code == 0 or f"no replica '{gone}'" in again.err

    eventually(f"{gone} is out", out, SETTLED_SECONDS, lambda: answers[-1])
    cluster.tim("lab", "kill", gone, "--name", cluster.lab.name)


def add(cluster: Cluster, victim: Callable[[str], str], victims: tuple[str, ...]) -> str:
    """Add the next replica, and kill once it is known, before or after it was given its vote."""
    newcomer = f"r{cluster.lab.replicas + 1}"
    with Doing(lambda: replicas.add_replica(cluster.lab, system_env(), lambda _line: None)):
        eventually(f"{newcomer} is a member", lambda: newcomer in statuses(cluster), SETTLED_SECONDS)
        kill(cluster, victim(newcomer), victims)
    return newcomer


def check_truth(cluster: Cluster, members: set[str]) -> None:
    """`tim replica list` names exactly the members, and each of them agrees by itself."""

    def settled() -> bool:
        rows = [row.split() for row in cluster.tim("replica", "list", check=False).out.splitlines()[1:-1]]
        roles = sorted(row[1] for row in rows)
        ready = all(row[2] == "yes" for row in rows)
        return ready and {row[0] for row in rows} == members and roles == ["follower", "follower", "leader"]

    eventually(f"exactly {sorted(members)} are listed and ready", settled, SETTLED_SECONDS)
    found = kubeconfig.resolve(kubeconfig.read(cluster.lab.admin_conf), cluster.lab.admin_conf)
    tls = Tls(found.ca_pem, found.cert_pem, found.key_pem)

    async def seen_by(address: str) -> set[str]:
        async with RpcClient([address], tls, system_env()) as client:
            return {each.id for each in (await client.cluster_status()).replicas if each.voter}

    for name in members:
        address = f"{cluster.lab.host(name).address}:7443"
        eventually(f"{name} says so too", lambda address=address: cluster.call(seen_by(address)) == members)


@pytest.mark.parametrize("victims", VICTIMS.values(), ids=VICTIMS.keys())
def test_a_crash_amid_a_change_of_the_membership_loses_nothing_and_the_change_ends(
    own: Cluster, victims: tuple[str, ...]
) -> None:
    cluster = own
    rng = random.Random("+".join(victims))
    members = set(eventually("the replicas are known", lambda: statuses(cluster)))
    with Writer(cluster, "default") as writer:
        leader = leading(cluster)
        gone = min(members - {leader})
        remove(cluster, gone, victims, rng)
        members.discard(gone)
        writer.wait_for_another()
        # The newcomer's own programs in one case, the leader's in the others.
        newcomer = add(cluster, lambda name: name if len(victims) == 2 else leading(cluster), victims)
        members.add(newcomer)
        writer.wait_for_another()
    reconnect(cluster)
    check_truth(cluster, members)
    assert not writer.missing()
