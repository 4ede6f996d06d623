"""The session against real gRPC servers: fail-over, broken chains, resent reports, stale and silent replicas."""

from __future__ import annotations

import asyncio
import time

import pytest

from api.v1 import node_pb2
from tests.agent_rig import ControlPlane, agent_rig, node_tree, pod_tree, resource

pytestmark = pytest.mark.slow


@pytest.fixture
async def rig(tmp_path):
    async with agent_rig(tmp_path) as made:
        yield made


async def test_registration_says_who_the_node_is(rig):
    register = rig.plane.registers[0]
    assert (register.node, register.boot_id, register.cluster_uid) == ("n1", "boot-1", "")
    assert '"kubernetes.io/hostname":"n1"' in register.node_labels
    assert '"InternalIP"' in register.node_status


async def test_heartbeats_come_every_second_and_carry_the_status_only_when_it_changed(rig):
    await rig.until(lambda: not rig.agent.problems())
    told = len(rig.plane.heartbeats)  # one of these or the next one says that all is well
    await rig.until(lambda: len(rig.plane.heartbeats) >= told + 3)
    assert rig.plane.heartbeats[-1].node_status == ""
    rig.network.found_problems.append("a foreign firewall drops pod traffic")
    await rig.until(lambda: "foreign firewall" in rig.plane.heartbeats[-1].node_status)


async def test_a_dead_replica_is_replaced_within_a_second(tmp_path):
    async with agent_rig(tmp_path, planes=5) as rig:
        rig.plane.put(pod_tree())
        await rig.until_ready()
        others, pauses = list(rig.planes), []
        for _ in range(4):  # a shared machine may stand still once; what is slow is slow each time
            dead = next(plane for plane in others if plane.sessions)
            others.remove(dead)
            began = time.monotonic()
            await dead.stop()
            await rig.until(lambda: any(plane.sessions for plane in others))
            pauses.append(time.monotonic() - began)
            assert next(plane for plane in others if plane.sessions).registers[0].cluster_uid == "cluster-1"
        assert min(pauses) < 1.0


async def test_a_replica_that_was_learnt_from_another_is_used(tmp_path):
    async with agent_rig(tmp_path) as rig:
        fresh = ControlPlane("r9")
        await fresh.start()
        try:
            rig.plane.endpoints = [fresh.address]
            rig.plane.hang_up()
            await rig.until(lambda: fresh.address in rig.agent.endpoints())
            await rig.plane.stop()
            await rig.until(lambda: fresh.registers)
        finally:
            await fresh.stop()


async def test_a_broken_chain_asks_for_everything_again(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    gap = node_pb2.Inputs(applies_to=rig.plane.revision + 5, results_in=rig.plane.revision + 6)
    rig.plane.send(node_pb2.ServerMessage(inputs=gap))
    await rig.until(lambda: len(rig.plane.registers) >= 2)
    rig.plane.put(pod_tree("second"))
    await rig.until_ready("second")
    assert len(rig.runtime.running("main")) == 2


async def test_a_silent_replica_is_given_up(tmp_path):
    async with agent_rig(tmp_path, planes=2) as rig:
        silent = rig.plane
        silent.answer_heartbeats = False
        await rig.until(lambda: any(plane.sessions for plane in rig.planes if plane is not silent))


async def test_a_replica_that_takes_nothing_is_given_up(tmp_path):
    """What is being written is cancelled then, and with it, by gRPC, what is being read."""
    async with agent_rig(tmp_path, planes=2) as rig:
        deaf = rig.plane
        deaf.listening.clear()
        for number in range(8):  # several fit between the two ends
            rig.network.found_problems[:] = [str(number) * (1 << 20)]
            rig.agent.status_changed.set()
            await asyncio.sleep(0.05)
        await rig.until(lambda: any(plane.sessions for plane in rig.planes if plane is not deaf))
        deaf.listening.set()


async def test_a_session_whose_channel_is_closed_is_followed_by_another(rig):
    """gRPC ends its calls as cancelled: taken for the agent's own end, that left a node without sessions for good."""
    await rig.channels[-1].close()
    await rig.until(lambda: len(rig.plane.registers) == 2)


async def test_an_older_session_epoch_is_refused(tmp_path):
    async with agent_rig(tmp_path, planes=2) as rig:
        first = rig.plane
        second = next(plane for plane in rig.planes if plane is not first)
        second.epoch = 5
        first.epoch = 500
        first.hang_up()
        await rig.until(lambda: second.registers or len(first.registers) >= 2)
        first.hang_up()
        await rig.until(lambda: second.registers and len(first.registers) >= 2)
        second.put(pod_tree("from-the-past"))
        first.put(pod_tree())
        await rig.until(lambda: rig.runtime.containers)
        assert {container.pod_uid for container in rig.runtime.containers.values()} == {"uid-web"}


async def test_a_report_that_was_not_stored_is_sent_again(rig):
    rig.plane.retry_reports = 2
    rig.plane.put(pod_tree())
    await rig.until_ready()
    await rig.until(lambda: rig.agent.metrics()["reports_unacknowledged"] == 0)


async def test_unanswered_reports_are_sent_again_in_the_next_session(rig):
    rig.plane.answer_reports = False
    rig.plane.put(pod_tree())
    await rig.until(lambda: rig.plane.reports)
    assert rig.agent.metrics()["reports_unacknowledged"] == 1
    rig.plane.answer_reports = True
    rig.plane.hang_up()
    await rig.until_ready()
    await rig.until(lambda: rig.agent.metrics()["reports_unacknowledged"] == 0)
    await rig.until(lambda: {event["reason"] for event in rig.plane.events} == {"Created", "Pulled", "Started"})


async def test_a_control_plane_that_lost_a_status_is_told_again(rig):
    rig.plane.put(pod_tree())
    await rig.until_ready()
    rig.plane.statuses.clear()
    rig.plane.objects["pods", "default", "web"] = resource(pod_tree(), rig.plane.revision)
    rig.plane.hang_up()
    await rig.until_ready()


async def test_many_changes_travel_in_few_reports(rig):
    rig.plane.put(*(pod_tree(f"p{number}") for number in range(20)))
    await rig.until_ready(*(f"p{number}" for number in range(20)))
    assert max(len(report.pods) for report in rig.plane.reports) > 1


async def test_inputs_of_unknown_kinds_are_passed_over(rig):
    tree = {**node_tree("other"), "kind": "Gadget"}
    from api.v1 import resource_pb2  # noqa: PLC0415

    strange = resource_pb2.Resource(api_version="v9", kind="Gadget", name="g", json=str(tree))
    message = node_pb2.Inputs(applies_to=rig.plane.revision, results_in=rig.plane.revision + 1, set=[strange])
    rig.plane.revision += 1
    rig.plane.send(node_pb2.ServerMessage(inputs=message))
    rig.plane.put(pod_tree())
    await rig.until_ready()
    assert len(rig.plane.registers) == 1
