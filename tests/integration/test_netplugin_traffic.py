"""Traffic through the real kernel: pods, hosts and VIPs in namespaces."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter

import pytest

from netplugin.protocol import Endpoint, ServicePort
from tests.netns_fixture import Asking, Net, Space, ask, ask_often, fabric, service
from tests.waiting import DEADLINE_SECONDS, eventually

IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2  # not in Python's socket module

REPEATED_SECONDS = 1.0  # the first repetition of a SYN that nobody answered
UDP_CLIENTS = 40  # each draws its endpoint: of 8, all draw the same one once in 128 times

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def space_fabric():
    with fabric() as made:
        yield made


@pytest.fixture(params=["routes", "vxlan"])
async def net(request, space_fabric, tmp_path):
    """Two nodes: on one link, or with a router between them."""
    segments = (0, 0) if request.param == "routes" else (0, 1)
    made = Net(space_fabric, tmp_path, segments)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


@pytest.fixture
async def lone(space_fabric, tmp_path):
    """One node."""
    made = Net(space_fabric, tmp_path, (0,))
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def asked(space: Space, address: str, port: int, times: int = 1, *, udp: bool = False) -> Counter[str]:
    return await asyncio.to_thread(ask_often, space, address, port, times, udp=udp)


async def test_pods_reach_pods_with_their_own_addresses(net):
    here, beside, there = await net.pod(0, "here"), await net.pod(0, "beside"), await net.pod(1, "there")
    assert await asked(here, beside.address, 8080) == {f"beside {here.address}": 1}
    assert await asked(here, there.address, 8080) == {f"there {here.address}": 1}
    assert await asked(there, here.address, 8080) == {f"here {there.address}": 1}


async def test_hosts_reach_pods_of_every_node_and_pods_their_host(net):
    here, there = await net.pod(0, "here"), await net.pod(1, "there")
    assert sum((await asked(net.hosts[0], here.address, 8080)).values()) == 1
    answers = await asked(net.hosts[0], there.address, 8080)
    assert [answer.split()[0] for answer in answers] == ["there"]
    net.fabric.serve(net.hosts[0], "host", [9000])
    assert await asked(here, net.hosts[0].address, 9000) == {f"host {here.address}": 1}


async def test_pods_reach_other_nodes_addresses(net):
    here = await net.pod(0, "here")
    net.fabric.serve(net.hosts[1], "node", [9000])
    answers = await asked(here, net.hosts[1].address, 9000)
    assert [answer.split()[0] for answer in answers] == ["node"]


async def test_full_size_packets_reach_pods_of_other_nodes(net):
    here, there = await net.pod(0, "here"), await net.pod(1, "there", udp=[8053])

    def send() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(3)
            client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            client.connect((there.address, 8053))
            # 1450 bytes of MTU less the headers of IP and UDP; nothing on the way may need fragments.
            client.send(bytes(1450 - 28))
            return client.recv(100).decode()

    assert await asyncio.to_thread(here.inside, send) == f"there {here.address}"


async def test_vips_spread_over_all_endpoints_wherever_the_client_is(net):
    pods = [await net.pod(0, "a"), await net.pod(0, "b"), await net.pod(1, "c")]
    client = await net.pod(1, "client")
    await net.sync([service("10.96.0.10", pods)])
    for space in (*pods, client, *net.hosts):
        answers = await asked(space, "10.96.0.10", 80, 60)
        assert {answer.split()[0] for answer in answers} == {"a", "b", "c"}, space.name


async def test_vips_keep_the_clients_address_and_a_pod_reaches_itself(net):
    pod, client = await net.pod(0, "a"), await net.pod(1, "client")
    await net.sync([service("10.96.0.10", [pod])])
    assert await asked(client, "10.96.0.10", 80, 3) == {f"a {client.address}": 3}
    assert await asked(pod, "10.96.0.10", 80, 3) == {f"a {net.hosts[0].address}": 3}


async def test_udp_vips_and_several_ports_of_one_vip(net):
    first = await net.pod(0, "a", tcp=[8080, 8081], udp=[8053])
    second = await net.pod(1, "b", tcp=[8080, 8081], udp=[8053])
    pods = [first, second]
    await net.sync(
        [
            service("10.96.0.10", pods),
            service("10.96.0.10", [first], port=81, target=8081),
            service("10.96.0.10", pods, port=53, target=8053, protocol="udp"),
        ]
    )
    for client in (first, second, *net.hosts):
        assert {each.split()[0] for each in await asked(client, "10.96.0.10", 53, 40, udp=True)} == {"a", "b"}
        assert {each.split()[0] for each in await asked(client, "10.96.0.10", 81, 5)} == {"a"}


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_affinity_keeps_each_client_at_one_endpoint_until_it_leaves(net, protocol):
    udp = protocol == "udp"
    pods = [await net.pod(number % 2, f"p{number}", tcp=[8080], udp=[8080]) for number in range(4)]
    await net.sync([service("10.96.0.20", pods, affinity_seconds=600, protocol=protocol)])
    chosen = {}
    for client in (*pods, *net.hosts):
        answers = {each.split()[0] for each in await asked(client, "10.96.0.20", 80, 25, udp=udp)}
        assert len(answers) == 1
        chosen[client.name] = answers.pop()
    assert "Error" not in "".join(chosen.values())
    gone = chosen[net.hosts[0].name]
    rest = [pod for number, pod in enumerate(pods) if f"p{number}" != gone]
    await net.sync([service("10.96.0.20", rest, affinity_seconds=600, protocol=protocol)])
    for client in (*pods, *net.hosts):
        answers = {each.split()[0] for each in await asked(client, "10.96.0.20", 80, 25, udp=udp)}
        assert len(answers) == 1
        if chosen[client.name] == gone:
            assert answers != {gone}
        else:
            assert answers == {chosen[client.name]}


async def test_affinity_spreads_clients(lone):
    pods = [await lone.pod(0, f"p{number}") for number in range(2)]
    clients = [await lone.pod(0, f"c{number}") for number in range(12)]
    vips = [f"10.96.0.{number}" for number in range(20, 24)]
    await lone.sync([service(vip, pods, affinity_seconds=600, name=f"web-{vip}") for vip in vips])
    found = []
    for vip in vips:
        answers = Counter()
        for client in clients:
            answers += await asked(client, vip, 80, 2)
        found.append({answer.split()[0] for answer in answers})
    # Each client draws: once in 2,000 times all of one address draw the same, and hardly ever so at every address.
    assert {"p0", "p1"} in found
    assert all(each <= {"p0", "p1"} for each in found)


async def test_vips_without_endpoints_and_unknown_ones_are_refused_at_once_and_leave_nothing(lone):
    pod = await lone.pod(0, "a")
    nobody = ServicePort("default", "nobody", "", "10.96.0.30", "tcp", 80, ())
    await lone.sync([nobody, service("10.96.0.10", [pod])])
    started = time.monotonic()
    for client in (pod, lone.hosts[0]):
        assert await asked(client, "10.96.0.30", 80) == {"ConnectionRefusedError": 1}
        assert await asked(client, "10.96.0.99", 80) == {"ConnectionRefusedError": 1}
        assert await asked(client, "10.96.0.10", 81) == {"ConnectionRefusedError": 1}
    assert await asked(pod, "10.96.0.99", 53, udp=True) == {"ConnectionRefusedError": 1}
    assert await asked(lone.hosts[0], "10.96.0.99", 53, udp=True) == {"PermissionError": 1}
    assert time.monotonic() - started < 8 * REPEATED_SECONDS
    for vip in ("10.96.0.30", "10.96.0.99"):
        assert lone.hosts[0].run("conntrack", "-L", "-d", vip) == ""
    # The next moment the service has an endpoint: the refusal must not be remembered.
    await lone.sync([service("10.96.0.30", [pod])])
    assert await asked(lone.hosts[0], "10.96.0.30", 80) == {f"a {lone.hosts[0].address}": 1}


async def test_terminating_endpoints_serve_only_while_nobody_is_ready(lone):
    old, new = await lone.pod(0, "old"), await lone.pod(0, "new")

    def port(new_ready: bool) -> ServicePort:
        endpoints = (
            Endpoint(old.address, 8080, ready=False, serving=True, terminating=True),
            Endpoint(new.address, 8080, ready=new_ready, serving=new_ready, terminating=False),
        )
        return ServicePort("default", "web", "", "10.96.0.10", "tcp", 80, endpoints)

    await lone.sync([port(new_ready=False)])
    assert {each.split()[0] for each in await asked(old, "10.96.0.10", 80, 5)} == {"old"}
    await lone.sync([port(new_ready=True)])
    assert {each.split()[0] for each in await asked(old, "10.96.0.10", 80, 5)} == {"new"}


async def test_traffic_to_the_outside_is_masqueraded(net):
    pod = await net.pod(0, "a")
    outside = net.fabric.host(7)
    net.fabric.serve(outside, "outside", [8080], [8053])
    host = net.hosts[0].address
    assert await asked(pod, outside.address, 8080, 2) == {f"outside {host}": 2}
    assert await asked(pod, outside.address, 8053, 2, udp=True) == {f"outside {host}": 2}


async def test_a_vip_works_from_outside_through_any_node(net):
    pod = await net.pod(1, "a")
    await net.sync([service("10.96.0.10", [pod])])
    outside = net.fabric.host(7)
    for host in net.hosts:
        net.fabric.switch.run("ip", "route", "replace", "10.96.0.0/16", "via", host.address)
        answers = await asked(outside, "10.96.0.10", 80, 3)
        assert {answer.split()[0] for answer in answers} == {"a"}, host.name


async def test_pods_without_a_pod_behind_their_address_are_refused_at_once(net):
    here = await net.pod(0, "here")
    for address in ("10.244.0.200", "10.244.1.200"):
        pauses = []
        for _ in range(2):  # a shared machine may stand still once
            started = time.monotonic()
            assert "Error" in next(iter(await asked(here, address, 80)))
            pauses.append(time.monotonic() - started)
        assert min(pauses) < 1.5 * REPEATED_SECONDS


async def test_toggling_endpoints_under_new_connections_fails_none(lone):
    pods = [await lone.pod(0, f"p{number}") for number in range(3)]
    client = await lone.pod(0, "client")
    three, two = service("10.96.0.10", pods), service("10.96.0.10", pods[1:])
    await lone.sync([three])
    with Asking(client, "10.96.0.10", 80) as asking:
        toggles = 0
        deadline = time.monotonic() + 4 * DEADLINE_SECONDS
        while (asking.count() < 3000 or toggles < 300) and time.monotonic() < deadline:
            await lone.sync([two if toggles % 2 == 0 else three])
            toggles += 1
    answers = asking.answers
    assert {answer.split()[0] for answer in answers} == {"p0", "p1", "p2"}, answers
    assert sum(answers.values()) >= 2000
    assert toggles >= 300


async def test_a_connection_that_waits_for_a_silent_endpoint_reaches_another_once_that_left(lone):
    silent, alive = [await lone.pod(0, f"p{number}") for number in range(2)]
    client = await lone.pod(0, "client")
    silent.run("ip", "route", "replace", "blackhole", "default")  # it hears and cannot answer
    await lone.sync([service("10.96.0.10", [silent])])
    waiting = asyncio.create_task(asyncio.to_thread(client.inside, lambda: ask("10.96.0.10", 80, timeout_seconds=40)))
    await eventually(lambda: "[UNREPLIED]" in lone.hosts[0].run("conntrack", "-L", "-d", "10.96.0.10"))
    await lone.sync([service("10.96.0.10", [alive])])
    assert (await waiting).split()[0] == "p1"


async def test_udp_clients_leave_an_endpoint_that_is_removed(lone):
    pods = [await lone.pod(0, f"p{number}", udp=[8053]) for number in range(2)]
    client = await lone.pod(0, "client")

    def ports(chosen):
        return [service("10.96.0.10", chosen, port=53, target=8053, protocol="udp")]

    await lone.sync(ports(pods))

    def talk(number: int) -> str:
        connected = sockets[number]
        connected.send(b"?")
        return connected.recv(100).decode().split()[0]

    def open_one() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(3)
        made.connect(("10.96.0.10", 53))
        return made

    sockets = client.inside(lambda: [open_one() for _ in range(UDP_CLIENTS)])
    try:
        before = [talk(number) for number in range(UDP_CLIENTS)]
        assert set(before) == {"p0", "p1"}
        await lone.sync(ports(pods[1:]))
        assert [talk(number) for number in range(UDP_CLIENTS)] == ["p1"] * UDP_CLIENTS
    finally:
        for each in sockets:
            each.close()


async def test_a_thousand_services_sync_whole_and_step_by_step(lone):
    pods = [await lone.pod(0, f"p{number}") for number in range(3)]
    many = [service(f"10.96.{4 + number // 250}.{number % 250 + 1}", pods, name=f"s{number}") for number in range(1000)]
    await lone.sync(many)
    assert sum((await asked(pods[0], "10.96.7.250", 80, 5)).values()) == 5
    spent = []
    for number in range(20):
        started = time.process_time()
        await lone.sync([*many, service("10.96.0.10", pods[: 1 + number % 3])])
        spent.append(time.process_time() - started)
    assert sorted(spent)[10] < 0.25  # a busy machine lengthens some; what is slow is slow in most
    assert {each.split()[0] for each in await asked(lone.hosts[0], "10.96.0.10", 80, 40)} == {"p0", "p1"}
    await lone.sync([])
    assert "elements" not in lone.hosts[0].run("nft", "list", "map", "ip", "timonier", "tcp_endpoints")
