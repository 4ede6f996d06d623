"""A node's life: start, names, repair, adoption, neighbours, and leaving without a trace."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

import pytest

from netplugin import dns
from netplugin.protocol import DnsRecord, NetworkFailure, NetworkInputs, NodeRoute, ServicePort
from tests.netns_fixture import Asking, Net, Space, ask, fabric, service
from tests.waiting import DEADLINE_SECONDS

pytestmark = [pytest.mark.root, pytest.mark.slow]
DNS = "169.254.20.10"


@pytest.fixture
def space_fabric():
    with fabric() as made:
        yield made


@pytest.fixture
async def net(space_fabric, tmp_path):
    """Two nodes with a router between them."""
    made = Net(space_fabric, tmp_path, (0, 1))
    try:
        await made.start()
        yield made
    finally:
        await made.close()


@pytest.fixture
async def lone(space_fabric, tmp_path):
    made = Net(space_fabric, tmp_path, (0,))
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def until(condition: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.02)


def packed(name: str, kind: int, *, edns: bool = False) -> bytes:
    additional = b"\0" + struct.pack("!HHIH", dns.OPT, 1232, 0, 0) if edns else b""
    header = struct.pack("!6H", 0x1234, 0x100, 1, 0, 0, 1 if edns else 0)
    return header + dns.to_wire(name) + struct.pack("!HH", kind, 1) + additional


def query(name: str, kind: int = dns.A, *, tcp: bool = False, timeout_seconds: float = DEADLINE_SECONDS) -> bytes:
    """Ask from the calling thread's namespace and return the response."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as client:
        client.settimeout(timeout_seconds)
        client.connect((DNS, 53))
        message = packed(name, kind)
        client.sendall(struct.pack("!H", len(message)) + message if tcp else message)
        response = client.recv(4096)
        while tcp and len(response) < 2 + struct.unpack("!H", response[:2])[0]:
            response += client.recv(4096)
        return response[2:] if tcp else response


def code(response: bytes) -> int:
    return response[3] & 0xF


def count(response: bytes) -> int:
    return int.from_bytes(response[6:8], "big")


async def resolve(space: Space, name: str, kind: int = dns.A, *, tcp: bool = False) -> bytes:
    return await asyncio.to_thread(space.inside, lambda: query(name, kind, tcp=tcp))


@pytest.fixture
def upstream(space_fabric):
    """A nameserver outside that knows one name."""
    outside = space_fabric.host(7)
    listener = outside.inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    listener.bind((outside.address, 53))

    def answer() -> None:
        while True:
            packet, client = listener.recvfrom(4096)
            if not packet:
                return
            question = dns.parse(packet)
            value = dns.record(dns.QUESTION_NAME, dns.A, socket.inet_aton("203.0.113.9"))
            listener.sendto(dns.respond(question, dns.NO_ERROR, 1, value), client)

    thread = threading.Thread(target=answer)
    thread.start()
    yield outside

    def stop() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"", (outside.address, 53))

    outside.inside(stop)
    thread.join()
    listener.close()


async def test_pods_and_hosts_resolve_services_over_udp_and_tcp(lone):
    pod = await lone.pod(0, "a")
    await lone.sync(
        [service("10.96.0.10", [pod], port_name="http")],
        [DnsRecord("web.default.svc.cluster.local", ("10.96.0.10",))],
    )
    for space in (pod, lone.hosts[0]):
        for tcp in (False, True):
            response = await resolve(space, "web.default.svc.cluster.local", tcp=tcp)
            assert (code(response), count(response)) == (dns.NO_ERROR, 1)
            assert response.endswith(socket.inet_aton("10.96.0.10"))
    assert count(await resolve(pod, "web.default.svc.cluster.local", dns.AAAA)) == 0
    assert code(await resolve(pod, "nobody.default.svc.cluster.local")) == dns.NO_SUCH_NAME
    assert b"\x03web" in await resolve(pod, "10.0.96.10.in-addr.arpa", dns.PTR)
    assert count(await resolve(pod, "_http._tcp.web.default.svc.cluster.local", dns.SRV)) == 1


async def test_names_of_ours_are_a_failure_not_absent_before_the_first_sync(space_fabric, tmp_path):
    net = Net(space_fabric, tmp_path, (0,))
    try:
        await net.plugins[0].start()
        assert code(await resolve(net.hosts[0], "web.default.svc.cluster.local")) == dns.SERVER_FAILURE
    finally:
        await net.close()


async def test_other_names_are_asked_of_the_upstream(space_fabric, tmp_path, upstream):
    (tmp_path / "resolv.conf").write_text(f"nameserver {upstream.address}\n")
    net = Net(space_fabric, tmp_path, (0,))
    try:
        await net.start()
        pod = await net.pod(0, "a")
        response = await resolve(pod, "example.org")
        assert response.endswith(socket.inet_aton("203.0.113.9"))
        assert response[:2] == b"\x12\x34"
    finally:
        await net.close()


async def test_the_next_upstream_answers_when_the_first_is_silent_and_so_it_goes_over_tcp(
    space_fabric, tmp_path, upstream
):
    (tmp_path / "resolv.conf").write_text(f"nameserver 172.30.7.99\nnameserver {upstream.address}\n")
    net = Net(space_fabric, tmp_path, (0,))
    try:
        await net.start()
        assert (await resolve(net.hosts[0], "example.org")).endswith(socket.inet_aton("203.0.113.9"))
        assert code(await resolve(net.hosts[0], "example.org", tcp=True)) == dns.SERVER_FAILURE, "it speaks no TCP"
    finally:
        await net.close()


async def test_it_works_in_the_namespace_of_its_own_process(lone, tmp_path):
    host, pod = lone.hosts[0], lone.fabric.pod()
    await lone.plugins[0].reset()
    before = host.snapshot()
    script = f"""
import asyncio
from component.env import system_env
from netplugin.plugin import Plugin
from netplugin.protocol import DnsRecord, Endpoint, NetworkConfig, NetworkInputs, NodeRoute, ServicePort
from tests.integration.test_netplugin_node import query
from tests.netns_fixture import ask

async def main():
    plugin = Plugin({lone.config(0)!r}, system_env())
    await plugin.start()
    nodes = {lone.nodes!r}
    await plugin.sync(NetworkInputs(1, nodes, (), ()))
    pod = await plugin.attach("a", "default", "a", {pod.path!r})
    endpoints = (Endpoint(pod.ip, 8080, True, True, False),)
    web = ServicePort("default", "web", "", "10.96.0.10", "tcp", 80, endpoints)
    await plugin.sync(NetworkInputs(2, nodes, (web,), (DnsRecord("web.cluster.local", ("10.96.0.10",)),)))
    print(await asyncio.to_thread(ask, "10.96.0.10", 80))
    print((await asyncio.to_thread(query, "web.cluster.local"))[-1])
    await plugin.reset()

asyncio.run(main())
"""
    lone.fabric.serve(pod, "a", [8080])
    output = await asyncio.to_thread(host.run, sys.executable, "-c", script)
    assert f"a {host.address}\n10\n" in output
    assert host.snapshot() == before


async def test_an_upstream_that_is_ourselves_is_a_problem_with_a_remedy(space_fabric, tmp_path):
    (tmp_path / "resolv.conf").write_text(f"nameserver {DNS}\n")
    net = Net(space_fabric, tmp_path, (0,))
    try:
        await net.start()
        assert "a loop" in net.plugins[0].problems()[0]
        assert code(await resolve(net.hosts[0], "example.org")) == dns.SERVER_FAILURE
    finally:
        await net.close()


async def test_reset_leaves_the_host_as_it_was(space_fabric, tmp_path):
    net = Net(space_fabric, tmp_path, (0, 1))
    before = [host.snapshot() for host in net.hosts]
    try:
        await net.start()
        pods = [await net.pod(0, "a"), await net.pod(1, "b")]
        await net.sync([service("10.96.0.10", pods, affinity_seconds=60)])
        assert [host.snapshot() for host in net.hosts] != before
        for plugin in net.plugins:
            await plugin.reset()
        assert [host.snapshot() for host in net.hosts] == before
    finally:
        await net.close()


async def test_reset_works_without_start_after_a_crash(space_fabric, tmp_path):
    net = Net(space_fabric, tmp_path, (0,))
    before = net.hosts[0].snapshot()
    try:
        await net.start()
        await net.pod(0, "a")
        await net.plugins[0].close()
        await net.plugin(0).reset()
        assert net.hosts[0].snapshot() == before
    finally:
        await net.close()


async def test_foreign_links_routes_and_tables_survive_reset(space_fabric, tmp_path):
    net = Net(space_fabric, tmp_path, (0,))
    host = net.hosts[0]
    host.run("ip", "link", "add", "timber", "type", "veth", "peer", "name", "other")
    host.run("ip", "route", "add", "blackhole", "192.0.2.0/24")
    host.nft("table ip mine {\n chain c {\n accept\n }\n}\n")
    before = host.snapshot()
    try:
        await net.start()
        await net.plugins[0].reset()
        assert host.snapshot() == before
    finally:
        await net.close()


async def test_a_restarted_agent_adopts_everything_and_no_connection_fails(lone):
    pods = [await lone.pod(0, f"p{number}") for number in range(3)]
    client = await lone.pod(0, "client")
    web = service("10.96.0.10", pods)
    sticky = service("10.96.0.20", pods, affinity_seconds=600)
    await lone.sync([web, sticky])
    first = await asyncio.to_thread(client.inside, lambda: ask("10.96.0.20", 80))
    rules = lone.hosts[0].run("nft", "-s", "list", "table", "ip", "timonier")
    with Asking(client, "10.96.0.10", 80) as asking:
        for _ in range(3):
            seen = asking.count()
            await lone.plugins[0].close()
            lone.plugins[0] = lone.plugin(0)
            await lone.plugins[0].start()
            await lone.sync()
            await until(lambda seen=seen: asking.count() > seen + 200)
    assert {answer.split()[0] for answer in asking.answers} == {"p0", "p1", "p2"}, asking.answers
    attached = await lone.plugins[0].attached()
    assert {uid: pod.ip for uid, pod in attached.items()} == {
        "client": client.address,
        **{f"p{number}": pod.address for number, pod in enumerate(pods)},
    }
    assert attached["p0"].netns_path == pods[0].path
    again = [await asyncio.to_thread(client.inside, lambda: ask("10.96.0.20", 80)) for _ in range(10)]
    assert set(again) == {first}, "affinity survives"

    def without_clients(text: str) -> list[str]:
        return [line for line in text.splitlines() if "expires" not in line]

    assert without_clients(lone.hosts[0].run("nft", "-s", "list", "table", "ip", "timonier")) == without_clients(rules)


async def test_a_table_of_another_version_is_replaced_at_the_first_sync_and_no_connection_fails(lone):
    pods = [await lone.pod(0, f"p{number}") for number in range(2)]
    client = await lone.pod(0, "client")
    await lone.sync([service("10.96.0.10", pods)])
    host = lone.hosts[0]
    chain = next(line.split()[1] for line in host.run("nft", "list", "chains").splitlines() if "version-" in line)
    with Asking(client, "10.96.0.10", 80) as asking:
        await lone.plugins[0].close()
        host.nft(f"delete chain ip timonier {chain}\nadd chain ip timonier version-old\n")
        lone.plugins[0] = lone.plugin(0)
        await lone.plugins[0].start()
        await until(lambda: asking.count() > 200)
        assert "version-old" in host.run("nft", "list", "chains")
        await lone.sync()
        assert "version-old" not in host.run("nft", "list", "chains")
        seen = asking.count()
        await until(lambda: asking.count() > seen + 200)
    assert {answer.split()[0] for answer in asking.answers} == {"p0", "p1"}, asking.answers


async def test_what_others_delete_comes_back(net):
    pods = [await net.pod(0, "a"), await net.pod(1, "b")]
    client = await net.pod(0, "client")
    await net.sync([service("10.96.0.10", pods)], [DnsRecord("web.default.svc.cluster.local", ("10.96.0.10",))])
    host = net.hosts[0]

    def reaches_all() -> bool:
        answers = {client.inside(lambda: ask("10.96.0.10", 80, timeout_seconds=0.3)) for _ in range(12)}
        return {answer.split()[0] for answer in answers} == {"a", "b"}

    def resolves() -> bool:
        try:
            return count(client.inside(lambda: query("web.default.svc.cluster.local", timeout_seconds=0.3))) == 1
        except OSError:
            return False

    for damage in (
        lambda: host.run("nft", "flush", "ruleset"),
        lambda: host.run("nft", "flush", "table", "ip", "timonier"),
        lambda: host.run("ip", "route", "flush", "proto", "84"),
        lambda: host.run("ip", "link", "del", "tim-vxlan"),
        lambda: host.run("ip", "addr", "flush", "dev", "lo"),
        lambda: (
            host.run("ip", "link", "set", "eth0", "down"),
            host.run("ip", "link", "set", "eth0", "up"),
            host.run("ip", "route", "replace", "default", "via", "172.30.0.254"),
        ),
    ):
        damage()
        await until(reaches_all)
        await until(resolves)


async def test_routes_follow_nodes_that_join_and_leave(net):
    here, there = await net.pod(0, "here"), await net.pod(1, "there")
    both = net.nodes
    net.nodes = both[:1]
    await net.sync()
    assert "10.244.1.0/24" not in net.hosts[0].run("ip", "route")
    assert "tim-vxlan" not in net.hosts[0].run("ip", "-br", "link")
    net.nodes = both
    await net.sync()
    assert (await asyncio.to_thread(here.inside, lambda: ask(there.address, 8080))).startswith("there")
    # The node came back with another address and range.
    net.nodes = (both[0], NodeRoute(both[1].name, "172.30.1.77", "10.244.9.0/24"))
    await net.plugins[0].sync(_inputs(net))
    routes = net.hosts[0].run("ip", "route")
    assert "10.244.9.0/24 via 10.244.9.0" in routes
    assert "10.244.1.0/24" not in routes
    assert "172.30.1.77" in net.hosts[0].run("bridge", "fdb", "show", "dev", "tim-vxlan")
    assert both[1].address not in net.hosts[0].run("bridge", "fdb", "show", "dev", "tim-vxlan")


def _inputs(net: Net):
    return NetworkInputs(net.revision, net.nodes, net.services, net.records)


async def test_attach_is_idempotent_and_finishes_what_was_interrupted(lone):
    pod = lone.fabric.pod()
    plugin, host = lone.plugins[0], lone.hosts[0]
    first = await plugin.attach("uid", "default", "web", pod.path)
    assert await plugin.attach("uid", "default", "web", pod.path) == first
    host.run("ip", "route", "del", f"{first.ip}/32")
    pod.run("ip", "route", "del", "default")
    assert await plugin.attach("uid", "default", "web", pod.path) == first
    lone.fabric.serve(pod, "uid", [8080])
    assert await asyncio.to_thread(host.inside, lambda: ask(first.ip, 8080)) == f"uid {host.address}"
    # The sandbox was made again: same pod, another namespace.
    other = lone.fabric.pod()
    second = await plugin.attach("uid", "default", "web", other.path)
    assert (second.ip, second.netns_path) == (first.ip, other.path)
    assert "eth0" not in pod.run("ip", "-br", "link")
    await plugin.detach("uid")
    await plugin.detach("uid")
    assert await plugin.attached() == {}
    assert first.ip not in host.run("ip", "route")
    third = await plugin.attach("uid2", "default", "web", other.path)
    assert third.ip != first.ip, "an address rests for a minute"


async def test_detach_forgets_connections_of_the_pod(lone):
    pod, client = await lone.pod(0, "a"), await lone.pod(0, "b")
    await lone.sync([service("10.96.0.10", [pod])])
    await asyncio.to_thread(client.inside, lambda: ask("10.96.0.10", 80))
    host = lone.hosts[0]
    assert pod.address in host.run("conntrack", "-L")
    await lone.plugins[0].detach("a")
    assert pod.address not in host.run("conntrack", "-L")


async def test_attach_says_what_is_wrong(lone, space_fabric, tmp_path):
    plugin = lone.plugins[0]
    with pytest.raises(NetworkFailure, match="nowhere"):
        await plugin.attach("uid", "default", "web", "/run/netns/nowhere")
    assert await plugin.attached() == {}
    (tmp_path / "second").mkdir()
    net = Net(space_fabric, tmp_path / "second", (0,))
    try:
        await net.plugins[0].start()
        with pytest.raises(NetworkFailure, match="has no pod range yet"):
            await net.plugins[0].attach("uid", "default", "web", lone.fabric.pod().path)
    finally:
        await net.close()


async def test_a_node_address_that_no_link_has_is_named(space_fabric, tmp_path):
    net = Net(space_fabric, tmp_path, (0,))
    net.hosts[0].address = "172.30.0.99"
    try:
        with pytest.raises(NetworkFailure, match=r"no link of this node has the address 172\.30\.0\.99"):
            await net.plugin(0).start()
    finally:
        await net.close()


DOCKER = """
table ip filter {
  chain DOCKER-USER { return; }
  chain FORWARD {
    type filter hook forward priority 0; policy drop;
    jump DOCKER-USER
  }
}
"""
REJECTING = """
table inet strict {
  chain passing {
    type filter hook forward priority 0; policy accept;
    ct state established accept
    reject with icmpx admin-prohibited
  }
}
"""


@pytest.mark.parametrize(
    ("rules", "chain", "remedy"),
    [(DOCKER, "FORWARD", "ip filter DOCKER-USER"), (REJECTING, "passing", "inet strict passing")],
)
async def test_a_foreign_drop_chain_is_named_until_it_lets_pods_through(lone, rules, chain, remedy):
    plugin, host = lone.plugins[0], lone.hosts[0]
    assert list(plugin.problems()) == []
    host.nft(rules)
    await until(lambda: len(plugin.problems()) == 1)
    assert f"chain {chain} of nftables table" in plugin.problems()[0]
    for field in ("saddr", "daddr"):
        host.nft(f"insert rule {remedy} ip {field} 10.244.0.0/16 accept\n")
    await until(lambda: list(plugin.problems()) == [])


async def test_a_large_answer_is_truncated_over_udp_and_whole_over_tcp(lone):
    pod = await lone.pod(0, "a")
    addresses = tuple(f"10.244.3.{number}" for number in range(200))
    await lone.sync([], [DnsRecord("db.default.svc.cluster.local", addresses)])
    response = await resolve(pod, "db.default.svc.cluster.local")
    assert response[2] & 2
    assert count(response) == 0
    assert count(await resolve(pod, "db.default.svc.cluster.local", tcp=True)) == 200


async def test_vips_of_bad_inputs_are_left_out_and_the_rest_works(lone):
    pod = await lone.pod(0, "a")
    bad = [
        ServicePort("default", "x", "", "None", "tcp", 80, ()),
        service("8.8.8.8", [pod], name="elsewhere"),
        service("10.96.0.12", [pod], protocol="sctp", name="sctp"),
        service("10.96.0.13; flush ruleset", [pod], name="evil"),
    ]
    await lone.sync([*bad, service("10.96.0.10", [pod])])
    assert (await asyncio.to_thread(pod.inside, lambda: ask("10.96.0.10", 80))).startswith("a ")
