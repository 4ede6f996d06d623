"""One example per rule of `pod_actions`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent import actions as act
from agent.backoff import Backoff
from agent.desired import Desired, spec_hash
from agent.observed import Failure, Observed, Stop, Verdict
from agent.pod_sync import pod_actions
from agent.runtime.protocol import Image
from tests.agent_pods import NOW, container, pod, settled

IMAGE = Image("id", ("localhost/busybox:1",), 1)
PRE_STOP = {"lifecycle": {"preStop": {"exec": {"command": ["bye"]}}}}


def assigned(of):
    return Desired("uid-web", of)


def decide(of, observed, now=NOW):
    return pod_actions(assigned(of), observed, now)


def hooked_pod(**facts):
    return pod(containers=[{"name": "main", "image": "localhost/busybox:1", **PRE_STOP}], **facts)


def test_a_new_pod_pulls_its_images_while_the_sandbox_is_made():
    assert decide(pod("a", "b"), Observed()) == [act.PullImage("a"), act.PullImage("b"), act.MakeSandbox()]


def test_the_surroundings_are_made_one_after_the_other():
    step = Observed(pulling=frozenset({"main"}), sandbox=settled().sandbox, network_ready=True)
    assert decide(pod(), step) == [act.AttachNetwork()]
    assert decide(pod(), replace(step, attached=True)) == [act.MakeVolumes()]


def test_a_pod_is_attached_once_the_network_of_its_assignment_is_there():
    step = Observed(pulling=frozenset({"main"}), sandbox=settled().sandbox)
    assert decide(pod(), step) == []


def test_a_pod_on_the_hosts_network_is_not_attached():
    step = Observed(pulling=frozenset({"main"}), sandbox=settled().sandbox)
    assert decide(pod(hostNetwork=True), step) == [act.MakeVolumes()]


def test_a_container_is_created_once_its_image_is_here():
    assert decide(pod(), settled()) == [act.PullImage("main")]
    assert decide(pod(), settled(pulling=frozenset({"main"}))) == []
    assert decide(pod(), settled(images={"main": IMAGE})) == [act.CreateContainer("main", 0)]


def test_a_created_container_starts_only_when_the_network_of_its_assignment_is_there():
    created = settled(container(state="created"))
    assert decide(pod(), created) == [act.StartContainer("main-0")]
    assert decide(pod(), replace(created, network_ready=False)) == []


def test_the_next_container_waits_for_the_post_start_hook_of_the_one_before():
    hook = {"lifecycle": {"postStart": {"exec": {"command": ["hello"]}}}}
    of = pod(containers=[{"name": "a", "image": "localhost/busybox:1", **hook}, {"name": "b", "image": "x"}])
    images = {"a": IMAGE, "b": IMAGE}
    assert decide(of, settled(images={"b": IMAGE}, pulling=frozenset({"a"}))) == []
    assert decide(of, settled(images=images)) == [act.CreateContainer("a", 0)]
    assert decide(of, settled(container("a", state="created", of=of), images=images)) == [act.StartContainer("a-0")]
    started = settled(container("a", of=of), images=images, starting=frozenset({"a-0"}))
    assert decide(of, started) == []
    assert decide(of, replace(started, starting=frozenset())) == [act.CreateContainer("b", 0)]


def test_a_running_container_is_left_alone():
    assert decide(pod(), settled(container())) == []


def test_a_failure_of_one_container_does_not_hold_up_another():
    failed = {"image:a": Failure("ErrImagePull", "no", 10, NOW + 10)}
    observed = settled(images={"b": IMAGE}, failures=failed)
    assert decide(pod("a", "b"), observed) == [act.CreateContainer("b", 0), act.Wait(NOW + 10)]


def test_a_failed_step_waits_for_its_time_and_is_tried_again():
    failed = Observed(pulling=frozenset({"main"}), failures={"sandbox": Failure("x", "y", 1, NOW + 1)})
    assert decide(pod(), failed) == [act.Wait(NOW + 1)]
    assert decide(pod(), failed, NOW + 1) == [act.MakeSandbox()]


@pytest.mark.parametrize(
    ("policy", "code", "restarted"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_restart_policies(policy, code, restarted):
    observed = settled(container(state="exited", code=code), images={"main": IMAGE})
    found = decide(pod(restartPolicy=policy), observed)
    assert (found == [act.CreateContainer("main", 1)]) is restarted


def test_a_container_whose_end_nobody_saw_counts_as_failed():
    observed = settled(container(state="unknown"), images={"main": IMAGE})
    assert decide(pod(restartPolicy="OnFailure"), observed) == [act.CreateContainer("main", 1)]
    assert act.CreateContainer("main", 1) not in decide(pod(restartPolicy="Never"), observed)


def test_a_restart_waits_for_its_back_off_and_pulls_only_then():
    observed = settled(container(state="exited", code=1), restarts={"main": Backoff(20, NOW - 100)})
    assert decide(pod(), observed) == [act.Wait(NOW + 20)]
    assert decide(pod(), observed, NOW + 20) == [act.PullImage("main")]


def test_counting_goes_on_from_the_reported_status_when_nothing_is_left_here():
    status = {"name": "main", "restartCount": 4, "containerID": "podman://x", "image": "", "imageID": "", "ready": True}
    of = pod()
    of = type(of)(
        metadata=of.metadata,
        spec=of.spec,
        status=type(of.status)(container_statuses=(_status(status),)),
    )
    assert decide(of, settled(images={"main": IMAGE})) == [act.CreateContainer("main", 5)]


def _status(tree):
    import msgspec  # noqa: PLC0415

    from api.core import ContainerStatus  # noqa: PLC0415

    return msgspec.convert(tree, ContainerStatus)


def test_only_the_last_two_attempts_are_kept():
    tries = [container(attempt=n, state="exited", code=1) for n in range(3)] + [container(attempt=3)]
    assert decide(pod(), settled(*tries)) == [act.RemoveContainer("main-0"), act.RemoveContainer("main-1")]


def test_another_image_ends_the_container_and_starts_the_new_one():
    of = pod(containers=[{"name": "main", "image": "localhost/other:2"}])
    observed = settled(container())
    (begin,) = decide(of, observed)
    assert begin == act.BeginStop("main-0", "SpecChanged", "Container main definition changed, will be restarted", 30)
    stopping = replace(observed, stops={"main-0": Stop("SpecChanged", "", NOW, 30)})
    assert decide(of, stopping) == [act.SignalTerm("main-0")]
    ended = settled(container(state="exited", code=143), images={"main": IMAGE}, restarts={"main": Backoff(300, NOW)})
    assert decide(of, ended) == [act.CreateContainer("main", 1)], "a change is not a crash: no back-off"


def test_a_container_that_is_no_longer_in_the_pod_is_ended_and_removed():
    stray = container("stray")
    assert decide(pod(), settled(container(), stray))[0].container_id == "stray-0"
    gone = container("stray", state="exited")
    assert decide(pod(), settled(container(), gone)) == [act.RemoveContainer("stray-0")]


def test_lost_namespaces_restart_the_containers_in_new_ones():
    lost = replace(settled(container()), sandbox=None, sandbox_lost=True)
    (begin,) = decide(pod(), lost)
    assert begin.reason == "SandboxChanged"
    assert act.MakeSandbox() not in decide(pod(), lost)
    assert act.MakeSandbox() in decide(pod(), replace(lost, containers=(container(state="exited", code=143),)))


def test_containers_that_run_in_namespaces_of_before_are_restarted():
    (begin,) = decide(pod(), settled(container(sandbox_id="older")))
    assert begin.reason == "SandboxChanged"


def test_after_a_restart_of_the_agent_running_containers_are_kept_while_everything_is_checked():
    assert decide(pod(), Observed(containers=(container(),))) == [act.MakeSandbox()]


def test_live_volumes_are_refreshed_without_touching_containers():
    assert decide(pod(), settled(container(), volumes_stale=True)) == [act.RefreshVolumes()]


# Ending a pod.


def test_termination_asks_first():
    observed = settled(container(), termination_time=NOW)
    assert decide(pod(deleted=True), observed) == [act.SignalTerm("main-0")]


def test_after_the_question_the_grace_runs_and_then_the_container_is_killed():
    asked = settled(container(), termination_time=NOW, signalled={"main-0": NOW})
    of = pod(deleted=True, grace=30)
    assert decide(of, asked, NOW + 1) == [act.Wait(NOW + 30)]
    assert decide(of, asked, NOW + 30) == [act.Kill("main-0")]


def test_a_kill_is_repeated_only_after_a_while():
    killed = settled(container(), termination_time=NOW, killed={"main-0": NOW})
    assert decide(pod(deleted=True), killed, NOW + 1) == [act.Wait(NOW + 2)]
    assert decide(pod(deleted=True), killed, NOW + 2) == [act.Kill("main-0")]


def test_no_grace_kills_at_once():
    observed = settled(container(), termination_time=NOW)
    assert decide(pod(deleted=True, grace=0), observed) == [act.Kill("main-0")]


def test_a_shortened_grace_ends_the_wait():
    asked = settled(container(), termination_time=NOW, signalled={"main-0": NOW})
    assert decide(pod(deleted=True, grace=5), asked, NOW + 5) == [act.Kill("main-0")]


def test_pre_stop_runs_before_the_question_and_within_the_grace():
    of = hooked_pod(deleted=True, grace=30)
    began = settled(container(), termination_time=NOW)
    assert decide(of, began) == [act.RunPreStop("main-0", 30), act.Wait(NOW + 30)]
    assert decide(of, replace(began, hooks={"main-0": "running"}), NOW + 5) == [act.Wait(NOW + 30)]
    assert decide(of, replace(began, hooks={"main-0": "done"}), NOW + 5) == [act.SignalTerm("main-0")]
    assert decide(of, replace(began, hooks={"main-0": "running"}), NOW + 30) == [act.SignalTerm("main-0")]


def test_a_hook_that_used_up_the_grace_leaves_two_seconds_to_end():
    of = hooked_pod(deleted=True, grace=30)
    late = settled(container(), termination_time=NOW, hooks={"main-0": "done"}, signalled={"main-0": NOW + 30})
    assert decide(of, late, NOW + 31) == [act.Wait(NOW + 32)]
    assert decide(of, late, NOW + 32) == [act.Kill("main-0")]


def test_containers_are_asked_only_after_services_stopped_sending():
    of = pod(deleted=True)
    serving = settled(container(), termination_time=NOW, serving=True)
    assert decide(of, serving) == [act.Wait(NOW + 2)]
    left = replace(serving, serving=False, left_service_time=NOW + 0.1)
    assert decide(of, left, NOW + 0.1) == [act.Wait(NOW + 0.35)]
    assert decide(of, left, NOW + 0.36) == [act.SignalTerm("main-0")]
    assert decide(of, serving, NOW + 2) == [act.SignalTerm("main-0")], "but not for ever"


def test_once_everything_ended_the_pod_is_taken_apart_and_reported_gone():
    of = pod(deleted=True)
    ended = settled(container(state="exited"), termination_time=NOW)
    assert decide(of, ended) == [act.RemoveContainer("main-0")]
    empty = replace(ended, containers=())
    assert decide(of, empty) == [act.Detach(), act.RemoveVolumes(), act.RemoveSandbox()]
    bare = replace(empty, network_present=False, volumes_present=False, sandbox_present=False)
    assert decide(of, bare) == [act.RemoveFiles()]
    assert decide(of, replace(bare, files_present=False)) == [act.ReportGone()]
    assert decide(of, replace(bare, files_present=False, gone_reported=True)) == []


def test_a_pod_that_is_not_assigned_ends_within_a_second():
    desired = Desired("uid-web", None)
    observed = settled(container(), termination_time=NOW)
    assert pod_actions(desired, observed, NOW) == [act.SignalTerm("main-0")]
    asked = replace(observed, signalled={"main-0": NOW})
    assert pod_actions(desired, asked, NOW + 1) == [act.Kill("main-0")]


def test_a_finished_pod_gives_back_everything_but_its_containers():
    of = pod(restartPolicy="Never")
    observed = settled(container(state="exited"), termination_time=NOW)
    assert decide(of, observed) == [act.Detach(), act.RemoveVolumes(), act.RemoveSandbox()]


def test_a_pod_the_control_plane_calls_failed_is_ended_but_not_removed():
    of = pod(phase="Failed")
    found = decide(of, settled(container(), termination_time=NOW))
    assert found == [act.SignalTerm("main-0")]


def test_a_pod_the_node_gave_up_is_ended():
    observed = settled(container(), verdict=Verdict("Evicted", "no room"), termination_time=NOW)
    assert decide(pod(), observed) == [act.SignalTerm("main-0")]
    asked = replace(observed, signalled={"main-0": NOW})
    assert decide(pod(), asked, NOW + 30) == [act.Kill("main-0")]


def test_the_hash_of_a_container_depends_on_its_image_only():
    plain, other = pod(), pod(containers=[{"name": "main", "image": "localhost/other:2"}])
    labelled = pod(containers=[{"name": "main", "image": "localhost/busybox:1", "env": [{"name": "A", "value": "b"}]}])
    assert spec_hash(plain.spec.containers[0]) == spec_hash(labelled.spec.containers[0])
    assert spec_hash(plain.spec.containers[0]) != spec_hash(other.spec.containers[0])
