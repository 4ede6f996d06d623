import ipaddress
import itertools

import pytest

from lab.layout import MAX_LABS, Lab, LabProblem, check_name, free_slot, ranges


def test_ranges_of_labs_side_by_side_never_overlap():
    networks = [
        ipaddress.ip_network(each)
        for slot in range(MAX_LABS)
        for each in (ranges(slot).hosts, ranges(slot).pods, ranges(slot).services)
    ]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(networks, 2))


def test_a_lab_avoids_routes_of_the_machine_and_other_labs():
    assert free_slot([], []) == 0
    assert free_slot([0, 2], []) == 1
    assert free_slot([], ["172.30.0.0/24", "10.97.3.0/24"]) == 2
    with pytest.raises(LabProblem, match="all 10 address slots"):
        free_slot([], ["172.16.0.0/12"])


def test_hosts_have_addresses_of_their_lab():
    lab = Lab("x", 1, 3, 2)
    assert [(host.name, host.address) for host in lab.hosts] == [
        ("r1", "172.30.1.1"),
        ("r2", "172.30.1.2"),
        ("r3", "172.30.1.3"),
        ("n1", "172.30.1.101"),
        ("n2", "172.30.1.102"),
    ]
    assert lab.gateway == "172.30.1.254"


def test_an_unknown_host_is_answered_with_those_there_are():
    with pytest.raises(LabProblem, match="no host 'n9'; it has: r1, n1"):
        Lab("x", 0, 1, 1).host("n9")


@pytest.mark.parametrize("name", ["a", "lab", "a-b-1", "x" * 20])
def test_names_that_a_lab_can_have(name):
    assert check_name(name) == name
    assert len(Lab(name, 0, 1, 1).uplink) <= 15


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a_b", "x" * 21, "../x", "a b"])
def test_names_that_no_lab_can_have(name):
    with pytest.raises(LabProblem, match="lab name"):
        check_name(name)
