"""kubectl's commands against their checked-in expectations (tests/clients): output, errors and exit code of each.

One kubectl here, Debian's if it is unpacked; `make clients` tries every version that is installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.clients.session import Session, installed, transcripts
from tests.clients.transcript import Transcript
from tests.e2e.cluster import Cluster

CLIENTS = installed()
TRANSCRIPTS = transcripts()
AT_ONCE = 3
"""Most of the time is spent waiting for pods."""

pytestmark = pytest.mark.skipif(not CLIENTS, reason="no kubectl of a version that was tried is installed")


@pytest.fixture(scope="module")
def differences(cluster: Cluster, tmp_path_factory) -> Iterator[dict[str, Future[list[str]]]]:
    """What differs in each transcript, once it has run: each in a namespace of its own, several at once."""
    cache = tmp_path_factory.mktemp("cache")

    def run(transcript: Transcript) -> list[str]:
        name = f"kubectl-{transcript.name}-{os.getpid() % 10000}"
        cluster.apply(f"{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}")
        folder = tmp_path_factory.mktemp(transcript.name)
        session = Session(CLIENTS[0], cluster.lab.admin_conf, name, folder, cache)
        try:
            return list(session.differences(transcript))
        finally:
            cluster.call(cluster.client.delete("namespaces", "", name))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {transcript.name: pool.submit(run, transcript) for transcript in TRANSCRIPTS}


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=lambda transcript: transcript.name)
def test_kubectl_prints_and_exits_as_expected(differences, transcript):
    told = differences[transcript.name].result()
    assert not told, "\n".join(told)
