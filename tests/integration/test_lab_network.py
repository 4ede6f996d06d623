"""The lab's wires against the kernel, in namespaces of their own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from lab import network
from lab.layout import Lab, LabProblem

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab(f"t{uuid.uuid4().hex[:8]}", 7, 1, 1)
    network.run(["ip", "netns", "add", made.switch])
    network.run(["ip", "-n", made.switch, "link", "add", "name", "br0", "type", "bridge"])
    network.run(["ip", "-n", made.switch, "link", "set", "br0", "up"])
    try:
        yield made
    finally:
        for name in (made.switch, *(host.namespace for host in made.hosts)):
            network.run(["ip", "netns", "del", name], check=False)


def test_a_host_can_be_plugged_in_again_while_its_old_namespace_is_still_held(lab: Lab):
    host = lab.host("n1")
    network.plug_host(lab, host)
    held = os.open(f"/run/netns/{host.namespace}", os.O_RDONLY)
    try:
        network.unplug_host(host)
        network.plug_host(lab, host)
    finally:
        os.close(held)
    assert f"inet {host.address}/" in network.run(["ip", "-n", host.namespace, "-oneline", "addr"])


def test_a_host_that_is_plugged_in_again_answers_neighbours_that_remember_its_old_card(lab: Lab):
    first, second = Lab(lab.name, 7, 0, 2).hosts
    for host in (first, second):
        network.plug_host(lab, host)
    try:
        # Several: a card that was plugged in just now may lose the first. Neighbours remember for more than 15 s.
        ping = ["ip", "netns", "exec", first.namespace, "busybox", "ping", "-c3", "-W5", second.address]
        network.run(ping)
        network.unplug_host(second)
        network.plug_host(lab, second)
        network.run(ping)
    finally:
        network.unplug_host(second)


def test_removing_a_lab_leaves_one_alone_whose_name_only_begins_alike(lab: Lab, tmp_path):
    other = Lab(f"{lab.name}-b", 7, 0, 1)
    network.run(["ip", "netns", "add", other.switch])
    try:
        network.remove(lab.name, lab.table, "tlnone", tmp_path)
        left = network.run(["ip", "netns", "list"])
        assert other.switch in left
        assert lab.switch not in left
    finally:
        network.run(["ip", "netns", "del", other.switch], check=False)


def test_forwarding_is_as_before_once_the_last_lab_is_gone_in_whatever_order(tmp_path, monkeypatch):
    forward = tmp_path / "forward"
    monkeypatch.setattr(network, "FORWARD", forward)
    for order in (("a", "b"), ("b", "a")):
        for name, found in (("a", "0\n"), ("b", "1\n")):  # b came second
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / network.RECORD).write_text(found)
        forward.write_text("1\n")
        for name, expected in zip(order, ("1\n", "0\n"), strict=True):
            network.remove(f"none-{name}", "timonier_lab_none", "tlnone", tmp_path / name)
            assert forward.read_text() == expected


def test_a_failed_command_is_told_with_its_reason(lab: Lab):
    with pytest.raises(LabProblem, match="File exists"):
        network.run(["ip", "-n", lab.switch, "-batch", "-"], stdin="link add name br0 type bridge\n")
