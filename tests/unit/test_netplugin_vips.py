from netplugin.protocol import Endpoint, ServicePort
from netplugin.vips import Backend, Vip, VipKey, VipTable, assign_slots, choose


def endpoint(address, *, ready=True, serving=True, terminating=False, port=80):
    return Endpoint(address, port, ready=ready, serving=serving, terminating=terminating)


def backends(*names):
    return [Backend(name, 80) for name in names]


def port(*addresses, vip="10.96.0.1", name="web", affinity_seconds=0, protocol="tcp"):
    endpoints = tuple(endpoint(address) for address in addresses)
    return ServicePort("default", name, "", vip, protocol, 80, endpoints, affinity_seconds)


def test_only_ready_endpoints_get_connections():
    assert choose([endpoint("10.0.0.2"), endpoint("10.0.0.1", ready=False)]) == backends("10.0.0.2")


def test_serving_and_terminating_ones_stand_in_while_none_is_ready():
    leaving = endpoint("10.0.0.1", ready=False, terminating=True)
    gone = endpoint("10.0.0.2", ready=False, serving=False, terminating=True)
    starting = endpoint("10.0.0.3", ready=False, serving=False)
    assert choose([leaving, gone, starting]) == backends("10.0.0.1")
    assert choose([leaving, gone, endpoint("10.0.0.4")]) == backends("10.0.0.4")
    assert choose([gone, starting]) == []


def test_addresses_that_are_not_ipv4_and_impossible_ports_are_left_out():
    odd = [endpoint("fd00::1"), endpoint("x; flush ruleset"), endpoint("10.0.0.1", port=0), endpoint("10.0.0.2")]
    assert choose(odd) == backends("10.0.0.2")


def test_an_endpoint_listed_twice_counts_once():
    assert choose([endpoint("10.0.0.1"), endpoint("10.0.0.1")]) == backends("10.0.0.1")


def test_the_last_slot_moves_into_the_hole():
    assert assign_slots(backends("a", "b", "c"), backends("b", "c")) == tuple(backends("c", "b"))


def test_a_newcomer_takes_the_hole_and_nobody_moves():
    assert assign_slots(backends("a", "b", "c"), backends("b", "c", "d")) == tuple(backends("d", "b", "c"))


def test_newcomers_without_a_hole_come_last():
    assert assign_slots(backends("b"), backends("a", "b", "c")) == tuple(backends("b", "a", "c"))


def test_equal_services_give_the_same_objects():
    table = VipTable("10.96.0.0/16")
    first = table.update([port("10.0.0.1")])
    second = table.update([port("10.0.0.1"), port("10.0.0.2", vip="10.96.0.2")])
    key = VipKey("10.96.0.1", "tcp", 80)
    assert second[key] is first[key]


def test_a_vip_without_endpoints_is_absent_and_starts_afresh():
    table = VipTable("10.96.0.0/16")
    table.update([port("10.0.0.2")])
    assert table.update([port()]) == {}
    assert table.update([port("10.0.0.1")]) == {VipKey("10.96.0.1", "tcp", 80): Vip((Backend("10.0.0.1", 80),))}


def test_adopted_slots_are_kept():
    table = VipTable("10.96.0.0/16")
    key = VipKey("10.96.0.1", "tcp", 80)
    table.adopt({key: Vip(tuple(backends("10.0.0.3", "10.0.0.1")))})
    assert table.update([port("10.0.0.1", "10.0.0.2", "10.0.0.3")])[key].slots == tuple(
        backends("10.0.0.3", "10.0.0.1", "10.0.0.2")
    )


def test_of_two_services_with_one_vip_the_first_by_name_wins_in_any_order():
    first, second = port("10.0.0.1", name="a"), port("10.0.0.2", name="b")
    for order in ([first, second], [second, first]):
        assert VipTable("10.96.0.0/16").update(order) == {
            VipKey("10.96.0.1", "tcp", 80): Vip((Backend("10.0.0.1", 80),))
        }


def test_vips_outside_the_range_headless_services_and_other_protocols_are_left_out():
    odd = [
        port("10.0.0.1", vip="8.8.8.8"),
        port("10.0.0.1", vip="None"),
        port("10.0.0.1", vip=""),
        port("10.0.0.1", protocol="sctp"),
    ]
    assert VipTable("10.96.0.0/16").update(odd) == {}
