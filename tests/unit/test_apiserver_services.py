"""Cluster IPs and pod ranges: claimed with the object, unique, given back."""

from __future__ import annotations

import asyncio
import ipaddress
import random

import pytest

from api import errors
from controlplane.apiserver.kinds.nodes import NodeRules
from controlplane.apiserver.kinds.services import ServiceRules
from controlplane.commands import Claim, Release


def service(name, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}], **spec},
    }


def claims(cluster):
    return dict(cluster.replica.state.claims("clusterip"))


async def test_a_service_gets_an_address_of_the_range_and_all_that_goes_with_it(api, cluster):
    created = await api.create(service("a"))
    spec = created.tree()["spec"]
    assert ipaddress.ip_address(spec["clusterIP"]) in ipaddress.ip_network("10.96.0.0/16")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert claims(cluster)[spec["clusterIP"]] == created.uid


async def test_an_address_that_is_asked_for_is_given(api):
    created = await api.create(service("a", clusterIP="10.96.0.10"))
    assert created.tree()["spec"]["clusterIP"] == "10.96.0.10"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("10.96.0.1", "already allocated"),
        ("10.97.0.1", "not in the service range"),
        ("10.96.0.0", "not in the service range"),
        ("10.96.255.255", "not in the service range"),
        ("10.96.0.300", "clusterIP"),
        ("fd00::1", "clusterIP"),
    ],
)
async def test_an_address_that_cannot_be_had_is_refused_by_field(api, address, message):
    with pytest.raises(errors.Invalid, match=r"spec\.clusterIP") as caught:
        await api.create(service("a", clusterIP=address))
    assert message in str(caught.value)


async def test_a_headless_service_claims_nothing(api, cluster):
    before = claims(cluster)
    created = await api.create(service("a", clusterIP="None"))
    assert created.tree()["spec"]["clusterIPs"] == ["None"]
    assert claims(cluster) == before


async def test_the_address_is_free_again_once_the_service_is_deleted(api, cluster):
    address = (await api.create(service("a"))).tree()["spec"]["clusterIP"]
    await api.delete("services", "default", "a")
    assert address not in claims(cluster)
    await api.create(service("b", clusterIP=address))


async def test_an_update_that_leaves_the_address_out_keeps_it(api):
    address = (await api.create(service("a"))).tree()["spec"]["clusterIP"]
    updated = await api.update(service("a", ports=[{"port": 81}]))
    assert updated.tree()["spec"]["clusterIP"] == address


@pytest.mark.parametrize("other", ["10.96.0.77", "None"])
async def test_an_address_does_not_change(api, other):
    await api.create(service("a"))
    with pytest.raises(errors.Invalid, match="keeps its address"):
        await api.update(service("a", clusterIP=other))


@pytest.mark.parametrize(
    ("field", "value"),
    [("ipFamilyPolicy", "RequireDualStack"), ("ipFamilies", ["IPv6"]), ("clusterIPs", ["10.96.0.99"])],
)
async def test_what_an_update_says_of_addresses_is_refused_and_never_put_aside(api, field, value):
    tree = (await api.create(service("web"))).tree()
    with pytest.raises(errors.Invalid, match=rf"spec\.{field}"):
        await api.update({**tree, "spec": {**tree["spec"], field: value}})


async def test_services_created_at_once_never_share_an_address(api, cluster):
    created = await asyncio.gather(*(api.create(service(f"s{index}")) for index in range(100)))
    addresses = [each.tree()["spec"]["clusterIP"] for each in created]
    assert len(set(addresses)) == 100
    assert set(addresses) < set(claims(cluster))


async def test_of_services_that_ask_for_one_address_at_once_one_gets_it(api):
    asked = [api.create(service(f"s{index}", clusterIP="10.96.0.50")) for index in range(5)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(each, errors.Invalid) for each in results].count(False) == 1


class OneState:
    def __init__(self, taken):
        self.taken = taken

    def claimed(self, space, value):
        return self.taken.get(value)


class View:
    def __init__(self, taken):
        self.state = OneState(taken)


def test_the_last_free_address_is_found_and_then_the_range_is_full():
    rules = ServiceRules("10.0.0.0/28", random.Random(1))
    taken = {f"10.0.0.{index}": "x" for index in range(1, 15) if index != 9}
    tree = {"metadata": {"uid": "u"}, "spec": {"ports": [{"port": 80}]}}
    assert rules.completed(tree, None, View(taken))["spec"]["clusterIP"] == "10.0.0.9"
    taken["10.0.0.9"] = "x"
    with pytest.raises(errors.TooLarge, match=r"10\.0\.0\.0/28 is in use"):
        rules.completed(tree, None, View(taken))


def test_chosen_addresses_leave_the_lower_band_to_people_while_there_is_room():
    rules = ServiceRules("10.96.0.0/16", random.Random(1))
    tree = {"metadata": {"uid": "u"}, "spec": {}}
    network = ipaddress.ip_network("10.96.0.0/16")
    for _ in range(300):
        address = ipaddress.ip_address(rules.completed(tree, None, View({}))["spec"]["clusterIP"])
        assert int(address) - int(network[0]) >= 256


def test_a_service_of_an_ipv6_range_says_so():
    rules = ServiceRules("fd00::/112", random.Random(1))
    spec = rules.completed({"metadata": {"uid": "u"}, "spec": {}}, None, View({}))["spec"]
    assert spec["ipFamilies"] == ["IPv6"]


@pytest.mark.parametrize("service_range", ["10.0.0.0/29", "fd00::/64"])
def test_a_range_that_cannot_serve_is_refused_at_start(service_range):
    with pytest.raises(ValueError, match="it must have 16 to 1048576 addresses"):
        ServiceRules(service_range, random.Random(1))


def alias(uid="u"):
    return {"metadata": {"uid": uid}, "spec": {"type": "ExternalName", "externalName": "x.example", "clusterIP": ""}}


def plain(address="", **spec):
    spec |= {"clusterIP": address, "clusterIPs": [address]} if address else {}
    return {"metadata": {"uid": "u"}, "spec": {"type": "ClusterIP", **spec}}


def test_an_alias_has_no_address():
    rules = ServiceRules("10.0.0.0/24", random.Random(1))
    spec = rules.completed(alias(), None, View({}))["spec"]
    assert spec == {"type": "ExternalName", "externalName": "x.example"}
    assert rules.consequences(None, alias()) == ()


def test_becoming_an_alias_gives_the_address_back_and_the_other_way_round():
    rules = ServiceRules("10.0.0.0/24", random.Random(1))
    service = plain("10.0.0.9")
    assert rules.consequences(service, alias()) == [Release("clusterip", "10.0.0.9", "u")]
    arrived = rules.arriving(alias(), service)
    assert rules.completed(arrived, service, View({}))["spec"].keys() == {"type", "externalName"}
    arrived = rules.arriving(plain(), alias())
    address = rules.completed(arrived, alias(), View({}))["spec"]["clusterIP"]
    assert rules.consequences(alias(), plain(address)) == [Claim("clusterip", address, "u")]


@pytest.mark.parametrize(("address", "addresses"), [("10.0.0.9", ["10.0.0.8"]), ("", ["10.0.0.8", "fd00::1"])])
def test_addresses_that_contradict_each_other_are_refused(address, addresses):
    rules = ServiceRules("10.0.0.0/24", random.Random(1))
    tree = plain(address)
    tree["spec"]["clusterIPs"] = addresses
    with pytest.raises(errors.Invalid, match=r"spec\.clusterIPs"):
        rules.completed(tree, None, View({}))


def test_what_is_no_address_is_refused():
    rules = ServiceRules("10.0.0.0/24", random.Random(1))
    with pytest.raises(errors.Invalid, match="neither an address"):
        rules.completed(plain("ten"), None, View({}))


async def test_every_node_gets_its_own_range(api, cluster):
    nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{index}"}} for index in range(10)]
    created = await asyncio.gather(*(api.create(each) for each in nodes))
    ranges = {each.tree()["spec"]["podCIDR"] for each in created}
    assert len(ranges) == 10
    assert all(ipaddress.ip_network(each).subnet_of(ipaddress.ip_network("10.244.0.0/16")) for each in ranges)
    assert dict(cluster.replica.state.claims("podrange")).keys() == ranges


async def test_a_node_that_joins_again_gets_the_range_it_had(api, cluster):
    tree = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    first = (await api.create(tree)).tree()["spec"]["podCIDRs"]
    await api.delete("nodes", "", "n1")
    assert not cluster.replica.state.claims("podrange")
    assert (await api.create(tree)).tree()["spec"]["podCIDRs"] == first


def test_the_last_free_range_is_found_from_any_place():
    rules = NodeRules("10.0.0.0/22")
    taken = {f"10.0.{index}.0/24": "x" for index in range(3)}
    for name in ("a", "b", "c", "d", "e"):
        tree = rules.completed({"metadata": {"name": name, "uid": "u"}}, None, View(taken))
        assert tree["spec"]["podCIDR"] == "10.0.3.0/24"


async def test_a_node_keeps_its_range_and_its_status_at_registration(api):
    tree = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "status": {"phase": "Running"}}
    created = await api.create(tree)
    assert created.tree()["status"] == {"phase": "Running"}
    updated = await api.update({**tree, "spec": {"unschedulable": True}, "status": {}})
    assert updated.tree()["spec"]["podCIDR"] == created.tree()["spec"]["podCIDR"]
    with pytest.raises(errors.Invalid, match=r"spec\.podCIDR"):
        await api.update({**tree, "spec": {"podCIDR": "10.244.9.0/24"}})
    kept = created.tree()["spec"]["podCIDR"]
    with pytest.raises(errors.Invalid, match=r"spec\.podCIDRs"):
        await api.update({**tree, "spec": {"podCIDRs": [kept, "10.244.9.0/24"]}})


async def test_a_node_that_offers_what_is_no_amount_is_refused_by_the_field(api):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    await api.create(node)
    with pytest.raises(errors.Invalid, match=r"status\.capacity\[cpu\]"):
        await api.update_status({**node, "status": {"capacity": {"cpu": "many"}}})
    await api.update_status({**node, "status": {"capacity": {"cpu": "2"}}})


@pytest.mark.parametrize("given", ["10.244.7.0/24", "10.245.0.0/24", "10.244.3.0/25", "rubbish", "fd00::/64"])
async def test_a_range_that_cannot_be_had_is_refused(api, given):
    tree = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    await api.create({**tree, "spec": {"podCIDR": "10.244.7.0/24"}})
    with pytest.raises(errors.Invalid, match=r"spec\.podCIDR"):
        await api.create({**tree, "metadata": {"name": "n2"}, "spec": {"podCIDR": given}})


def test_a_full_pod_range_is_told_as_such():
    rules = NodeRules("10.0.0.0/23")
    taken = {"10.0.0.0/24": "a", "10.0.1.0/24": "b"}
    with pytest.raises(errors.TooLarge, match="belongs to a node already"):
        rules.completed({"metadata": {"name": "n", "uid": "u"}}, None, View(taken))
    with pytest.raises(ValueError, match="no room"):
        NodeRules("10.0.0.0/25")


async def test_the_kubernetes_service_has_the_first_address(api):
    spec = (await api.get("services", "default", "kubernetes")).tree()["spec"]
    assert (spec["clusterIP"], "selector" in spec) == ("10.96.0.1", False)


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
async def test_a_type_that_is_not_supported_is_all_that_is_named(api, kind):
    with pytest.raises(errors.Invalid) as refused:
        await api.create(service("out", type=kind))
    assert [field.path for field in refused.value.fields] == ["spec.type"]


@pytest.mark.parametrize(
    ("field", "value"), [("externalTrafficPolicy", "Cluster"), ("allocateLoadBalancerNodePorts", True)]
)
async def test_what_is_for_services_reached_from_outside_is_for_no_others(api, field, value):
    with pytest.raises(errors.Invalid, match=rf"spec\.{field}: .*may only be"):
        await api.create(service("in", **{field: value}))
