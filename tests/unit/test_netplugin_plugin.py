"""The shell around the data plane, on a kernel in memory; DNS on a loopback address of its own."""

import asyncio
import random
import threading

import pytest

from component.env import system_env
from netplugin.plugin import Plugin
from netplugin.protocol import NetworkConfig, NetworkFailure, NetworkInputs, NodeRoute
from tests.fake_kernel import FakeKernel
from tests.waiting import DEADLINE_SECONDS

pytestmark = pytest.mark.root  # binds port 53

INPUTS = NetworkInputs(1, (NodeRoute("n1", "192.0.2.1", "10.244.1.0/24"),), (), ())


class GatedKernel(FakeKernel):
    """Deleting links waits for the gate."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def delete_link(self, name):
        assert self.gate.wait(5)
        super().delete_link(name)


def config(tmp_path, **more):
    address = "127." + ".".join(str(random.randint(1, 254)) for _ in range(3))
    return NetworkConfig(
        "n1",
        "192.0.2.1",
        "10.244.0.0/16",
        "10.96.0.0/16",
        "cluster.local",
        str(tmp_path / "state"),
        str(tmp_path / "run"),
        **{"dns_address": address, **more},
    )


@pytest.fixture
def kernel():
    return GatedKernel()


@pytest.fixture
async def plugin(tmp_path, kernel):
    made = Plugin(config(tmp_path), system_env(), open_kernel=lambda: kernel)
    yield made
    kernel.gate.set()
    await made.close()


async def test_nothing_works_before_start_and_says_so(plugin):
    for call in (plugin.sync(INPUTS), plugin.attach("a", "default", "a", "/x"), plugin.attached(), plugin.detach("a")):
        with pytest.raises(NetworkFailure, match="was not started"):
            await call


async def test_a_failed_start_leaves_nothing_open_and_may_be_repeated(plugin, kernel):
    kernel.fail_next("set_route")
    with pytest.raises(NetworkFailure):
        await plugin.start()
    assert kernel.calls[-1][0] == "close"
    await plugin.start()
    await plugin.sync(INPUTS)


async def test_a_dns_address_that_is_taken_is_named(tmp_path, plugin, kernel):
    await plugin.start()
    other = Plugin(plugin._config, system_env(), open_kernel=FakeKernel)
    with pytest.raises(NetworkFailure, match=r"could not answer DNS on 127\..*:53: .*stop what listens there"):
        await other.start()


async def test_new_pods_do_not_wait_for_pods_that_leave(plugin, kernel):
    await plugin.start()
    await plugin.sync(INPUTS)
    await plugin.attach("a", "default", "a", "/run/netns/a")
    loop = asyncio.get_running_loop()
    kernel.pod_link_whole = lambda link: True  # no link to make, so nothing to delete before
    kernel.set_route = lambda route: None
    kernel.gate.clear()
    leaving = loop.create_task(plugin.detach("a"))
    await asyncio.sleep(0)
    await asyncio.wait_for(plugin.attach("b", "default", "b", "/run/netns/b"), DEADLINE_SECONDS)
    assert not leaving.done()
    kernel.gate.set()
    await leaving


async def test_an_attach_waits_for_the_detach_of_the_same_pod_even_if_its_caller_gave_up(plugin, kernel):
    await plugin.start()
    await plugin.sync(INPUTS)
    first = await plugin.attach("a", "default", "a", "/run/netns/a")
    kernel.gate.clear()
    leaving = asyncio.create_task(plugin.detach("a"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    coming = asyncio.create_task(plugin.attach("a", "default", "a", "/run/netns/a2"))
    await asyncio.sleep(0)
    assert not coming.done()
    kernel.gate.set()
    second = await asyncio.wait_for(coming, DEADLINE_SECONDS)
    assert second.ip != first.ip
    assert dict(await plugin.attached()) == {"a": second}


async def test_detaching_twice_at_once_is_one_piece_of_work(plugin, kernel):
    await plugin.start()
    await plugin.sync(INPUTS)
    await plugin.attach("a", "default", "a", "/run/netns/a")
    kernel.calls.clear()
    await asyncio.gather(plugin.detach("a"), plugin.detach("a"))
    assert [method for method, _ in kernel.calls].count("delete_link") == 1


async def test_a_failed_detach_is_told_and_may_be_repeated(plugin, kernel):
    await plugin.start()
    await plugin.sync(INPUTS)
    await plugin.attach("a", "default", "a", "/run/netns/a")
    kernel.fail_next("delete_link")
    with pytest.raises(NetworkFailure):
        await plugin.detach("a")
    await plugin.detach("a")
    assert dict(await plugin.attached()) == {}


async def test_a_configuration_that_cannot_work_is_refused_at_start(tmp_path, kernel):
    plugin = Plugin(config(tmp_path, mode="magic"), system_env(), open_kernel=lambda: kernel)
    with pytest.raises(NetworkFailure, match="mode 'magic'"):
        await plugin.start()


async def test_a_namespace_that_is_not_there_is_named(tmp_path, kernel):
    plugin = Plugin(config(tmp_path), system_env(), "/run/netns/nowhere", lambda: kernel)
    with pytest.raises(NetworkFailure, match="could not enter the network namespace /run/netns/nowhere"):
        await plugin.start()
