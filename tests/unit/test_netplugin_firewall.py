import json

from netplugin import firewall
from netplugin.protocol import NetworkConfig

CONFIG = NetworkConfig("n1", "192.0.2.1", "10.244.0.0/16", "10.96.0.0/16", "cluster.local", "/s", "/r")
PODS = {"prefix": {"addr": "10.244.0.0", "len": 16}}
WIDER = {"prefix": {"addr": "10.0.0.0", "len": 8}}
NARROWER = {"prefix": {"addr": "10.244.1.0", "len": 24}}


def match(field, right, protocol="ip"):
    return {"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


def table(chains, family="ip", name="filter"):
    """A listing: chain name -> (hook or None, policy, rules)."""
    place = {"family": family, "table": name}
    objects = [{"table": {"family": family, "name": name}}]
    for chain, (hook, policy, rules) in chains.items():
        base = {"hook": hook, "policy": policy, "type": "filter", "prio": 0} if hook else {}
        objects.append({"chain": {**place, "name": chain, **base}})
        objects += [{"rule": {**place, "chain": chain, "expr": rule}} for rule in rules]
    return json.dumps({"nftables": [{"metainfo": {}}, *objects]})


def found(*listings, legacy=None):
    return firewall.problems(listings, legacy, CONFIG)


ACCEPT_BOTH = [[match("saddr", PODS), {"accept": None}], [match("daddr", PODS), {"counter": None}, {"accept": None}]]


def test_a_drop_policy_is_named_with_a_remedy():
    (problem,) = found(table({"FORWARD": ("forward", "drop", [])}))
    assert "chain FORWARD of nftables table ip filter drops" in problem
    assert "iptables -I FORWARD -s 10.244.0.0/16 -j ACCEPT" in problem


def test_an_accept_policy_is_fine_unless_the_last_rule_rejects():
    assert found(table({"FORWARD": ("forward", "accept", [])})) == []
    assert len(found(table({"FORWARD": ("forward", "accept", [[{"counter": None}, {"reject": None}]])}))) == 1
    assert found(table({"FORWARD": ("forward", "accept", [[match("saddr", WIDER), {"drop": None}]])})) == []


def test_docker_users_chain_is_the_remedy_where_there_is_docker():
    listing = table(
        {"DOCKER-USER": (None, None, []), "FORWARD": ("forward", "drop", [[{"jump": {"target": "DOCKER-USER"}}]])}
    )
    assert "iptables -I DOCKER-USER" in found(listing)[0]
    opened = table(
        {
            "DOCKER-USER": (None, None, ACCEPT_BOTH),
            "FORWARD": ("forward", "drop", [[{"jump": {"target": "DOCKER-USER"}}]]),
        }
    )
    assert found(opened) == []


def test_both_directions_must_be_accepted_and_the_whole_range():
    for rules in (ACCEPT_BOTH[:1], ACCEPT_BOTH[1:], [[match("saddr", NARROWER), {"accept": None}], ACCEPT_BOTH[1]]):
        assert len(found(table({"FORWARD": ("forward", "drop", rules)}))) == 1
    wider = [[match("saddr", WIDER), {"accept": None}], [match("daddr", {"set": [NARROWER, WIDER]}), {"accept": None}]]
    assert found(table({"FORWARD": ("forward", "drop", wider)})) == []


def test_an_accept_with_more_conditions_opens_nothing():
    rules = [[*rule[:1], match("dport", 80, "tcp"), {"accept": None}] for rule in ACCEPT_BOTH]
    assert len(found(table({"FORWARD": ("forward", "drop", rules)}))) == 1


def test_our_links_may_be_accepted_by_name():
    rules = [
        [{"match": {"op": "==", "left": {"meta": {"key": key}}, "right": "tim*"}}, {"accept": None}]
        for key in ("iifname", "oifname")
    ]
    assert found(table({"FORWARD": ("forward", "drop", rules)})) == []


def test_a_drop_behind_conditional_jumps_and_returns_does_not_count():
    chains = {
        "inner": (None, None, [[{"return": None}], [{"drop": None}]]),
        "other": (None, None, [[{"drop": None}]]),
        "c": (
            "forward",
            "accept",
            [[{"jump": {"target": "inner"}}], [match("saddr", PODS), {"jump": {"target": "other"}}]],
        ),
    }
    assert found(table(chains, "inet", "strict")) == []


def test_a_goto_does_not_come_back():
    chains = {
        "other": (None, None, [[{"counter": None}]]),
        "c": ("forward", "accept", [[{"goto": {"target": "other"}}], [{"drop": None}]]),
    }
    assert len(found(table(chains, "inet", "strict"))) == 0


def test_addresses_that_are_no_networks_open_nothing():
    odd = [[match("saddr", {"set": ["10.244.0.1", {"prefix": {"addr": "fd00::", "len": 64}}]}), {"accept": None}]]
    assert len(found(table({"FORWARD": ("forward", "drop", odd)}))) == 1


def test_chains_that_jump_in_circles_end():
    chains = {
        "a": ("forward", "accept", [[{"jump": {"target": "b"}}]]),
        "b": (None, None, [[{"jump": {"target": "b"}}]]),
    }
    assert found(table(chains)) == []


def test_input_needs_only_the_pods_side():
    (problem,) = found(table({"input": ("input", "drop", [])}, "inet", "strict"))
    assert "nft insert rule inet strict input ip saddr 10.244.0.0/16 accept" in problem
    assert "udp dport 4789" in problem
    assert found(table({"input": ("input", "drop", ACCEPT_BOTH[:1])}, "inet", "strict")) == []


def test_ufw_and_firewalld_have_their_own_remedies():
    assert "ufw route allow" in found(table({"ufw-x": (None, None, []), "FORWARD": ("forward", "drop", [])}))[0]
    assert "ufw allow from" in found(table({"ufw-x": (None, None, []), "INPUT": ("input", "drop", [])}))[0]
    assert (
        "firewall-cmd"
        in found(table({"filter_FORWARD": ("forward", "accept", [[{"reject": None}]])}, "inet", "firewalld"))[0]
    )


def test_statements_that_are_not_understood_decide_nothing():
    rules = [[{"limit": {"rate": 1}}, {"drop": None}], [{"vmap": {}}], ["update @x { ip saddr }"]]
    assert found(table({"FORWARD": ("forward", "accept", rules)})) == []


def test_only_foreign_tables_on_our_way_are_read():
    listing = json.dumps(
        {
            "nftables": [
                {"chain": {"family": "ip", "table": "timonier", "name": "guard_forward", "hook": "forward"}},
                {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward"}},
                {"chain": {"family": "ip", "table": "nat", "name": "POSTROUTING", "hook": "postrouting"}},
                {"chain": {"family": "bridge", "table": "b", "name": "f", "hook": "forward"}},
                {"chain": {"family": "ip", "table": "filter", "name": "mine"}},
            ]
        }
    )
    assert firewall.tables_to_read(listing) == ["list table ip filter"]
    assert firewall.tables_to_read(None) == []


def test_rules_of_the_old_iptables_count():
    saved = (
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n"
    )
    (problem,) = found(legacy=saved)
    assert "iptables-legacy -I DOCKER-USER" in problem
    opened = saved.replace(
        "COMMIT", "-A DOCKER-USER -s 10.244.0.0/16 -j ACCEPT\n-A DOCKER-USER -d 10.244.0.0/16 -j ACCEPT\nCOMMIT"
    )
    assert found(legacy=opened) == []


def test_a_table_that_vanished_while_reading_is_no_problem():
    assert found(None) == []
