import dataclasses

import pytest

from netplugin import routes
from netplugin.protocol import NetworkConfig, NetworkFailure, NodeRoute
from netplugin.routes import Peer, Route, Underlay

CONFIG = NetworkConfig("n1", "192.0.2.1", "10.244.0.0/16", "10.96.0.0/16", "cluster.local", "/s", "/r")
UNDERLAY = Underlay("eth0", "192.0.2.0/24", 1500)
OWN = NodeRoute("n1", "192.0.2.1", "10.244.1.0/24")
NEAR = NodeRoute("n2", "192.0.2.2", "10.244.2.0/24")
FAR = NodeRoute("n3", "198.51.100.3", "10.244.3.0/24")
SERVICES = Route("10.96.0.0/16", link="lo", source="192.0.2.1")


def plan(*nodes, mode="auto"):
    return routes.plan(nodes, dataclasses.replace(CONFIG, mode=mode), UNDERLAY)


def test_the_own_range_is_unreachable_where_no_pod_is():
    paths = plan(OWN)
    assert paths.routes == {SERVICES, Route("10.244.1.0/24", "unreachable")}
    assert (paths.own_range, paths.vxlan, paths.direct) == ("10.244.1.0/24", None, frozenset())


def test_a_node_on_our_link_gets_a_route_and_any_other_goes_through_vxlan():
    paths = plan(OWN, NEAR, FAR)
    assert Route("10.244.2.0/24", link="eth0", gateway="192.0.2.2") in paths.routes
    assert Route("10.244.3.0/24", link="tim-vxlan", gateway="10.244.3.0", onlink=True) in paths.routes
    assert paths.peers == {Peer("10.244.3.0", routes.vxlan_mac("n3"), "198.51.100.3")}
    assert paths.direct == {"192.0.2.2"}
    assert paths.vxlan is not None
    assert (paths.vxlan.address, paths.vxlan.local, paths.vxlan.mtu_bytes) == ("10.244.1.0", "192.0.2.1", 1450)
    assert paths.vxlan.mac == routes.vxlan_mac("n1")


def test_mode_vxlan_sends_everything_through_it():
    paths = plan(OWN, NEAR, mode="vxlan")
    assert paths.direct == frozenset()
    assert {peer.outer for peer in paths.peers} == {"192.0.2.2"}


def test_mode_routes_leaves_far_nodes_to_the_fabric():
    paths = plan(OWN, NEAR, FAR, mode="routes")
    assert {route.destination for route in paths.routes} == {"10.96.0.0/16", "10.244.1.0/24", "10.244.2.0/24"}
    assert (paths.vxlan, paths.direct) == (None, {"192.0.2.2", "198.51.100.3"})


def test_a_mac_that_a_node_reports_wins_over_the_derived_one():
    far = dataclasses.replace(FAR, mac="02:00:00:00:00:09")
    assert {peer.mac for peer in plan(OWN, far).peers} == {"02:00:00:00:00:09"}


def test_nodes_without_a_range_are_left_out_and_of_two_with_the_same_the_first_by_name_wins():
    other = dataclasses.replace(NEAR, name="n9", address="192.0.2.9")
    bare = NodeRoute("n4", "192.0.2.4", "")
    assert plan(other, OWN, NEAR, bare) == plan(NEAR, OWN)


def test_before_the_own_range_is_known_there_is_no_vxlan():
    paths = plan(NEAR, FAR)
    assert (paths.vxlan, paths.peers, paths.own_range) == (None, frozenset(), "")
    assert {route.destination for route in paths.routes} == {"10.96.0.0/16", "10.244.2.0/24"}


def test_pods_leave_room_for_vxlan_unless_there_never_will_be_any():
    assert routes.pod_mtu_bytes(CONFIG, UNDERLAY) == 1450
    assert routes.pod_mtu_bytes(dataclasses.replace(CONFIG, mode="routes"), UNDERLAY) == 1500


def test_derived_macs_are_local_unicast_and_differ():
    macs = {routes.vxlan_mac(f"n{number}") for number in range(100)}
    assert len(macs) == 100
    assert all(mac.startswith("02:") for mac in macs)


def test_link_names_fit_the_kernel_even_with_the_longest_prefix():
    config = dataclasses.replace(CONFIG, link_prefix="tim9")
    assert len(routes.pod_link_name(config, "0f1e")) == 15
    assert len(routes.vxlan_name(config)) <= 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pod_range": "10.0.0.0/8"}, "overlap"),
        ({"node_ip": "here"}, "here"),
        ({"link_prefix": "toolong"}, "link prefix"),
        ({"link_prefix": ""}, "link prefix"),
        ({"link_prefix": "a b"}, "link prefix"),
        ({"mode": "magic"}, "mode 'magic'"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_by_field(change, message):
    with pytest.raises(NetworkFailure, match=message):
        routes.check(dataclasses.replace(CONFIG, **change))
