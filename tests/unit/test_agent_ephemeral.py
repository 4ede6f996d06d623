"""Ephemeral containers on the node: they start beside everything else, once, and change nothing of what the pod is."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from agent import actions as act
from agent.container_status import Health
from agent.desired import Desired
from agent.environment import ConfigError
from agent.ephemeral import process_target
from agent.events import EventRecorder
from agent.observed import Failure
from agent.pod_sync import pod_actions
from agent.runtime.protocol import Image
from agent.status import NodeAddresses, pod_status
from api.core import EphemeralContainer
from tests.agent_pods import NOW, SANDBOX, container, pod, settled
from tests.api_server import make_env

IMAGE = Image("id", ("localhost/busybox:1",), 1)
OLD = {"sandbox_id": "older"}


def debugged(*names, told=None, **spec):
    """A pod with a main container and ephemeral ones; those that begin with "t" look into the main one."""
    trees = [{"name": name, "image": "localhost/busybox:1"} for name in names or ("debug",)]
    for tree in trees:
        if tree["name"].startswith("t"):
            tree["targetContainerName"] = "main"
    made = pod(ephemeralContainers=trees, **spec)
    return made if told is None else with_status(made, told)


def with_status(made, told):
    tree = msgspec.to_builtins(made)
    tree["status"]["ephemeralContainerStatuses"] = [told]
    return msgspec.convert(tree, type(made))


ONE = debugged()
MAIN = container("main")


def decide(of, observed, now=NOW):
    return pod_actions(Desired("uid-web", of), observed, now)


def status(of, observed, previous=None):
    return pod_status(of, observed, {"main": Health()}, NodeAddresses("10.0.0.11"), previous or {}, NOW)


def told(state, name="debug"):
    return {
        "name": name,
        "image": "i",
        "imageID": "",
        "restartCount": 0,
        "ready": False,
        "containerID": "podman://x",
        "state": state,
    }


def test_a_new_one_is_pulled_created_and_started():
    assert decide(ONE, settled(MAIN)) == [act.PullImage("debug")]
    assert decide(ONE, settled(MAIN, images={"debug": IMAGE})) == [act.CreateContainer("debug", 0)]
    assert decide(ONE, settled(MAIN, container("debug", state="created", of=ONE))) == [act.StartContainer("debug-0")]
    assert decide(ONE, settled(MAIN, container("debug", of=ONE))) == []


def test_it_waits_for_no_init_container():
    of = debugged(initContainers=[{"name": "init", "image": "localhost/busybox:1"}])
    init = container("init", of=of)
    assert decide(of, settled(init, images={"debug": IMAGE})) == [act.CreateContainer("debug", 0)]


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
@pytest.mark.parametrize("ended", [{"state": "exited"}, {"state": "exited", "code": 1}, {"state": "unknown"}])
def test_one_that_ended_is_never_started_again(policy, ended):
    of = debugged(restartPolicy=policy)
    assert decide(of, settled(MAIN, container("debug", of=of, **ended))) == []
    assert decide(of, settled(MAIN, container("debug", of=of, **ended, **OLD))) == []


def test_one_that_was_told_to_have_run_does_not_run_again_when_nothing_of_it_is_left():
    of = debugged(told=told({"running": {}}))
    assert decide(of, settled(MAIN, images={"debug": IMAGE})) == []
    assert decide(of, settled(MAIN)) == []


def test_what_a_boot_left_of_one_is_removed_and_not_run_again():
    of = debugged(told=told({"running": {}}))
    left = container("debug", state="created", of=of, **OLD)  # Podman forgets that it ran
    assert decide(of, settled(MAIN, left)) == [act.RemoveContainer("debug-0")]
    assert decide(of, settled(MAIN)) == []


def test_one_that_was_only_told_to_be_waited_for_still_starts():
    waiting = {key: value for key, value in told({"waiting": {}}).items() if key != "containerID"}
    assert decide(debugged(told=waiting), settled(MAIN)) == [act.PullImage("debug")]


def test_it_neither_keeps_a_pod_alive_nor_outlives_it():
    of = debugged(restartPolicy="Never")
    observed = settled(container("main", state="exited"), container("debug", of=of), termination_time=NOW)
    assert act.SignalTerm("debug-0") in decide(of, observed)
    assert status(of, observed)["phase"] == "Succeeded"


def test_phase_and_readiness_do_not_look_at_it():
    failed = settled(MAIN, container("debug", state="exited", code=1, of=ONE))
    plain = status(pod(), settled(MAIN))
    found = status(ONE, failed)
    assert {name: value for name, value in found.items() if name != "ephemeralContainerStatuses"} == plain


def test_its_status_tells_of_its_one_life():
    waiting = status(ONE, settled(MAIN))["ephemeralContainerStatuses"]
    assert waiting[0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    [running] = status(ONE, settled(MAIN, container("debug", of=ONE)))["ephemeralContainerStatuses"]
    assert (running["containerID"], running["ready"], running["restartCount"]) == ("podman://debug-0", False, 0)
    assert "running" in running["state"]
    assert "started" not in running
    ended = settled(MAIN, container("debug", state="exited", code=3, of=ONE))
    [over] = status(ONE, ended)["ephemeralContainerStatuses"]
    assert (over["state"]["terminated"]["exitCode"], over["state"]["terminated"]["reason"]) == (3, "Error")


def test_an_image_that_cannot_be_had_is_told():
    failure = Failure("ErrImagePull", "no such image", 10.0, NOW + 5)
    [found] = status(ONE, settled(MAIN, failures={"image:debug": failure}))["ephemeralContainerStatuses"]
    assert found["state"] == {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}


def test_what_was_told_of_one_that_is_gone_holds():
    ended = told({"terminated": {"exitCode": 4, "reason": "Error"}})
    assert status(ONE, settled(MAIN), {"ephemeralContainerStatuses": [ended]})["ephemeralContainerStatuses"] == [ended]
    lost = status(ONE, settled(MAIN), {"ephemeralContainerStatuses": [told({"running": {}})]})
    assert lost["ephemeralContainerStatuses"][0]["state"] == {
        "terminated": {"containerID": "podman://x", "exitCode": 137, "reason": "ContainerStatusUnknown"}
    }


def test_its_target_is_the_running_attempt_in_the_namespaces_there_are():
    spec = debugged("target").spec.ephemeral_containers[0]
    first, second = container("main", state="exited"), container("main", 1)
    assert process_target(spec, settled(first, second)) == "main-1"
    assert process_target(EphemeralContainer(name="a"), settled(first)) == ""
    older = replace(second, **OLD)
    for containers, sandbox in (((), SANDBOX), ((first,), SANDBOX), ((older,), replace(SANDBOX, id="newer"))):
        with pytest.raises(ConfigError, match="unable to find target container main: it is not running"):
            process_target(spec, settled(*containers, sandbox=sandbox))


def test_events_tell_where_it_stands():
    recorder = EventRecorder("n1", make_env())
    recorder.record(ONE, "Normal", "Started", "Started container debug", "debug")
    [event] = recorder.take(1)
    assert event["involvedObject"]["fieldPath"] == "spec.ephemeralContainers{debug}"
