"""Commands against a real cluster: logs, exec, wait, events, scale, deletion and what it takes along."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import suppress

import pytest

from tests.e2e.cluster import EXAMPLES, TIM, Space, eventually, restarts
from tests.e2e.test_pods import FOREVER, pod

EVENTS_SECONDS = 20.0


@pytest.fixture
def shell(space: Space) -> Space:
    """A pod to run commands in."""
    space.apply(pod("shell", "echo one; echo two; echo three; " + FOREVER))
    space.wait_ready("shell")
    eventually("it printed", lambda: space.logs("shell") == "one\ntwo\nthree\n")
    return space


def test_exec_passes_output_errors_input_and_exit_codes(shell):
    done = shell.exec("shell", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.code, done.out, done.err) == (7, "out\n", "err\n")
    assert shell.exec("shell", "cat", stdin="through\n").out == "through\n"
    big = "x" * 300_000
    assert shell.exec("shell", "wc", "-c", stdin=big).out.split() == ["300000"]
    assert shell.exec("shell", "sh", "-c", "kill -9 $$", check=False).code == 137
    missing = shell.exec("shell", "absent-program", check=False)
    assert missing.code not in {0, 70}
    assert "absent-program" in missing.err


def test_logs_are_followed_cut_and_dated(shell):
    assert shell.logs("shell", "--tail=2") == "two\nthree\n"
    assert shell.logs("shell", "--since=1h") == "one\ntwo\nthree\n"
    stamped = shell.logs("shell", "--timestamps").splitlines()[0]
    assert stamped.startswith("20")
    assert stamped.endswith(" one")
    assert shell.logs("shell", "--limit-bytes=5") == "one\nt"
    assert shell.logs("shell", f"--since-time={stamped.split()[0]}").startswith("one\n")
    following = subprocess.Popen(
        [TIM, "logs", "-n", shell.name, "-f", "shell"],
        env=shell.cluster.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert [following.stdout.readline() for _ in range(3)] == ["one\n", "two\n", "three\n"]
        shell.exec("shell", "sh", "-c", "echo four > /proc/1/fd/1")
        assert following.stdout.readline() == "four\n"
        shell.tim("delete pod", "shell", "--now", "--no-wait")
        assert following.wait(60) == 0, "following ends with its container"
    finally:
        following.kill()
        following.wait()
        following.stdout.close()


def test_logs_of_the_previous_container_are_kept(space):
    space.apply(
        pod(
            "again",
            "if [ -e /mark/x ]; then echo second; else touch /mark/x; echo first; exit 1; fi; " + FOREVER,
            "volumes: [{name: mark, emptyDir: {}}]",
            "volumeMounts: [{name: mark, mountPath: /mark}]",
        )
    )
    space.wait_pod("again", lambda pod: restarts(pod) == 1, "runs again")
    eventually("the second printed", lambda: space.logs("again") == "second\n")
    assert space.logs("again", "--previous") == "first\n"
    failed = space.tim("logs", "again", "-c", "absent", check=False)
    assert failed.code == 1
    assert "absent" in failed.error_line


def test_wait_returns_when_the_condition_is_met_and_fails_in_time(space):
    space.apply(
        pod("slow", FOREVER, container="readinessProbe: {exec: {command: [test, -e, /ready]}, periodSeconds: 1}")
    )
    space.wait_phase("slow", "Running")
    began = time.monotonic()
    failed = space.tim("wait", "pod/slow", "--for=condition=Ready", "--timeout=1s", check=False)
    assert failed.code == 1
    assert "timed out" in failed.error_line
    assert time.monotonic() - began < 25  # the default is 30
    space.exec("slow", "touch", "/ready")
    assert "condition met" in space.tim("wait", "pod/slow", "--for=condition=Ready", "--timeout=60s").out
    phase = space.tim("wait", "pod/slow", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
    assert "condition met" in phase.out
    space.tim("delete pod", "slow", "--no-wait")
    space.tim("wait", "pod/slow", "--for=delete", "--timeout=60s")


def test_events_tell_the_story_of_a_pod(space):
    """What a leader had no time to write is lost with its leadership, as in Kubernetes; not so for every pod."""
    told = set[str]()

    def whole() -> bool:
        listed = space.cluster.list("events", space.name, fields=f"involvedObject.name={name}")
        told.update(each["reason"] for each in listed)
        return told >= {"Scheduled", "Pulled", "Created", "Started"}

    for name in ("first", "second", "third"):
        told.clear()
        space.apply(pod(name, FOREVER))
        space.wait_ready(name)
        with suppress(AssertionError):
            eventually("the events", whole, EVENTS_SECONDS)
            break
    assert whole(), (told, space.describe_all())
    assert "Started container main" in space.tim("describe pod", name).out


def test_deleting_a_deployment_takes_its_pods_and_orphans_stay_when_asked(space):
    manifest = (EXAMPLES / "web.yaml").read_text().replace("sleep: {seconds: 2}", "sleep: {seconds: 1}")
    space.apply(manifest)
    space.wait_pods("app=web", 3)
    space.tim("delete deployment", "web", "--cascade=orphan")
    assert len(space.pods("app=web")) == 3
    assert len(space.cluster.list("replicasets.apps", space.name)) == 1
    space.apply(manifest)  # adopts what is there
    space.tim("rollout status", "deployment/web", "--timeout", "60s")
    assert len(space.pods("app=web")) == 3
    space.tim("delete deployment", "web")
    eventually("the ReplicaSet is collected", lambda: not space.cluster.list("replicasets.apps", space.name))
    eventually("the pods are gone", lambda: not space.cluster.list("pods", space.name, "app=web"))
    eventually("no endpoints", lambda: not space.endpoints("web"))


def test_a_deleted_pod_of_a_replica_set_is_replaced(space):
    space.apply((EXAMPLES / "web.yaml").read_text())
    before = {pod["metadata"]["name"] for pod in space.wait_pods("app=web", 3)}
    victim = min(before)
    space.tim("delete pod", victim, "--now")
    after = {pod["metadata"]["name"] for pod in space.wait_pods("app=web", 3)}
    assert len(before & after) == 2


def test_deleting_a_namespace_empties_it(space):
    cluster = space.cluster
    space.apply((EXAMPLES / "web.yaml").read_text())
    space.apply("{apiVersion: v1, kind: Secret, metadata: {name: s}}")
    pods = space.wait_pods("app=web", 3)
    cluster.tim("delete", "namespace", space.name)
    kinds = (
        "pods",
        "services",
        "secrets",
        "configmaps",
        "deployments.apps",
        "replicasets.apps",
        "events",
        "serviceaccounts",
    )
    assert {kind: cluster.list(kind, space.name) for kind in kinds} == {kind: [] for kind in kinds}
    for each in pods:
        host = each["spec"]["nodeName"]
        left = [name for name in cluster.containers(host) if name.startswith(each["metadata"]["uid"])]
        assert not left
    again = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space.name}})
    cluster.tim("create", "-f", "-", stdin=again)  # the name is free, and the fixture deletes it


def test_apply_of_a_folder_changes_only_what_differs(space):
    assert "created" in space.tim("apply", "-f", str(EXAMPLES / "kubernetes" / "configmap-envfrom.yaml")).out
    again = space.tim("apply", "-f", str(EXAMPLES / "kubernetes" / "configmap-envfrom.yaml")).out
    assert again.count("unchanged") == 2


def test_what_get_prints_can_be_applied_again(space):
    space.apply((EXAMPLES / "web.yaml").read_text())
    space.wait_pods("app=web", 3)

    def applied() -> bool:
        """Not so when a controller wrote a status in between: what was printed is stale then, and refused as it should be."""
        printed = space.tim("get deployment,service", "-o", "yaml").out
        done = space.tim("apply", "-f", "-", stdin=printed, check=False)
        assert done.code == 0 or "Conflict" in done.err, (done, printed)
        return done.code == 0

    eventually("what was printed is applied", applied)
    assert len(space.wait_pods("app=web", 3)) == 3
