"""Whatever state a pod is found in: decisions converge, survive interruption, and the end is always clean."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import actions as act
from agent.desired import Desired
from agent.observed import Failure, Observed, Stop, running
from agent.pod_sync import pod_actions
from agent.progress import ending, finished, initialized
from api.pod_containers import sidecar_names
from tests.agent_pods import NOW, SANDBOX, container, converged, ending_names, performed, pod

pytestmark = pytest.mark.slow

NAMES = ("a", "b")
INITS = ((), ("i",), ("s",), ("i", "s"), ("s", "i", "t"))  # s and t are sidecars
BOOLEANS = st.booleans()
POLICIES = st.sampled_from(["Always", "OnFailure", "Never"])


@st.composite
def pods(draw, *, deleted=BOOLEANS):
    hooks = draw(st.booleans())
    containers = [
        {
            "name": name,
            "image": "localhost/busybox:1",
            **({"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}} if hooks else {}),
        }
        for name in draw(st.sampled_from([NAMES, NAMES[:1]]))
    ]
    inits = [
        {"name": name, "image": "localhost/busybox:1", **({"restartPolicy": "Always"} if name in "st" else {})}
        for name in draw(st.sampled_from(INITS))
    ]
    return pod(
        initContainers=inits,
        deleted=draw(deleted),
        grace=draw(st.sampled_from([0, 1, 30])),
        restartPolicy=draw(POLICIES),
        hostNetwork=draw(st.booleans()),
        containers=containers,
    )


@st.composite
def observations(draw, of):
    """Anything a crash, a boot or an older agent may have left."""
    found = []
    for name in (*NAMES, *(spec.name for spec in of.spec.init_containers), "stray"):
        states = draw(st.lists(st.sampled_from(["exited", "unknown"]), max_size=3))
        lasts = [[], ["created"], ["exited"]]  # an init container that runs ends by itself
        states += draw(st.sampled_from(lasts if name in ending_names(of) else [*lasts, ["running"]]))
        for attempt, state in enumerate(states):
            stale = draw(st.booleans()) and draw(st.booleans())
            extra = {"spec_hash": "older"} if stale else {}
            extra |= draw(st.sampled_from([{}, {}, {"sandbox_id": "older"}]))
            found.append(container(name, attempt, state, draw(st.sampled_from([0, 1])), of=of, **extra))
    sandbox = draw(st.booleans())
    volumes = draw(st.booleans())
    network = draw(st.booleans())
    stops = {c.id: Stop("Unhealthy", "", NOW - 5, 30.0) for c in found if draw(st.booleans())}
    failures = {key: Failure("Failed", "", 1.0, NOW + 1) for key in draw(st.sets(st.sampled_from(KEYS)))}
    return Observed(
        containers=tuple(found),
        sandbox=SANDBOX if sandbox else None,
        sandbox_present=sandbox or draw(st.booleans()),
        sandbox_lost=not sandbox and draw(st.booleans()),
        attached=network,
        network_present=network or draw(st.booleans()),
        network_ready=True,
        volumes_made=volumes,
        volumes_present=volumes or draw(st.booleans()),
        volumes_stale=draw(st.booleans()),
        files_present=draw(st.booleans()),
        stops=stops,
        failures=failures,
        serving=False,
    )


KEYS = ("sandbox", "network", "volumes", "remove", "refresh", "image:a", "create:a")


@given(st.data())
def test_an_assigned_pod_converges_to_running_or_finished(data):
    desired = Desired("uid-web", data.draw(pods(deleted=st.just(False))))
    observed, _, _ = converged(desired, data.draw(observations(desired.pod)))
    assert desired.pod is not None
    if finished(desired.pod, observed):
        assert not running(observed)
        assert not observed.sandbox_present
        assert not observed.network_present
        assert not observed.volumes_present
    else:
        latest = {c.name: c.state for c in sorted(observed.containers, key=lambda c: c.attempt)}
        wanted = [spec.name for spec in desired.pod.spec.containers]
        assert "stray" not in latest
        for name in wanted:
            ended_for_good = latest[name] in {"exited", "unknown"} and desired.pod.spec.restart_policy != "Always"
            assert latest[name] == "running" or ended_for_good
        assert all(latest[name] == "running" for name in sidecar_names(desired.pod.spec))


@given(st.data())
def test_no_main_container_begins_before_every_init_container_had_its_turn(data):
    desired = Desired("uid-web", data.draw(pods(deleted=st.just(False))))
    observed = data.draw(observations(desired.pod))
    main = {spec.name for spec in desired.pod.spec.containers}
    for _ in range(100):
        if ending(desired, observed):
            return
        found = pod_actions(desired, observed, NOW + 1_000)
        if not found or isinstance(found[0], act.Wait):
            return
        for action in found:
            if isinstance(action, act.CreateContainer) and action.container in main:
                assert initialized(desired.pod, observed)
        observed = performed(observed, found[0], NOW + 1_000, desired.pod)
    raise AssertionError("no end")


@given(st.data())
def test_at_most_one_attempt_of_a_container_runs_and_few_dead_ones_are_kept(data):
    desired = Desired("uid-web", data.draw(pods(deleted=st.just(False))))
    observed, _, _ = converged(desired, data.draw(observations(desired.pod)))
    for name in NAMES:
        tries = [c for c in observed.containers if c.name == name]
        assert sum(c.state == "running" for c in tries) <= 1
        if any(spec.name == name for spec in desired.pod.spec.containers) and not finished(desired.pod, observed):
            assert len(tries) <= 2


@given(st.data())
def test_termination_always_ends_with_one_report_and_nothing_left(data):
    gone = data.draw(st.booleans())
    assigned = data.draw(pods(deleted=st.just(True)))
    desired = Desired("uid-web", None if gone else assigned)
    observed, log, _ = converged(desired, data.draw(observations(assigned)))
    assert not observed.containers
    assert not any(
        (observed.sandbox_present, observed.network_present, observed.volumes_present, observed.files_present)
    )
    assert log[-1] == act.ReportGone()
    assert log.count(act.ReportGone()) == 1


@given(st.data())
def test_the_end_never_takes_longer_than_the_grace_and_what_hooks_may_add(data):
    assigned = data.draw(pods(deleted=st.just(True)))
    observed = replace(data.draw(observations(assigned)), failures={})
    _, _, ended = converged(Desired("uid-web", assigned), observed)
    assert assigned.metadata.deletion_grace_period_seconds is not None
    assert ended - NOW <= assigned.metadata.deletion_grace_period_seconds + 2


@given(st.data())
def test_whatever_part_of_the_actions_was_performed_the_next_pass_finishes(data):
    """A crash after any action loses what was only remembered, never what was done."""
    desired = Desired("uid-web", data.draw(pods()))
    observed = replace(data.draw(observations(desired.pod)), termination_time=NOW)
    for action in pod_actions(desired, observed, NOW)[: data.draw(st.integers(0, 6))]:
        if not isinstance(action, act.Wait):
            observed = performed(observed, action, NOW, desired.pod)
    forgotten = replace(
        observed,
        sandbox=None,
        attached=False,
        volumes_made=False,
        images={},
        failures={},
        restarts={},
        stops={},
        hooks={},
        signalled={},
        killed={},
        termination_time=0.0,
        gone_reported=False,
    )
    final, log, _ = converged(desired, forgotten)
    if desired.pod is not None and desired.pod.metadata.deletion_timestamp:
        assert log[-1] == act.ReportGone()
        assert not final.containers


@given(st.data())
def test_decisions_are_the_same_whatever_the_order_of_containers(data):
    desired = Desired("uid-web", data.draw(pods()))
    observed = replace(data.draw(observations(desired.pod)), termination_time=NOW)
    shuffled = replace(observed, containers=tuple(data.draw(st.permutations(observed.containers))))
    first, second = (pod_actions(desired, each, NOW) for each in (observed, shuffled))
    assert sorted(map(repr, first)) == sorted(map(repr, second))
