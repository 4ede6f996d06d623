"""Looking into pods that run: ephemeral containers through `tim debug`, copies, and pods that somebody joins."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Space, eventually
from tests.e2e.test_pods import FOREVER, pod

BUSYBOX = "localhost/busybox:1"


@pytest.fixture
def web(space: Space) -> Space:
    """A pod without a shell to speak of."""
    space.apply(pod("web", FOREVER))
    space.wait_ready("web")
    return space


def ephemeral(space: Space) -> dict[str, dict]:
    """The reported statuses of the ephemeral containers of the pod "web"."""
    return {each["name"]: each for each in space.pod("web")["status"].get("ephemeralContainerStatuses", [])}


def state_of(space: Space, name: str) -> str:
    return next(iter(ephemeral(space).get(name, {}).get("state", {"": None})))


def test_an_ephemeral_container_sees_its_target_and_outlives_the_agent_but_not_the_pod(web):
    cluster, before = web.cluster, web.pod("web")
    host, uid = before["spec"]["nodeName"], before["metadata"]["uid"]
    look = ["-i", "--image", BUSYBOX, "--target", "main", "-c", "look"]
    seen = web.tim("debug", "web", *look, "--", "sh", stdin="ps; exit 4\n")
    assert "trap 'exit 0' TERM" in seen.out, seen.err
    eventually("its end is told", lambda: state_of(web, "look") == "terminated")
    assert ephemeral(web)["look"]["state"]["terminated"]["exitCode"] == 4
    web.tim(
        "debug", "web", "--image", BUSYBOX, "--target", "main", "-c", "stays", "--", "sh", "-c", "echo in; sleep 999"
    )
    eventually("it runs", lambda: state_of(web, "stays") == "running")
    told = ephemeral(web)
    cluster.wait_restarted([(host, "agent", cluster.kill(host, "agent"))])
    eventually("its log can be read", lambda: web.tim("logs", "web", "-c", "stays", check=False).out == "in\n")
    assert "trap" in web.exec("web", "ps", container="stays").out
    assert ephemeral(web) == told
    after = web.pod("web")["status"]
    assert (after["phase"], after["containerStatuses"]) == ("Running", before["status"]["containerStatuses"])
    web.tim("delete pod", "web")
    assert not [name for name in cluster.containers(host) if name.startswith(uid)]


def test_run_joins_its_pod_and_ends_with_its_exit_code(web):
    run = ["once", "-i", "--rm", "--restart", "Never", "--image", BUSYBOX]
    done = web.tim("run", *run, "--", "sh", stdin="echo typed; exit 3\n", check=False)
    assert (done.code, done.out) == (3, "typed\n"), done.err
    assert [each["metadata"]["name"] for each in web.pods()] == ["web"]


def test_a_copy_runs_beside_the_pod_with_another_container(web):
    copy = ["--copy-to", "copy", "--image", BUSYBOX, "-c", "look", "--attach"]
    assert web.tim("debug", "web", *copy, "--", "hostname").out == "copy\n"
    assert [each["name"] for each in web.pod("copy")["spec"]["containers"]] == ["main", "look"]
    assert "ephemeralContainers" not in web.pod("web")["spec"]
