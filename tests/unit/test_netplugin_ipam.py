import pytest

from netplugin import ipam
from netplugin.protocol import NetworkFailure

SMALL = "10.244.0.0/29"  # .2 to .6


def test_addresses_start_at_two_and_go_up():
    addresses = ipam.Addresses()
    assert [addresses.allocate(uid, "", SMALL, 0) for uid in "abc"] == ["10.244.0.2", "10.244.0.3", "10.244.0.4"]


def test_a_pod_that_asks_again_gets_the_same_address_and_its_new_namespace_is_noted():
    addresses = ipam.Addresses()
    first = addresses.allocate("a", "/run/one", SMALL, 0)
    assert addresses.allocate("a", "/run/two", SMALL, 0) == first
    assert addresses.allocations["a"] == ipam.Allocation(first, "/run/two")


def test_fresh_addresses_come_before_used_ones_then_the_one_free_for_longest():
    addresses = ipam.Addresses()
    for uid in "abcde":
        addresses.allocate(uid, "", SMALL, 0)
    addresses.release("c", 10)
    addresses.release("a", 20)
    assert addresses.allocate("f", "", SMALL, 100) == "10.244.0.4"
    assert addresses.allocate("g", "", SMALL, 100) == "10.244.0.2"


def test_an_address_rests_for_a_minute():
    addresses = ipam.Addresses()
    for uid in "abcde":
        addresses.allocate(uid, "", SMALL, 0)
    addresses.release("a", 10)
    with pytest.raises(NetworkFailure, match=r"4 in use, 1 given back less than 60 s ago"):
        addresses.allocate("f", "", SMALL, 69)
    assert addresses.allocate("f", "", SMALL, 70) == "10.244.0.2"


def test_a_clock_that_went_back_does_not_keep_addresses_for_ever():
    addresses = ipam.Addresses()
    for uid in "abcde":
        addresses.allocate(uid, "", SMALL, 1000)
    addresses.release("a", 1_000_000)
    with pytest.raises(NetworkFailure):
        addresses.allocate("f", "", SMALL, 500)
    assert addresses.allocate("f", "", SMALL, 560) == "10.244.0.2"


def test_a_new_range_leaves_old_pods_alone_and_forgets_what_rested_in_the_old_one():
    addresses = ipam.Addresses()
    addresses.allocate("a", "", SMALL, 0)
    addresses.allocate("b", "", SMALL, 0)
    addresses.release("b", 0)
    assert addresses.allocate("c", "", "10.244.9.0/24", 1) == "10.244.9.2"
    assert addresses.allocations["a"].address == "10.244.0.2"
    assert addresses.released == {}


def test_the_file_brings_everything_back(tmp_path):
    addresses = ipam.Addresses()
    for uid in "ab":
        addresses.allocate(uid, f"/run/{uid}", SMALL, 0)
    addresses.release("b", 5)
    ipam.save(tmp_path / "addresses.json", addresses)
    assert ipam.load(tmp_path / "addresses.json") == addresses
    assert [each.name for each in tmp_path.iterdir()] == ["addresses.json"]


def test_no_file_is_an_empty_one(tmp_path):
    assert ipam.load(tmp_path / "none.json") == ipam.Addresses()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"version": 2, "pods": {}, "released": {}}',
        '{"version": 1, "pods": {"a": "x"}, "released": {}}',
        '{"version": 1, "pods": {"a": ["nowhere", ""]}, "released": {}}',
        '{"version": 1, "pods": {}, "released": {"10.0.0.1": "soon"}}',
    ],
)
def test_a_damaged_file_is_told_as_such(text):
    with pytest.raises(ValueError, match=r"."):
        ipam.from_json(text)
