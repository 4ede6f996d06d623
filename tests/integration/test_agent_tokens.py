"""Tokens in the volumes of pods: the whole agent, with a control plane that makes them."""

from __future__ import annotations

import stat

import pytest

from tests.agent_rig import agent_rig, container_tree, pod_tree

TOKEN = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600, "audience": "vault"}}
VOLUME = {"name": "access", "projected": {"sources": [TOKEN], "defaultMode": 0o644}}


@pytest.fixture
async def rig(tmp_path):
    async with agent_rig(tmp_path) as rig:
        yield rig


def web(**spec):
    mounted = container_tree(volumeMounts=[{"name": "access", "mountPath": "/access", "readOnly": True}])
    return pod_tree("web", mounted, volumes=[VOLUME], serviceAccountName="robot", **spec)


def file_of(rig):
    return rig.paths.memory_volume("uid-web", "access") / "token"


async def test_a_pod_starts_with_a_token_that_was_made_for_it(rig):
    rig.plane.put(web())
    await rig.until_ready()
    assert file_of(rig).read_text().count(".") == 2
    assert stat.S_IMODE(file_of(rig).stat().st_mode) == 0o644
    [request] = rig.plane.token_requests
    assert (request.namespace, request.service_account, request.audiences) == ("default", "robot", ["vault"])
    assert (request.bound.kind, request.bound.name, request.bound.uid) == ("Pod", "web", "uid-web")
    assert request.expiration_seconds == 3600
    await rig.stop()  # what changes while it is searched cannot be searched
    assert not list(rig.paths.data_dir.rglob("token")), "never on a disk"


async def test_a_pod_waits_for_its_token_and_says_so(rig):
    rig.plane.token_refusal = "no leader"
    rig.plane.put(web())
    await rig.until(
        lambda: any("failed to fetch token: no leader" in each["message"] for each in rig.plane.events), "an event"
    )
    assert rig.container().get("containerID") is None
    rig.plane.token_refusal = ""
    await rig.until_ready()


async def test_a_restarted_agent_goes_on_with_the_token_that_is_there(rig):
    rig.plane.put(web())
    await rig.until_ready()
    before = file_of(rig).read_text()
    rig.plane.token_refusal = "away"
    await rig.restart()
    await rig.until(lambda: rig.plane.sessions and rig.agent.connected, "a session")
    await rig.until(lambda: rig.agent.metrics()["containers_running"] == 1, "the pod is adopted")
    assert file_of(rig).read_text() == before
    assert len(rig.plane.token_requests) == 1


async def test_the_token_goes_with_the_pod(rig):
    tree = web(terminationGracePeriodSeconds=0)
    rig.plane.put(tree)
    await rig.until_ready()
    rig.plane.remove(tree)
    await rig.until(lambda: not file_of(rig).exists(), "the volume is gone")
