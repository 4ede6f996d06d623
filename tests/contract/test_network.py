"""What every `PodNetwork` promises, run against the fake and against the real one in a namespace."""

from __future__ import annotations

import ipaddress
import os

import pytest

from netplugin.protocol import NetworkFailure, NetworkInputs, NodeRoute
from tests.fake_network import FakeNetwork
from tests.netns_fixture import Net, fabric

RANGE = "10.244.0.0/24"


class Fake:
    def __init__(self):
        self.network = FakeNetwork(node_name="n1")
        self.nodes = (NodeRoute("n1", "192.0.2.1", RANGE), NodeRoute("n2", "192.0.2.2", "10.244.1.0/24"))
        self._count = 0

    def namespace(self) -> str:
        self._count += 1
        return f"/run/netns/fake-{self._count}"


class Real:
    def __init__(self, made, folder):
        self._net = Net(made, folder, (0,))
        self.network = self._net.plugins[0]
        self.nodes = (*self._net.nodes, NodeRoute("n2", "192.0.2.2", "10.244.1.0/24"))

    def namespace(self) -> str:
        return self._net.fabric.pod().path


@pytest.fixture(params=["fake", pytest.param("real", marks=[pytest.mark.root, pytest.mark.slow])])
async def subject(request, tmp_path):
    if request.param == "fake":
        yield Fake()
        return
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with fabric() as made:
        real = Real(made, tmp_path)
        try:
            yield real
        finally:
            await real.network.close()


def inputs(subject, revision: int = 1) -> NetworkInputs:
    return NetworkInputs(revision, subject.nodes, (), ())


async def started(subject):
    await subject.network.start()
    await subject.network.sync(inputs(subject))
    return subject.network


async def test_no_pod_is_attached_before_the_node_has_a_range(subject):
    await subject.network.start()
    with pytest.raises(NetworkFailure, match="no pod range"):
        await subject.network.attach("a", "default", "web", subject.namespace())


async def test_pods_get_different_addresses_of_the_nodes_range(subject):
    network = await started(subject)
    pods = [await network.attach(uid, "default", uid, subject.namespace()) for uid in "abc"]
    addresses = {ipaddress.ip_address(pod.ip) for pod in pods}
    assert len(addresses) == 3
    assert all(address in ipaddress.ip_network(RANGE) for address in addresses)
    assert min(addresses) == ipaddress.ip_address("10.244.0.2")


async def test_attach_gives_the_same_answer_when_repeated(subject):
    network = await started(subject)
    path = subject.namespace()
    first = await network.attach("a", "default", "web", path)
    assert (first.pod_uid, first.netns_path) == ("a", path)
    assert await network.attach("a", "default", "web", path) == first


async def test_a_pod_keeps_its_address_in_a_new_namespace(subject):
    network = await started(subject)
    first = await network.attach("a", "default", "web", subject.namespace())
    path = subject.namespace()
    again = await network.attach("a", "default", "web", path)
    assert (again.ip, again.netns_path) == (first.ip, path)
    assert await network.attached() == {"a": again}


async def test_attached_tells_what_is_there(subject):
    network = await started(subject)
    assert dict(await network.attached()) == {}
    pods = {uid: await network.attach(uid, "default", uid, subject.namespace()) for uid in "ab"}
    assert dict(await network.attached()) == pods
    await network.detach("a")
    assert dict(await network.attached()) == {"b": pods["b"]}


async def test_detach_of_an_unknown_pod_is_fine_and_so_is_doing_it_twice(subject):
    network = await started(subject)
    await network.detach("nobody")
    await network.attach("a", "default", "web", subject.namespace())
    await network.detach("a")
    await network.detach("a")
    assert dict(await network.attached()) == {}


async def test_start_and_sync_may_be_repeated(subject):
    network = await started(subject)
    pod = await network.attach("a", "default", "web", subject.namespace())
    await network.start()
    await network.sync(inputs(subject))
    await network.sync(inputs(subject, 2))
    assert dict(await network.attached()) == {"a": pod}


async def test_pods_are_told_to_ask_the_node_with_their_namespace_first(subject):
    lines = subject.network.dns_config("shop").splitlines()
    assert lines == [
        "nameserver 169.254.20.10",
        "search shop.svc.cluster.local svc.cluster.local cluster.local",
        "options ndots:5",
    ]


async def test_nothing_is_wrong_on_a_clean_node(subject):
    network = await started(subject)
    assert list(network.problems()) == []


async def test_close_may_be_repeated_and_needs_no_start(subject):
    await subject.network.close()
    await subject.network.start()
    await subject.network.close()
    await subject.network.close()


async def test_after_reset_a_start_begins_with_nothing(subject):
    network = await started(subject)
    await network.attach("a", "default", "web", subject.namespace())
    await network.reset()
    await network.start()
    assert dict(await network.attached()) == {}
