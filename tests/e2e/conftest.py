"""One lab for all e2e tests of a run, a namespace for each test.

TIMONIER_E2E_LAB=NAME takes a lab that is up already and leaves it up: quick while writing tests.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from api.errors import NotFound
from lab import cluster as labs
from tests.e2e.cluster import EXAMPLES, FIGURES, Cluster, Space, eventually
from tests.e2e.labs import running_lab

HERE = Path(__file__).parent
ORDER = (
    "test_documentation",
    "test_pods",
    "test_pod_fields",
    "test_commands",
    "test_permissions",
    "test_webhooks",
    "test_kubectl",
    "test_clients_kubectl",
    "test_secrets",
    "test_clients_python",
    "test_clients_in_pods",
    "test_network",
    "test_bad_input",
    "test_rollouts",
    "test_history",
    "test_documentation_late",
    "test_agent_restart",
    "test_debugging",
    "test_streams",
    "test_control_plane",
    "test_nodes",
    "test_stale_reads",
    "test_two_hosts_lost",
    "test_lab",
    "test_replicas",
    "test_foreign_clusters",
    "test_expired_certificates",
    "test_replica_crashes",
    "test_chaos",
)
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them take the lab: first what starts slow things, last what breaks hosts."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.slow)
    order = {name: place for place, name in enumerate(ORDER)}
    items.sort(key=lambda item: order.get(item.path.stem, 0) if HERE in item.path.parents else -1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if FIGURES:
        terminalreporter.section("measured on the lab")
        for line in FIGURES:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A lab of three replicas and three nodes, removed afterwards whatever happens."""
    if given := os.environ.get("TIMONIER_E2E_LAB", ""):
        connected = Cluster(labs.load(given))
        try:
            yield connected
        finally:
            connected.close()
        return
    with running_lab(f"e2e-{os.getpid()}") as made:
        yield made


@pytest.fixture(scope="session")
def docs(cluster: Cluster) -> Iterator[Space]:
    """A namespace with all of them, applied with one command."""
    space = Space(cluster, f"docs-{os.getpid() % 10000}")
    cluster.apply(f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {space.name}}}}}")
    said = space.tim("apply", "-f", str(EXAMPLES / "kubernetes")).out
    assert "deployment.apps/nginx-deployment created" in said
    yield space
    cluster.tim("delete", "namespace", space.name, "--no-wait")


@pytest.fixture
def space(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Space]:
    """A namespace of the test's own; it is deleted, but nobody waits for that."""
    word = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:30].strip("-")
    name = f"{word}-{os.getpid() % 10000}-{next(_numbers)}"
    cluster.apply(f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}")
    yield Space(cluster, name)

    def deleted() -> bool:
        with suppress(NotFound):  # an attempt that was given up worked all the same
            cluster.call(cluster.client.delete("namespaces", "", name))
        return True

    eventually(f"namespace {name} is being deleted", deleted)
