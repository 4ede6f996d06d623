"""Init containers and sidecars: one example per rule, from what is on the node to what is done and what is reported."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from agent import actions as act
from agent.backoff import Backoff
from agent.container_status import Health
from agent.desired import Desired
from agent.observed import Observed, Stop
from agent.pod_sync import pod_actions
from agent.progress import finished, init_stage
from agent.runtime.protocol import Image
from agent.status import NodeAddresses, pod_status
from api.core import ContainerStatus
from tests.agent_pods import NOW, container, converged, pod, settled

IMAGE = Image("id", ("localhost/busybox:1",), 1)
PROBE = {"startupProbe": {"exec": {"command": ["up"]}}}
OLD = {"sandbox_id": "older"}


def initial(*names: str, image: str = "localhost/busybox:1", sidecar: dict | None = None, **spec):
    """A pod with a main container and init containers of these names; those that begin with "s" are sidecars."""
    trees = [{"name": name, "image": image} for name in names]
    for tree in trees:
        if tree["name"].startswith("s"):
            tree |= {"restartPolicy": "Always", **(sidecar or {})}
    return pod(initContainers=trees, **{"phase": "Pending", **spec})


TWO = initial("a", "b")


def every_image(*names: str) -> dict[str, Image]:
    return dict.fromkeys(names, IMAGE)


def ran(name: str, code: int = 0, of=TWO, attempt: int = 0, **fields):
    return container(name, attempt, "exited", code, of=of, **fields)


def decide(of, observed, now=NOW):
    return pod_actions(Desired("uid-web", of), observed, now)


def status(of, observed, previous=None, **health):
    return pod_status(of, observed, health, NodeAddresses("10.0.0.11"), previous or {}, NOW)


def states(tree):
    return {
        each["name"]: next(iter(each["state"].values())).get("reason", "running")
        for each in (*tree["initContainerStatuses"], *tree["containerStatuses"])
    }


def condition(tree, kind):
    return next(each for each in tree["conditions"] if each["type"] == kind)


# One after the other.


@pytest.mark.parametrize(
    ("containers", "stage"),
    [
        ([], 0),
        ([container("a", of=TWO)], 0),
        ([ran("a", 1)], 0),
        ([ran("a")], 1),
        ([ran("a"), container("b", state="created", of=TWO)], 1),
        ([ran("a"), ran("b", 1)], 1),
        ([ran("a"), ran("b")], 2),
        ([ran("b")], 2),
        ([container("b", of=TWO)], 1),
        ([container("main", state="created", of=TWO)], 2),
        ([container("main", of=TWO)], 2),
        ([ran("main", 1)], 2),
        ([ran("a", **OLD), ran("b", **OLD), ran("main", **OLD)], 0),
        ([ran("a", **OLD), ran("a", attempt=1), ran("b", **OLD), ran("main", **OLD)], 1),
        ([ran("a", **OLD), container("a", 1, of=TWO), ran("b", **OLD)], 0),
    ],
)
def test_whose_turn_it_is_shows_in_what_is_on_the_node(containers, stage):
    assert init_stage(TWO, settled(*containers)) == stage


def test_the_first_init_container_is_all_that_begins():
    assert decide(TWO, Observed()) == [act.PullImage("a"), act.MakeSandbox()]
    images = every_image("a", "b", "main")
    assert decide(TWO, settled(images=images)) == [act.CreateContainer("a", 0)]
    assert decide(TWO, settled(container("a", of=TWO), images=images)) == []


def test_each_follows_the_success_of_the_one_before():
    images = every_image("b", "main")
    assert decide(TWO, settled(ran("a"), images=images)) == [act.CreateContainer("b", 0)]
    assert decide(TWO, settled(ran("a"), ran("b"), images=images)) == [act.CreateContainer("main", 0)]


@pytest.mark.parametrize("policy", ["Always", "OnFailure"])
def test_one_that_failed_is_tried_again_with_a_growing_pause(policy):
    of = initial("a", restartPolicy=policy)
    failed = settled(ran("a", 1, of), images=every_image("a", "main"))
    assert decide(of, failed) == [act.CreateContainer("a", 1)]
    paused = replace(failed, restarts={"a": Backoff(20, NOW - 100)})
    assert decide(of, paused) == [act.Wait(NOW + 20)]


def test_one_that_failed_ends_a_pod_that_is_never_restarted():
    of = initial("a", restartPolicy="Never")
    failed = settled(ran("a", 1, of), images=every_image("a", "main"), termination_time=NOW)
    assert finished(of, failed)
    assert decide(of, failed) == [act.Detach(), act.RemoveVolumes(), act.RemoveSandbox()]
    tree = status(of, failed)
    assert (tree["phase"], states(tree)) == ("Failed", {"a": "Error", "main": "PodInitializing"})
    assert condition(tree, "Initialized")["status"] == "False"
    assert condition(tree, "PodReadyToStartContainers")["status"] == "False"


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_one_that_succeeded_is_never_run_again(policy):
    of = initial("a", restartPolicy=policy)
    assert decide(of, settled(ran("a", of=of), images=every_image("a", "main"))) == [act.CreateContainer("main", 0)]


def test_another_image_counts_from_the_next_attempt_on():
    other = initial("a", image="localhost/other:2")
    assert decide(other, settled(container("a", of=TWO))) == []
    failed = settled(ran("a", 1), images=every_image("a"), restarts={"a": Backoff(300, NOW)})
    assert decide(other, failed) == [act.CreateContainer("a", 1)]
    assert decide(other, settled(ran("a"), images=every_image("a", "main"))) == [act.CreateContainer("main", 0)]


# What is remembered, and what is not.


def test_init_containers_that_were_removed_are_not_run_again():
    images = every_image("a", "b", "main")
    assert decide(TWO, settled(container("main", of=TWO))) == []
    assert decide(TWO, settled(images=images, completed=frozenset("a"))) == [act.CreateContainer("b", 0)]
    assert decide(TWO, settled(images=images, completed=frozenset("ab"))) == [act.CreateContainer("main", 0)]


def test_after_a_boot_init_containers_run_again_before_the_others():
    lost = Observed(
        containers=(ran("a", **OLD), ran("b", **OLD), container("main", state="unknown", of=TWO, **OLD)),
        sandbox_lost=True,
        network_ready=True,
    )
    observed, log, _ = converged(Desired("uid-web", TWO), lost)
    created = [(action.container, action.attempt) for action in log if isinstance(action, act.CreateContainer)]
    assert created == [("a", 1), ("b", 1), ("main", 1)]
    assert [c.name for c in observed.containers if c.state == "running"] == ["main"]


def test_after_a_boot_nothing_of_a_pod_that_did_its_work_runs_again():
    of = initial("a", restartPolicy="OnFailure")
    lost = Observed(containers=(ran("a", of=of), ran("main", of=of)), sandbox_lost=True, network_ready=True)
    assert finished(of, lost)


def test_a_container_created_for_lost_namespaces_is_made_anew():
    stale = container("a", state="created", of=TWO, **OLD)
    assert decide(TWO, settled(stale, images=every_image("a"))) == [act.RemoveContainer("a-0")]


# Sidecars.


def test_a_sidecar_that_runs_lets_the_next_one_start():
    of = initial("s", "b")
    images = every_image("b", "main")
    assert decide(of, settled(container("s", of=of), images=images)) == [act.CreateContainer("b", 0)]
    both = settled(container("s", of=of), ran("b", of=of), images=images)
    assert decide(of, both) == [act.CreateContainer("main", 0)]


def test_a_sidecar_with_a_startup_probe_lets_the_next_one_start_when_that_succeeded():
    of = initial("s", sidecar=PROBE)
    running = settled(container("s", of=of), images=every_image("main"))
    assert decide(of, running) == []
    assert decide(of, replace(running, started=frozenset({"s-0"}))) == [act.CreateContainer("main", 0)]


def test_a_sidecar_whose_post_start_hook_runs_is_not_through():
    of = initial("s", sidecar={"lifecycle": {"postStart": {"exec": {"command": ["x"]}}}})
    observed = settled(container("s", of=of), images=every_image("main"), starting=frozenset({"s-0"}))
    assert decide(of, observed) == []


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
@pytest.mark.parametrize("code", [0, 1])
def test_a_sidecar_that_ended_is_started_again_whatever_the_policy(policy, code):
    of = initial("s", "b", restartPolicy=policy)
    images = every_image("s")
    for others in ([], [container("b", of=of)], [ran("b", of=of), container("main", of=of)]):
        observed = settled(ran("s", code, of), *others, images=images)
        assert decide(of, observed) == [act.CreateContainer("s", 1)]


def test_init_containers_behind_a_sidecar_do_not_start_over_when_it_does():
    of = initial("s", "b")
    restarted = settled(ran("s", 1, of), ran("b", of=of), images=every_image("s", "main"))
    assert decide(of, restarted) == [act.CreateContainer("s", 1), act.CreateContainer("main", 0)]


def test_another_image_restarts_a_sidecar():
    other = initial("s", image="localhost/other:2")
    (begin,) = decide(other, settled(container("s", of=initial("s")), container("main", of=other)))
    assert begin == act.BeginStop("s-0", "SpecChanged", "Container s definition changed, will be restarted", 30)


@pytest.mark.parametrize(
    ("policy", "code", "phase"), [("Never", 0, "Succeeded"), ("Never", 1, "Failed"), ("OnFailure", 0, "Succeeded")]
)
def test_sidecars_do_not_keep_a_pod_that_did_its_work(policy, code, phase):
    of = initial("s", restartPolicy=policy)
    done = settled(container("s", of=of), ran("main", code, of), termination_time=NOW)
    assert finished(of, done)
    assert decide(of, done) == [act.SignalTerm("s-0")]
    assert status(of, done)["phase"] == "Running"
    over = settled(ran("s", 143, of), ran("main", code, of), termination_time=NOW)
    assert decide(of, over) == [act.Detach(), act.RemoveVolumes(), act.RemoveSandbox()]
    assert status(of, over)["phase"] == phase


# The end.


ENDING = initial("s1", "s2", deleted=True, grace=30)


def test_sidecars_are_asked_after_all_others_and_in_reverse_order():
    running = [container(name, of=ENDING) for name in ("s1", "s2", "main")]
    observed = settled(*running, termination_time=NOW, signalled={"main-0": NOW})
    assert decide(ENDING, observed) == [act.Wait(NOW + 30)]
    observed = settled(*running[:2], ran("main", of=ENDING), termination_time=NOW)
    assert decide(ENDING, observed) == [act.SignalTerm("s2-0"), act.Wait(NOW + 30)]
    observed = settled(running[0], ran("s2", of=ENDING), ran("main", of=ENDING), termination_time=NOW)
    assert decide(ENDING, observed) == [act.SignalTerm("s1-0")]


def test_a_sidecar_also_waits_for_an_init_container_that_runs():
    of = initial("s", "b", deleted=True)
    observed = settled(container("s", of=of), container("b", of=of), termination_time=NOW)
    assert decide(of, observed) == [act.SignalTerm("b-0"), act.Wait(NOW + 30)]


def test_hooks_of_sidecars_run_at_once():
    of = initial("s", sidecar={"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}, deleted=True)
    observed = settled(container("s", of=of), container("main", of=of), termination_time=NOW, signalled={"main-0": NOW})
    assert decide(of, observed) == [act.RunPreStop("s-0", 30), act.Wait(NOW + 30)]
    hooked = replace(observed, hooks={"s-0": "done"})
    assert decide(of, hooked) == [act.Wait(NOW + 30)]


def test_sidecars_that_were_left_no_time_get_two_seconds():
    running = [container(name, of=ENDING) for name in ("s1", "s2", "main")]
    late = settled(*running, termination_time=NOW, signalled={"main-0": NOW})
    assert decide(ENDING, late, NOW + 30) == [act.Kill("main-0"), act.SignalTerm("s1-0"), act.SignalTerm("s2-0")]
    asked = replace(late, containers=tuple(running[:2]), signalled={"s1-0": NOW + 30, "s2-0": NOW + 30})
    assert decide(ENDING, asked, NOW + 31) == [act.Wait(NOW + 32)]
    assert decide(ENDING, asked, NOW + 32) == [act.Kill("s1-0"), act.Kill("s2-0")]


def test_without_a_grace_all_are_killed_at_once():
    of = initial("s", deleted=True, grace=0)
    observed = settled(container("s", of=of), container("main", of=of), termination_time=NOW)
    assert decide(of, observed) == [act.Kill("main-0"), act.Kill("s-0")]


def test_a_sidecar_that_is_being_restarted_waits_for_nobody():
    of = initial("s")
    observed = settled(container("s", of=of), container("main", of=of), stops={"s-0": Stop("Unhealthy", "", NOW, 30)})
    assert decide(of, observed) == [act.SignalTerm("s-0")]


# What is reported.


def test_before_anything_ran_all_containers_wait_for_the_pod_to_be_initialized():
    tree = status(TWO, settled())
    assert tree["phase"] == "Pending"
    assert states(tree) == dict.fromkeys(("a", "b", "main"), "PodInitializing")
    initialized = condition(tree, "Initialized")
    assert (initialized["status"], initialized["reason"]) == ("False", "ContainersNotInitialized")
    assert initialized["message"] == "containers with incomplete status: [a b]"


def test_what_is_through_is_ready_and_what_is_not_is_named():
    tree = status(TWO, settled(ran("a"), container("b", of=TWO)))
    assert states(tree) == {"a": "Completed", "b": "running", "main": "PodInitializing"}
    assert [each["ready"] for each in tree["initContainerStatuses"]] == [True, False]
    assert condition(tree, "Initialized")["message"] == "containers with incomplete status: [b]"
    assert tree["phase"] == "Pending"


def test_an_initialized_pod_is_pending_until_its_containers_run():
    tree = status(TWO, settled(ran("a"), ran("b")))
    assert (tree["phase"], states(tree)["main"]) == ("Pending", "PodInitializing")
    assert condition(tree, "Initialized")["status"] == "True"
    assert status(TWO, settled(ran("a"), ran("b"), container("main", of=TWO)))["phase"] == "Running"


def test_an_init_container_that_keeps_failing_backs_off():
    observed = settled(ran("a", 1, attempt=2), restarts={"a": Backoff(20, NOW)})
    (tree, _) = status(TWO, observed)["initContainerStatuses"]
    assert tree["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert (tree["lastState"]["terminated"]["exitCode"], tree["restartCount"]) == (1, 2)


@pytest.mark.parametrize(("started", "ready", "turn"), [(False, False, False), (True, False, True), (True, True, True)])
def test_a_sidecar_counts_for_readiness_and_lets_the_pod_be_initialized_once_it_started(started, ready, turn):
    of = initial("s", sidecar=PROBE)
    facts = {"started": frozenset({"s-0"})} if started else {}
    tree = status(of, settled(container("s", of=of), **facts), s=Health(started=started, ready=ready))
    (sidecar,) = tree["initContainerStatuses"]
    assert (sidecar["started"], sidecar["ready"]) == (started, started and ready)
    assert condition(tree, "Initialized")["status"] == str(turn)
    running = settled(container("s", of=of), container("main", of=of), **facts)
    tree = status(of, running, s=Health(started=started, ready=ready))
    assert condition(tree, "Ready")["status"] == str(started and ready)
    assert condition(tree, "Initialized")["status"] == "True", "a sidecar that starts again does not undo it"
    assert tree["phase"] == "Running"


def test_what_was_reported_of_an_init_container_holds_when_nothing_of_it_is_left():
    before = status(TWO, settled(ran("a"), ran("b"), container("main", of=TWO)))
    after = status(TWO, settled(container("main", of=TWO), completed=frozenset("ab")), previous=before)
    assert after["initContainerStatuses"] == before["initContainerStatuses"]


def test_after_a_boot_a_pod_is_pending_again_and_remembers_how_its_init_containers_ended():
    stale = [ran("a", **OLD), ran("b", **OLD), container("main", state="unknown", of=TWO, **OLD)]
    tree = status(TWO, settled(*stale))
    assert (tree["phase"], states(tree)["a"], states(tree)["main"]) == ("Pending", "PodInitializing", "PodInitializing")
    assert tree["initContainerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 0
    assert condition(tree, "Initialized")["status"] == "False"


def test_counting_goes_on_from_the_reported_status_of_an_init_container():
    told = {"name": "a", "restartCount": 4, "containerID": "podman://x", "image": "", "imageID": "", "ready": False}
    known = msgspec.convert(told, ContainerStatus)
    of = msgspec.structs.replace(TWO, status=msgspec.structs.replace(TWO.status, init_container_statuses=(known,)))
    assert decide(of, settled(images=every_image("a"))) == [act.CreateContainer("a", 5)]
