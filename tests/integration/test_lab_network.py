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


def test_a_failed_command_is_told_with_its_reason(lab: Lab):
    with pytest.raises(LabProblem, match="File exists"):
        network.run(["ip", "-n", lab.switch, "-batch", "-"], stdin="link add name br0 type bridge\n")
