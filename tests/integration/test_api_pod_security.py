"""What a namespace's labels make of pods, through real calls: refusals, and warnings beside the answer."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from api.errors import Forbidden
from component.client import Write
from component.rpc_client import RpcClient
from tests.api_server import pod, running_cluster

pytestmark = pytest.mark.slow


def space(name, **labels):
    written = {f"pod-security.kubernetes.io/{mode}": level for mode, level in labels.items()}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": written}}


async def test_a_caller_hears_the_warnings_of_what_it_made_and_the_log_the_audits(tmp_path):
    async with running_cluster(tmp_path) as cluster:
        told: list[str] = []
        client = RpcClient(cluster.addresses, cluster.keys.admin, cluster.env, warn=told.append)
        cluster.clients.append(client)
        await client.create(space("watched", warn="baseline", audit="baseline"))
        with capture_logs() as logs:
            await client.create(pod("a", metadata={"namespace": "watched"}, hostNetwork=True))
        assert told == ['would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)']
        (audit,) = [each for each in logs if each["event"] == "pod_security_violated"]
        assert audit["message"].startswith('pods "a" would violate PodSecurity "baseline:latest"')


async def test_the_caller_of_a_transaction_hears_its_warnings_once(tmp_path):
    async with running_cluster(tmp_path) as cluster:
        told: list[str] = []
        client = RpcClient(cluster.addresses, cluster.keys.admin, cluster.env, warn=told.append)
        cluster.clients.append(client)
        pods = [pod(name, metadata={"namespace": "watched"}, hostNetwork=True) for name in ("a", "b")]
        done = await client.transaction([Write("apply", each) for each in (space("watched", warn="baseline"), *pods)])
        assert done.committed
        assert told == ['would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)']


async def test_a_pod_that_violates_what_is_enforced_is_refused(tmp_path):
    async with running_cluster(tmp_path) as cluster:
        client = cluster.client()
        await client.create(space("safe", enforce="restricted"))
        with pytest.raises(Forbidden, match='violates PodSecurity "restricted:latest": host namespaces'):
            await client.create(pod("a", metadata={"namespace": "safe"}, hostNetwork=True))
