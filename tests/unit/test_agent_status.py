"""The status tree, rule by rule."""

from __future__ import annotations

import pytest

from agent.backoff import Backoff
from agent.container_status import Health
from agent.observed import Failure, Verdict
from agent.status import NodeAddresses, pod_status
from tests.agent_pods import NOW, container, pod, settled

STAMP = "2025-06-15T15:06:40Z"
NODE = NodeAddresses("10.0.0.11")


def status(of, observed, previous=None, now=NOW, **health):
    return pod_status(of, observed, health, NODE, previous or {}, now)


def condition(tree, kind):
    return next(each for each in tree["conditions"] if each["type"] == kind)


def main(tree):
    return tree["containerStatuses"][0]


def test_a_container_is_not_running_before_its_post_start_hook_ended():
    tree = status(pod(), settled(container(), starting=frozenset({"main-0"})))
    assert (tree["phase"], main(tree)["ready"], main(tree)["started"]) == ("Pending", False, False)
    assert main(tree)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    again = settled(container(state="exited"), container(attempt=1), starting=frozenset({"main-1"}))
    assert status(pod(), again)["phase"] == "Running"


def test_a_running_pod():
    tree = status(pod(), settled(container(image_id="img")))
    assert tree["phase"] == "Running"
    assert (tree["podIP"], tree["podIPs"]) == ("10.244.1.2", [{"ip": "10.244.1.2"}])
    assert (tree["hostIP"], tree["hostIPs"]) == ("10.0.0.11", [{"ip": "10.0.0.11"}])
    assert tree["startTime"] == STAMP
    assert tree["qosClass"] == "BestEffort"
    assert main(tree) == {
        "name": "main",
        "image": "localhost/busybox:1",
        "imageID": "img",
        "containerID": "podman://main-0",
        "restartCount": 0,
        "state": {"running": {"startedAt": "2025-06-15T15:05:00Z"}},
        "lastState": {},
        "started": True,
        "ready": True,
    }
    assert {each["type"]: each["status"] for each in tree["conditions"]} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }


def test_before_anything_runs_containers_are_being_created():
    tree = status(pod(phase="Pending"), settled())
    assert tree["phase"] == "Pending"
    assert main(tree)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert main(tree)["started"] is False


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Never", [0, 0], "Succeeded"),
        ("Never", [0, 1], "Failed"),
        ("OnFailure", [0, 0], "Succeeded"),
        ("OnFailure", [0, 1], "Running"),
        ("Always", [0, 0], "Running"),
    ],
)
def test_the_phase_after_all_containers_ended(policy, codes, phase):
    of = pod("a", "b", restartPolicy=policy)
    ended = [container(name, state="exited", code=code) for name, code in zip("ab", codes, strict=True)]
    assert status(of, settled(*ended))["phase"] == phase


def test_one_container_that_never_started_keeps_the_pod_pending():
    assert status(pod("a", "b"), settled(container("a")))["phase"] == "Pending"


def test_a_terminating_pod_whose_containers_ended_is_over_even_if_it_always_restarts():
    of = pod(deleted=True)
    assert status(of, settled(container(state="exited"), termination_time=NOW))["phase"] == "Succeeded"
    failed = status(of, settled(container(state="exited", code=143), termination_time=NOW))
    assert failed["phase"] == "Failed"
    assert main(failed)["state"]["terminated"]["exitCode"] == 143


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"code": 0}, "Completed"),
        ({"code": 1}, "Error"),
        ({"code": 137, "oom_killed": True}, "OOMKilled"),
    ],
)
def test_reasons_of_an_end(fields, reason):
    tree = status(pod(restartPolicy="Never"), settled(container(state="exited", message="bye", **fields)))
    ended = main(tree)["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"], ended["message"]) == (reason, fields["code"], "bye")
    assert ended["finishedAt"] == STAMP


def test_a_lost_container_has_failed_with_137():
    tree = status(pod(restartPolicy="Never"), settled(container(state="unknown")))
    assert main(tree)["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert main(tree)["state"]["terminated"]["exitCode"] == 137
    assert tree["phase"] == "Failed"


@pytest.mark.parametrize(("delay", "shown"), [(10, "10s"), (80, "1m20s"), (300, "5m0s")])
def test_waiting_for_a_restart(delay, shown):
    observed = settled(container(attempt=2, state="exited", code=1), restarts={"main": Backoff(delay, NOW - 50)})
    tree = main(status(pod(), observed))
    message = f"back-off {shown} restarting failed container=main pod=web_default(uid-web)"
    assert tree["state"]["waiting"] == {"reason": "CrashLoopBackOff", "message": message}
    assert tree["lastState"]["terminated"]["exitCode"] == 1
    assert tree["restartCount"] == 2


def test_the_attempt_before_is_the_last_state():
    observed = settled(container(attempt=0, state="exited", code=3), container(attempt=1))
    tree = main(status(pod(), observed))
    assert tree["lastState"]["terminated"]["exitCode"] == 3
    assert "running" in tree["state"]


def test_the_first_failed_pull_is_an_error_and_the_next_a_back_off():
    first = settled(failures={"image:main": Failure("ErrImagePull", "no such", 10, NOW + 10)})
    assert main(status(pod(), first))["state"]["waiting"] == {"reason": "ErrImagePull", "message": "no such"}
    second = settled(failures={"image:main": Failure("ErrImagePull", "no such", 20, NOW + 20)})
    waiting = main(status(pod(), second))["state"]["waiting"]
    assert waiting["reason"] == "ImagePullBackOff"
    assert waiting["message"] == 'Back-off pulling image "localhost/busybox:1": no such'


def test_a_failed_create_shows_its_reason():
    observed = settled(failures={"create:main": Failure("CreateContainerConfigError", "no map", 1, NOW + 1)})
    waiting = main(status(pod(), observed))["state"]["waiting"]
    assert waiting == {"reason": "CreateContainerConfigError", "message": "no map"}


def test_unready_containers_are_named():
    tree = status(pod("a", "b"), settled(container("a"), container("b")), b=Health(started=True, ready=False))
    for kind in ("Ready", "ContainersReady"):
        assert condition(tree, kind)["status"] == "False"
        assert condition(tree, kind)["reason"] == "ContainersNotReady"
        assert condition(tree, kind)["message"] == "containers with unready status: [b]"


def test_a_container_that_has_not_started_is_not_ready():
    tree = status(pod(), settled(container()), main=Health(started=False, ready=True))
    assert (main(tree)["started"], main(tree)["ready"]) == (False, False)


def test_readiness_gates_hold_ready_but_not_containers_ready():
    tree = status(pod(readinessGates=[{"conditionType": "example.com/lb"}]), settled(container()))
    assert condition(tree, "Ready")["reason"] == "ReadinessGatesNotReady"
    assert condition(tree, "ContainersReady")["status"] == "True"


def test_transition_times_move_only_with_the_status():
    first = status(pod(), settled(container()))
    later = status(pod(), settled(container()), first, NOW + 60)
    assert later == first
    unready = status(pod(), settled(container()), first, NOW + 60, main=Health(ready=False))
    assert condition(unready, "Ready")["lastTransitionTime"] == "2025-06-15T15:07:40Z"
    assert condition(unready, "PodScheduled")["lastTransitionTime"] == STAMP


def test_conditions_of_others_are_passed_on():
    import msgspec  # noqa: PLC0415

    from api.core import Pod  # noqa: PLC0415

    tree = msgspec.to_builtins(pod())
    foreign = {"type": "DisruptionTarget", "status": "True", "reason": "Why", "lastTransitionTime": STAMP}
    tree["status"]["conditions"] = [foreign]
    found = status(msgspec.convert(tree, Pod), settled(container()))
    assert condition(found, "DisruptionTarget") == foreign


def test_a_pod_the_node_gave_up_has_failed_with_the_reason():
    tree = status(pod(), settled(verdict=Verdict("OutOfcpu", "too much")))
    assert (tree["phase"], tree["reason"], tree["message"]) == ("Failed", "OutOfcpu", "too much")
    assert condition(tree, "Ready")["reason"] == "PodFailed"


def test_nothing_in_a_status_is_null():
    def nulls(value):
        match value:
            case dict():
                return any(nulls(each) for each in value.values())
            case list():
                return any(nulls(each) for each in value)
        return value is None

    observed = settled(container(attempt=0, state="unknown"), container(attempt=1, state="exited"))
    assert not nulls(status(pod(), observed))
