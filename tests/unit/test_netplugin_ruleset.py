from netplugin import adoption, ruleset
from netplugin.protocol import NetworkConfig
from netplugin.ruleset import Rules
from netplugin.vips import Backend, Vip, VipKey
from tests.fake_kernel import FakeNft

CONFIG = NetworkConfig("n1", "192.0.2.1", "10.244.0.0/16", "10.96.0.0/16", "cluster.local", "/s", "/r")
WEB = VipKey("10.96.0.1", "tcp", 80)
NAMES = VipKey("10.96.0.1", "udp", 53)
A, B, C = (Backend(f"10.244.1.{number}", 8080) for number in (2, 3, 4))


def build(vips, before=None, direct=()):
    return ruleset.build(vips, own_range="10.244.1.0/24", direct=direct, before=before)


def full(rules):
    nft = FakeNft()
    nft.run(ruleset.full_text(CONFIG, "tim-vxlan", rules))
    return nft


def listed(nft):
    names = adoption.chains(nft.list(adoption.LIST_CHAINS))
    return adoption.read(names, {name: nft.list(command) for name, command in adoption.LISTS.items()})


def test_a_vip_is_one_service_element_and_one_per_slot():
    elements = full(build({WEB: Vip((A, B))})).elements()
    assert elements["services"] == {"10.96.0.1 . tcp . 80": "jump pick-tcp-2"}
    assert elements["tcp_endpoints"] == {
        "10.96.0.1 . 80 . 0": "10.244.1.2 . 8080",
        "10.96.0.1 . 80 . 1": "10.244.1.3 . 8080",
    }
    assert elements["udp_endpoints"] == {}


def test_each_lookup_stands_twice_and_then_once_with_slot_zero():
    chain = full(build({WEB: Vip((A, B))})).tables["timonier"]["chains"]["pick-tcp-2"]
    rules = [line.strip() for line in chain.strip().splitlines()]
    assert rules[0] == rules[1]
    assert "numgen random mod 2 map @tcp_endpoints" in rules[0]
    assert "numgen inc mod 1 map @tcp_endpoints" in rules[2]
    assert len(rules) == 3


def test_no_packet_mark_is_read_or_set():
    assert "mark" not in ruleset.full_text(CONFIG, "tim-vxlan", build({WEB: Vip((A,), 60)}))


def test_our_chains_never_drop_by_policy():
    assert "policy drop" not in ruleset.full_text(CONFIG, "tim-vxlan", Rules())


def test_a_change_is_elements_only_once_the_chain_is_there():
    two, one = build({WEB: Vip((A, B))}), build({WEB: Vip((A,))})
    one = build(one.vips, before=two)
    assert "chain" in ruleset.change_text(two, one)
    again = ruleset.change_text(one, build(two.vips, before=one))
    assert "chain" not in again
    assert again.count("element") == 4  # the service goes and comes, one slot and one local address come


def test_nothing_to_change_is_no_transaction():
    rules = build({WEB: Vip((A,))})
    assert ruleset.change_text(rules, build({WEB: Vip((A,))}, before=rules)) == ""


def test_a_vip_that_goes_takes_its_elements_along():
    rules = build({WEB: Vip((A, B), 60), NAMES: Vip((C,))})
    nft = full(rules)
    nft.run(ruleset.change_text(rules, build({}, before=rules)))
    assert {name: len(members) for name, members in nft.elements().items() if members} == {"own_range": 1}


def test_affinity_of_one_service_does_not_change_another():
    elements = full(build({WEB: Vip((A,), 60), NAMES: Vip((A,))})).elements()
    assert elements["services"] == {
        "10.96.0.1 . tcp . 80": "jump sticky-tcp-1",
        "10.96.0.1 . udp . 53": "jump pick-udp-1",
    }
    assert elements["sticky"] == {"10.96.0.1 . tcp . 80": "jump remember-tcp-60"}


def test_pods_of_this_node_may_reach_themselves():
    far = Backend("10.244.9.2", 8080)
    assert set(full(build({WEB: Vip((A, far))})).elements()["local"]) == {"10.244.1.2 . 10.244.1.2"}


def test_a_table_is_read_back_as_it_was_written():
    rules = build({WEB: Vip((B, A), 60), NAMES: Vip((C,))}, direct=["192.0.2.2"])
    found = listed(full(rules))
    assert found == adoption.Found(ruleset.version(CONFIG, "tim-vxlan"), rules, whole=True)


def test_a_table_with_a_hole_is_read_as_far_as_it_goes_and_told_to_be_incomplete():
    nft = full(build({WEB: Vip((A, B, C))}))
    nft.run("delete element ip timonier tcp_endpoints { 10.96.0.1 . 80 . 1 }\n")
    found = listed(nft)
    assert not found.whole
    assert found.rules.vips[WEB].slots == (A, C)


def test_a_table_without_our_maps_is_incomplete():
    nft = FakeNft()
    nft.run("add table ip timonier\nadd chain ip timonier version-old\n")
    found = listed(nft)
    assert (found.version, found.whole, found.rules.vips) == ("version-old", False, {})


def test_a_service_without_endpoints_elements_is_incomplete():
    nft = full(build({WEB: Vip((A,))}))
    nft.run("delete element ip timonier tcp_endpoints { 10.96.0.1 . 80 . 0 }\n")
    assert not listed(nft).whole


def test_the_version_follows_the_fixed_part():
    versions = {ruleset.version(CONFIG, "tim-vxlan"), ruleset.version(CONFIG, "other")}
    assert len(versions) == 2


def test_clients_forget_endpoints_that_left_and_vips_without_affinity():
    remembered = {("10.244.1.9", WEB): A, ("10.244.1.8", WEB): B, ("10.244.1.7", NAMES): A}
    vips = {WEB: Vip((B,), 60), NAMES: Vip((A,))}
    stale = ruleset.stale_clients(remembered, vips)
    assert stale == [("10.244.1.7", NAMES), ("10.244.1.9", WEB)]
    assert ruleset.forget_text(stale[:1]) == (
        "delete element ip timonier affinity { 10.244.1.7 . 10.96.0.1 . udp . 53 }\n"
    )


def test_lost_backends_are_those_that_no_slot_has_any_more():
    old, new = build({WEB: Vip((A, B)), NAMES: Vip((A,))}), build({WEB: Vip((B,)), NAMES: Vip((A,))})
    assert ruleset.lost_backends(old, new) == {WEB: {A}}
    assert ruleset.lost_backends(old, build({})) == {WEB: {A, B}, NAMES: {A}}


def test_affinity_entries_are_read_from_what_libnftables_prints():
    listing = (
        '{"nftables": [{"map": {"name": "affinity", "elem": [[{"elem": {"val": {"concat": ["10.244.1.9", "10.96.0.1",'
        ' "tcp", 80]}, "timeout": 60, "expires": 59}}, {"concat": ["10.244.1.2", 8080]}]]}}]}'
    )
    assert adoption.read_affinity(listing) == {("10.244.1.9", WEB): A}
    assert adoption.read_affinity(None) == {}
