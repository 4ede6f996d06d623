"""Properties of the network's pure parts."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from netplugin import adoption, dns, ipam, routes, ruleset
from netplugin.protocol import DnsRecord, Endpoint, NetworkConfig, NetworkFailure, NodeRoute, ServicePort
from netplugin.vips import Backend, VipTable, assign_slots
from netplugin.zone import ZonePacker
from tests.fake_kernel import FakeNft

CONFIG = NetworkConfig("n1", "192.0.2.1", "10.244.0.0/16", "10.96.0.0/16", "cluster.local", "/s", "/r")
BACKENDS = st.lists(
    st.builds(Backend, st.sampled_from([f"10.244.1.{n}" for n in range(2, 10)]), st.just(80)), unique=True
)
ENDPOINTS = st.builds(
    Endpoint,
    st.sampled_from([f"10.244.{n % 2}.{n}" for n in range(2, 9)]),
    st.sampled_from([80, 8080]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
PORTS = st.builds(
    ServicePort,
    st.just("default"),
    st.sampled_from("abc"),
    st.just(""),
    st.sampled_from(["10.96.0.1", "10.96.0.2", "8.8.8.8"]),
    st.sampled_from(["tcp", "udp"]),
    st.sampled_from([53, 80]),
    st.lists(ENDPOINTS, max_size=5).map(tuple),
    st.sampled_from([0, 0, 60, 10800]),
)


@given(before=BACKENDS, chosen=BACKENDS)
def test_slots_hold_exactly_the_chosen_and_move_no_more_than_left(before, chosen):
    slots = assign_slots(before, chosen)
    assert sorted(slots) == sorted(chosen)
    left = len(set(before) - set(chosen))
    moved = [each for number, each in enumerate(before) if each in slots and slots.index(each) != number]
    assert len(moved) <= left
    assert assign_slots(slots, chosen) == slots


@given(st.lists(st.lists(PORTS, max_size=6), min_size=1, max_size=6))
def test_any_sequence_of_steps_ends_where_one_full_write_would(history):
    table, nft, rules = VipTable(CONFIG.service_range), FakeNft(), ruleset.Rules()
    nft.run(ruleset.full_text(CONFIG, "tim-vxlan", rules))
    for services in history:
        following = ruleset.build(table.update(services), own_range="10.244.1.0/24", direct=[], before=rules)
        step = ruleset.change_text(rules, following)
        if step:
            nft.run(step)
        rules = following
    whole = FakeNft()
    whole.run(ruleset.full_text(CONFIG, "tim-vxlan", rules))
    assert nft.elements() == whole.elements()
    names = adoption.chains(nft.list(adoption.LIST_CHAINS))
    found = adoption.read(names, {name: nft.list(command) for name, command in adoption.LISTS.items()})
    assert found.whole
    assert found.rules == rules


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans(), st.integers(0, 40)), max_size=60))
def test_no_address_is_shared_or_used_again_within_a_minute(steps):
    addresses, now, released = ipam.Addresses(), 0.0, {}
    for uid, give, seconds in steps:
        now += seconds
        if give:
            held = addresses.allocations.get(uid)
            with contextlib.suppress(NetworkFailure):
                address = addresses.allocate(uid, "", "10.244.1.0/29", now)
                if held is None:
                    assert now - released.get(address, float("-inf")) >= 60
                else:
                    assert address == held.address
        elif uid in addresses.allocations:
            released[addresses.allocations[uid].address] = now
            addresses.release(uid, now)
        used = [each.address for each in addresses.allocations.values()]
        assert len(used) == len(set(used))
        assert not set(used) & set(addresses.released)
        assert ipam.from_json(ipam.to_json(addresses)) == addresses


NODES = st.lists(
    st.builds(
        NodeRoute,
        st.sampled_from([f"n{n}" for n in range(1, 7)]),
        st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.1", "198.51.100.2"]),
        st.sampled_from(["", *(f"10.244.{n}.0/24" for n in range(1, 6))]),
    ),
    unique_by=lambda node: node.name,
)


@given(nodes=NODES, mode=st.sampled_from(["auto", "vxlan"]), data=st.data())
def test_every_range_has_one_way_whatever_the_order_of_nodes(nodes, mode, data):
    config = NetworkConfig("n1", "192.0.2.1", "10.244.0.0/16", "10.96.0.0/16", "c.l", "/s", "/r", mode=mode)
    underlay = routes.Underlay("eth0", "192.0.2.0/24", 1500)
    paths = routes.plan(nodes, config, underlay)
    assert routes.plan(data.draw(st.permutations(nodes)), config, underlay) == paths
    destinations = [route.destination for route in paths.routes]
    assert len(destinations) == len(set(destinations))
    if paths.own_range:
        assert set(destinations) == {"10.96.0.0/16"} | {node.pod_range for node in nodes if node.pod_range}
    gateways = {route.gateway for route in paths.routes if route.onlink}
    assert gateways == {peer.inner for peer in paths.peers}
    assert (paths.vxlan is not None) == bool(paths.peers)


LABELS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)
NAMES = st.lists(LABELS, min_size=1, max_size=6).map(".".join)


@given(NAMES)
def test_names_go_to_the_wire_and_back(name):
    assert dns.to_text(dns.to_wire(name)) == name


@given(st.binary(max_size=120), st.booleans())
def test_no_packet_upsets_the_zone(packet, udp):
    zone = ZonePacker("cluster.local", ["10.96.0.0/16"]).pack([DnsRecord("a.cluster.local", ("10.96.0.1",))], (), 1)
    try:
        query = dns.parse(packet)
    except dns.Malformed:
        assert dns.refuse_malformed(packet)[:2] == packet[:2]
        return
    if query is not None:
        response = zone.answer(query, udp=udp)
        assert response is None or response[:2] == packet[:2]


@given(st.lists(NAMES, unique=True, max_size=8), NAMES)
def test_exactly_the_known_names_have_addresses_and_only_foreign_ones_are_forwarded(known, asked):
    records = [DnsRecord(f"{name}.cluster.local", ("10.96.0.1",)) for name in known]
    zone = ZonePacker("cluster.local", []).pack(records, (), 1)
    for name in (*known, asked):
        wire = dns.to_wire(f"{name}.cluster.local")
        response = zone.answer(dns.Query(1, 0, wire, dns.A, dns.IN, wire + b"\0\1\0\1", None), udp=True)
        assert response is not None
        assert (response[7] == 1) == (name in known)
    foreign = dns.to_wire(f"{asked}.example")
    assert zone.answer(dns.Query(1, 0, foreign, dns.A, dns.IN, foreign, None), udp=True) is None
