import dataclasses
import json
import random

import pytest

from component.env import Env
from netplugin import routes
from netplugin.dataplane import Dataplane
from netplugin.kernel.protocol import Connections
from netplugin.protocol import Endpoint, NetworkConfig, NetworkFailure, NetworkInputs, NodeRoute, ServicePort
from netplugin.routes import Route
from tests.fake_kernel import FakeKernel

OWN = NodeRoute("n1", "192.0.2.1", "10.244.1.0/24")
NEAR = NodeRoute("n2", "192.0.2.2", "10.244.2.0/24")
FAR = NodeRoute("n3", "198.51.100.3", "10.244.3.0/24")


class Bench:
    """A data plane on a fake kernel; `restart` makes another one on the same kernel and folders."""

    def __init__(self, folder):
        self.now = 1000.0
        self.kernel = FakeKernel()
        self.config = NetworkConfig(
            "n1", "192.0.2.1", "10.244.0.0/16", "10.96.0.0/16", "c.l", str(folder / "state"), str(folder / "run")
        )
        self.restart()

    def restart(self):
        env = Env(lambda: self.now, lambda: self.now, random.Random(1), lambda: "uid")
        self.plane = Dataplane(self.config, env, self.kernel)

    def sync(self, *services, nodes=(OWN, NEAR, FAR)):
        self.plane.sync(NetworkInputs(1, tuple(nodes), services, ()))

    def steps(self):
        return [f"{method} {what}".split("\n")[0] for method, what in self.kernel.calls]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def running(bench):
    bench.plane.start()
    bench.sync()
    bench.kernel.calls.clear()
    return bench


def port(*addresses, vip="10.96.0.1", protocol="tcp", affinity_seconds=0):
    endpoints = tuple(Endpoint(each, 8080, ready=True, serving=True, terminating=False) for each in addresses)
    return ServicePort("default", "web", "", vip, protocol, 80, endpoints, affinity_seconds)


def test_the_guard_stands_before_the_route_to_services(bench):
    bench.plane.start()
    steps = bench.steps()
    table = next(number for number, step in enumerate(steps) if step.startswith("run_nft"))
    assert table < steps.index("set_route 10.96.0.0/16")
    assert "guard_forward" in bench.kernel.nft.tables["timonier"]["chains"]


def test_old_sysctls_are_recorded_once_and_put_back_by_reset(bench):
    bench.plane.start()
    assert bench.kernel.sysctls["net/ipv4/ip_forward"] == "1"
    bench.restart()
    bench.plane.start()
    bench.plane.reset()
    assert bench.kernel.sysctls["net/ipv4/ip_forward"] == "0"


def test_ways_to_pods_come_before_their_vips_and_go_after_them(running):
    running.sync(port("10.244.9.2"), nodes=(OWN, NEAR, FAR, NodeRoute("n9", "192.0.2.9", "10.244.9.0/24")))
    steps = running.steps()
    assert steps.index("set_route 10.244.9.0/24") < next(n for n, s in enumerate(steps) if s.startswith("run_nft"))
    running.kernel.calls.clear()
    running.sync()
    steps = running.steps()
    assert next(n for n, s in enumerate(steps) if s.startswith("run_nft")) < steps.index("delete_route 10.244.9.0/24")


def test_a_sync_is_one_transaction_and_an_equal_one_is_none(running):
    services = [port("10.244.1.2", "10.244.2.2"), port("10.244.1.2", vip="10.96.0.2", affinity_seconds=60)]
    running.sync(*services)
    assert [step.split()[0] for step in running.steps()] == ["run_nft"]
    running.kernel.calls.clear()
    running.sync(*services)
    assert running.steps() == []


def test_a_table_that_is_not_what_we_think_is_written_whole(running):
    running.sync(port("10.244.1.2"))
    running.kernel.nft.run("delete element ip timonier services { 10.96.0.1 . tcp . 80 }\n")
    running.sync(port("10.244.1.2", "10.244.1.3"))
    assert running.kernel.nft.elements()["services"] == {"10.96.0.1 . tcp . 80": "jump pick-tcp-2"}


def test_a_sync_that_failed_in_the_middle_is_finished_by_the_next(running):
    running.kernel.fail_next("run_nft")
    running.kernel.fail_next("run_nft")
    services, nodes = [port("10.244.1.2")], (OWN, NodeRoute("n9", "192.0.2.9", "10.244.9.0/24"))
    with pytest.raises(NetworkFailure):
        running.sync(*services, nodes=nodes)
    running.sync(*services, nodes=nodes)
    assert "10.96.0.1 . tcp . 80" in running.kernel.nft.elements()["services"]
    assert {route.destination for route in running.kernel.routes()} == {
        "10.96.0.0/16",
        "10.244.1.0/24",
        "10.244.9.0/24",
    }


def test_udp_clients_are_cut_off_from_endpoints_that_left_and_tcp_clients_are_not(running):
    running.sync(port("10.244.1.2", "10.244.1.3", protocol="udp"), port("10.244.1.2", vip="10.96.0.2"))
    running.sync(port("10.244.1.3", protocol="udp"))
    assert running.kernel.forgotten == [Connections("udp", destination=("10.96.0.1", 80), backend=("10.244.1.2", 8080))]


def test_tcp_clients_that_wait_for_an_endpoint_that_left_are_freed_unless_it_came_back(running):
    running.sync(port("10.244.1.2", "10.244.1.3", "10.244.1.4"))
    running.sync(port("10.244.1.4"))
    left = running.plane.take_left()
    assert running.plane.take_left() == frozenset()
    running.sync(port("10.244.1.3", "10.244.1.4"))
    running.plane.forget_unanswered(left)
    assert running.kernel.forgotten == [
        Connections("tcp", destination=("10.96.0.1", 80), backends=frozenset({("10.244.1.2", 8080)}), unanswered=True)
    ]


def test_clients_forget_an_endpoint_that_left_a_service_with_affinity(running):
    running.sync(port("10.244.1.2", "10.244.1.3", affinity_seconds=60))
    running.kernel.nft.run(
        "add element ip timonier affinity { 10.244.1.9 . 10.96.0.1 . tcp . 80 : 10.244.1.2 . 8080,"
        " 10.244.1.8 . 10.96.0.1 . tcp . 80 : 10.244.1.3 . 8080 }\n"
    )
    running.sync(port("10.244.1.3", affinity_seconds=60))
    assert list(running.kernel.nft.elements()["affinity"]) == ["10.244.1.8 . 10.96.0.1 . tcp . 80"]
    running.restart()
    running.kernel.nft.run("add element ip timonier affinity { 10.244.1.7 . 10.96.0.9 . tcp . 80 : 10.244.1.3 . 1 }\n")
    running.plane.start()
    assert list(running.kernel.nft.elements()["affinity"]) == ["10.244.1.8 . 10.96.0.1 . tcp . 80"]


def test_a_table_of_another_version_stands_until_the_first_sync_and_keeps_its_slots(running):
    running.sync(port("10.244.1.9", "10.244.1.3"))
    slots = dict(running.kernel.nft.elements()["tcp_endpoints"])
    running.config = dataclasses.replace(running.config, pod_range="10.240.0.0/12")
    running.restart()
    running.plane.start()
    assert not [step for step in running.steps() if "delete table" in step]
    assert running.kernel.nft.elements()["tcp_endpoints"] == slots
    running.kernel.calls.clear()
    running.sync(port("10.244.1.3", "10.244.1.9"))
    assert [method for method, _ in running.kernel.calls].count("run_nft") == 1
    assert running.kernel.nft.elements()["tcp_endpoints"] == slots
    assert "10.240.0.0/12" in running.kernel.nft.tables["timonier"]["chains"]["postrouting"]


def test_foreign_firewalls_are_found_at_start_and_when_rules_change(bench):
    place = {"family": "ip", "table": "filter", "name": "FORWARD"}
    chain = {**place, "hook": "forward", "policy": "drop"}
    listing = json.dumps({"nftables": [{"table": {"family": "ip", "name": "filter"}}, {"chain": chain}]})
    bench.kernel.foreign = {"list chains": listing, "list table ip filter": listing}
    bench.plane.start()
    assert len(bench.plane.problems()) == 1
    bench.kernel.foreign = {}
    bench.plane.repair_rules()
    assert len(bench.plane.problems()) == 1, "no rule changed"
    bench.kernel.nft.run("add table ip other\n")
    bench.plane.repair_rules()
    assert bench.plane.problems() == []


def test_what_others_change_during_our_transaction_is_looked_at_too(running):
    running.kernel.nft.run("add table ip other\n")
    running.sync(port("10.244.1.2"))
    running.kernel.foreign = {"list chains": None}
    looked = []
    running.kernel.list_legacy = lambda: looked.append("legacy")
    running.plane.repair_rules()
    assert looked == ["legacy"]
    running.plane.repair_rules()
    assert looked == ["legacy"]


def test_repair_before_the_first_sync_keeps_the_way_to_services(bench):
    bench.plane.start()
    bench.kernel.table.clear()
    bench.plane.repair()
    assert set(bench.kernel.table) == {"10.96.0.0/16"}


def test_pods_wait_for_the_range_of_their_node(bench):
    bench.plane.start()
    with pytest.raises(NetworkFailure, match="node n1 has no pod range yet"):
        bench.plane.attach("a", "/run/netns/a")


def test_a_released_address_rests(running):
    for uid in ("a", "b"):
        assert running.plane.attach(uid, f"/run/netns/{uid}").ip == f"10.244.1.{2 + 'ab'.index(uid)}"
        running.plane.cut_off(uid)
        running.plane.release(uid)
    running.plane.release("nobody")


def test_a_peer_that_moved_is_replaced(running):
    running.sync(nodes=(OWN, NEAR, dataclasses.replace(FAR, address="198.51.100.77")))
    assert {peer.outer for peer in running.kernel.entries} == {"198.51.100.77"}


def test_the_vxlan_device_goes_when_nobody_needs_it(running):
    assert running.kernel.device is not None
    running.sync(nodes=(OWN, NEAR))
    assert running.kernel.device is None


def test_a_pod_gets_a_link_a_route_and_loose_filtering(running):
    link = routes.pod_link_name(running.config, "a")
    running.kernel.sysctls |= {f"net/ipv4/conf/{link}/rp_filter": "1", f"net/ipv6/conf/{link}/disable_ipv6": "0"}
    pod = running.plane.attach("a", "/run/netns/a")
    assert pod.ip == "10.244.1.2"
    assert Route("10.244.1.2/32", link=link) in running.kernel.routes()
    assert running.kernel.links[link].mtu_bytes == 1450
    assert running.kernel.sysctls[f"net/ipv4/conf/{link}/rp_filter"] == "2"


def test_a_failed_attach_leaves_no_link_and_succeeds_when_repeated(running):
    running.kernel.fail_next("add_pod_link")
    with pytest.raises(NetworkFailure):
        running.plane.attach("a", "/run/netns/a")
    assert running.kernel.links == {}
    assert running.plane.attach("a", "/run/netns/a").ip == "10.244.1.2"


def test_detach_cuts_connections_and_an_interrupted_one_is_finished_later(running):
    running.plane.attach("a", "/run/netns/a")
    running.kernel.fail_next("delete_link")
    with pytest.raises(NetworkFailure):
        running.plane.cut_off("a")
    running.plane.cut_off("a")
    assert running.plane.attached() == {}
    assert running.kernel.forgotten == [Connections(client="10.244.1.2"), Connections(backend=("10.244.1.2", 0))]


def test_a_restart_finds_pods_addresses_and_slots_again(running):
    running.sync(port("10.244.1.9", "10.244.1.3"))
    running.sync(port("10.244.1.3", "10.244.1.9", "10.244.1.2"))
    pods = [running.plane.attach(uid, f"/run/netns/{uid}") for uid in "ab"]
    before = dict(running.kernel.nft.elements())
    running.restart()
    running.plane.start()
    running.kernel.calls.clear()
    running.sync(port("10.244.1.3", "10.244.1.9", "10.244.1.2"))
    assert running.steps() == []
    assert running.kernel.nft.elements() == before
    assert running.plane.attached() == {pod.pod_uid: pod for pod in pods}
    assert running.plane.attach("c", "/run/netns/c").ip == "10.244.1.4"


def test_after_a_boot_addresses_of_pods_that_are_gone_rest_before_they_are_used(running):
    running.plane.attach("a", "/run/netns/a")
    running.kernel = running.kernel.__class__()
    running.restart()
    running.plane.start()
    running.sync()
    assert running.plane.attach("b", "/run/netns/b").ip == "10.244.1.3"


def test_a_damaged_address_file_is_replaced_by_what_the_kernel_has(running, tmp_path):
    running.plane.attach("a", "/run/netns/a")
    (tmp_path / "state" / "addresses.json").write_text("{")
    running.restart()
    running.plane.start()
    running.sync()
    assert running.plane.attached()["a"].ip == "10.244.1.2"
    assert running.plane.attach("b", "/run/netns/b").ip == "10.244.1.3"


def test_a_damaged_sysctl_record_is_told_and_not_fatal(bench, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "sysctls.json").write_text("{")
    bench.plane.start()
    assert json.loads((tmp_path / "state" / "sysctls.json").read_text()) == {"net/ipv4/ip_forward": "0"}


def test_repair_does_nothing_when_nothing_is_missing(running):
    running.sync(port("10.244.1.2"))
    running.plane.attach("a", "/run/netns/a")
    running.kernel.calls.clear()
    assert running.plane.repair() == []
    assert running.steps() == []


def test_repair_puts_everything_back(running):
    running.sync(port("10.244.1.2"))
    pod = running.plane.attach("a", "/run/netns/a")
    wanted = (running.kernel.routes(), dict(running.kernel.nft.elements()))
    running.kernel.nft.run("delete table ip timonier\n")
    running.kernel.table.clear()
    running.kernel.delete_link("tim-vxlan")
    running.kernel.addresses.clear()
    running.kernel.sysctls["net/ipv4/ip_forward"] = "0"
    repaired = running.plane.repair()
    assert {"net/ipv4/ip_forward", "table timonier", "link tim-vxlan", f"route {pod.ip}/32"} <= set(repaired)
    assert (running.kernel.routes(), running.kernel.nft.elements()) == wanted
    assert running.kernel.addresses == {"169.254.20.10"}
    assert running.plane.repair() == []


def test_routes_follow_the_node_address_to_another_network(running):
    running.kernel.network = "198.51.100.0/24"
    running.plane.repair()
    routes_now = {route.destination: route for route in running.kernel.routes()}
    assert routes_now["10.244.3.0/24"].gateway == "198.51.100.3"
    assert routes_now["10.244.2.0/24"].link == "tim-vxlan"


def test_a_foreign_change_of_rules_is_looked_at_once(running):
    running.kernel.nft.run("add table ip other\n")
    assert running.plane.repair() == []
    running.sync(port("10.244.1.2"))
    assert running.plane.repair() == []


def test_reset_removes_everything_of_ours_even_in_a_new_process(running):
    running.sync(port("10.244.1.2"))
    running.plane.attach("a", "/run/netns/a")
    running.kernel.nft.run("add table ip other\n")
    running.restart()
    running.plane.reset()
    kernel = running.kernel
    assert (kernel.links, kernel.table, kernel.device, kernel.addresses) == ({}, {}, None, set())
    assert list(kernel.nft.tables) == ["other"]


def test_sync_before_start_is_refused(bench):
    with pytest.raises(NetworkFailure, match="was not started"):
        bench.sync()


def test_a_kernel_without_forwarding_is_named(bench):
    bench.kernel.sysctls.clear()
    with pytest.raises(NetworkFailure, match="net/ipv4/ip_forward"):
        bench.plane.start()
