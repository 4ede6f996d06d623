"""Membership changes on a simulated clock and network (Ongaro's dissertation, chapter 4)."""

import pytest

from api.v1 import raft_pb2
from controlplane.raft.door import Door, Superseded
from controlplane.raft.membership import ChangeNotNow, ChangeRefused, Member, Membership, MembershipHistory
from tests.simulation.raft_cluster import Cluster


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path, seed=3)
    yield cluster
    cluster.close()


@pytest.fixture
def single(tmp_path):
    cluster = Cluster(tmp_path, seed=4, count=1)
    yield cluster
    cluster.close()


def voters(member):
    return set(member.node.membership.voters)


def add(cluster, name, uid=""):
    cluster.join(name, uid)
    leader = cluster.leader()
    cluster.run_until(lambda: leader.cursor >= leader.node.membership.index)
    leader.node.add_learner(Member(name, uid))


def wait_for_voters(cluster, *names):
    cluster.run_until(lambda: all(voters(cluster.members[name]) == set(names) for name in names))


def test_a_learner_receives_everything_and_is_promoted_when_it_has_caught_up(cluster):
    cluster.put(b"before")
    add(cluster, "r4")
    wait_for_voters(cluster, "r1", "r2", "r3", "r4")
    cluster.put(b"after")
    cluster.run(0.2)
    assert [data for _, _, data in cluster.members["r4"].delivered if data in {b"before", b"after"}] == [
        b"before",
        b"after",
    ]


def test_a_learner_that_is_not_there_counts_in_no_majority(single):
    leader = single.leader()
    leader.node.add_learner(Member("r2"))
    single.put(b"one", leader)
    assert voters(leader) == {"r1"}


def test_one_becomes_three_and_one_again_without_losing_a_write(single):
    single.put(b"one")
    for name in ("r2", "r3"):
        add(single, name)
        single.run_until(lambda name=name: name in voters(single.leader()))
        single.run_until(lambda: single.leader().node.membership.index <= single.leader().cursor)
    assert voters(single.leader()) == {"r1", "r2", "r3"}
    single.put(b"two")
    keeper = single.leader()
    for name in sorted({"r1", "r2", "r3"} - {keeper.name}):
        keeper.node.remove_member(name)
        single.run_until(lambda: keeper.node.membership.index <= keeper.cursor)
        single.crash(name)
    single.put(b"three", keeper)
    assert [data for _, _, data in keeper.delivered if data][-1] == b"three"
    assert voters(keeper) == {keeper.name}


def test_a_second_change_waits_for_the_first(cluster):
    leader = cluster.leader()
    cluster.isolate(leader.name)
    leader.node.add_learner(Member("r4"))
    with pytest.raises(ChangeRefused, match="not committed yet"):
        leader.node.add_learner(Member("r5"))


def test_a_new_leader_changes_nothing_before_its_no_op_is_committed(cluster):
    """The correction of 2015 to section 4.1."""
    old = cluster.leader()
    cluster.crash(old.name)
    cluster.run_until(cluster.leaders)
    new = cluster.leaders()[0]
    if new.node.status().commit_index < new.node.no_op_index():
        with pytest.raises(ChangeRefused, match="has not committed"):
            new.node.remove_member(old.name)
    cluster.leader()
    new.node.remove_member(old.name)
    assert old.name not in voters(new)


def test_a_change_that_was_not_committed_is_rolled_back_with_its_entry(cluster):
    old = cluster.leader()
    cluster.isolate(old.name)
    old.node.add_learner(Member("r9"))
    assert old.node.membership.member("r9") is not None
    cluster.run_until(lambda: any(member is not old for member in cluster.leaders()))
    cluster.put(b"elsewhere", next(member for member in cluster.leaders() if member is not old))
    cluster.heal()
    cluster.run_until(lambda: old.node.membership.member("r9") is None)
    assert voters(old) == {"r1", "r2", "r3"}


def test_the_membership_survives_a_restart_and_a_snapshot(cluster):
    add(cluster, "r4", uid="second-life")
    wait_for_voters(cluster, "r1", "r2", "r3", "r4")
    for number in range(40):
        cluster.put(b"%d" % number * 100)
    cluster.run(0.3)
    for member in cluster.members.values():
        member.snapshot()
    assert cluster.members["r2"].log.first_index > 1, "nothing was compacted"
    expected = cluster.members["r2"].node.membership
    for name in cluster.names:
        cluster.crash(name)
    for name in cluster.names:
        cluster.restart(name)
    assert all(member.node.membership == expected for member in cluster.members.values())
    cluster.put(b"last")


def test_a_snapshot_brings_the_membership_to_who_installs_it(cluster):
    add(cluster, "r4")
    wait_for_voters(cluster, "r1", "r2", "r3", "r4")
    victim = next(name for name in ("r1", "r2") if name != cluster.leader().name)
    cluster.crash(victim)
    add(cluster, "r5")
    cluster.run_until(lambda: "r5" in voters(cluster.leader()))
    for number in range(40):
        cluster.put(b"%d" % number * 100)
    cluster.run(0.3)
    for member in cluster.members.values():
        if member.running:
            member.snapshot()
    cluster.restart(victim)
    cluster.run_until(lambda: cluster.members[victim].installed)
    assert voters(cluster.members[victim]) == {"r1", "r2", "r3", "r4", "r5"}


def test_a_dead_replica_is_replaced_by_one_of_the_same_id_with_an_empty_disk(cluster):
    leader = cluster.leader()
    dead = next(name for name in cluster.names if name != leader.name)
    cluster.put(b"one", leader)
    cluster.crash(dead)
    leader.node.remove_member(dead)
    cluster.run_until(lambda: leader.cursor >= leader.node.membership.index)
    add(cluster, dead, uid="second-life")
    assert {peer: matched for peer, matched, _ in leader.node.progress()}[dead] == 0
    wait_for_voters(cluster, "r1", "r2", "r3")
    cluster.put(b"two")
    cluster.run(0.2)
    assert [data for _, _, data in cluster.members[dead].delivered if data] == [b"one", b"two"]


def test_a_removed_replica_that_does_not_know_it_deposes_nobody(cluster):
    leader = cluster.leader()
    gone = next(member for member in cluster.members.values() if member is not leader)
    cluster.run(0.2)
    cluster.isolate(gone.name)
    leader.node.remove_member(gone.name)
    cluster.run_until(lambda: leader.cursor >= leader.node.membership.index)
    term = leader.node.status().term
    cluster.heal()
    cluster.run(5.0)
    assert cluster.leaders() == [leader]
    assert leader.node.status().term == term
    said = gone.node.status()
    assert (said.leader, said.cut_off) == ("", True), "it sends its callers on"


def test_a_deposed_leader_that_had_removed_the_new_one_takes_part_again(cluster):
    """The removal is undone by the very replica that it removes, so that one must be let in."""
    deposed = cluster.leader()
    others = [member for member in cluster.members.values() if member is not deposed]
    cluster.run(0.2)
    for number in range(2):
        cluster.put(b"%d" % number, deposed)
    cluster.run(0.1)  # so that both others have them: who lacks one is not elected
    cluster.isolate(deposed.name)
    deposed.node.remove_member(others[0].name)
    others[1].kill_api()  # so that the removed one is elected
    cluster.run_until(others[0].node.leads)
    cluster.put(b"elsewhere", others[0])
    cluster.heal()
    cluster.run_until(lambda: deposed.node.membership.index == 0 and deposed.cursor == others[0].cursor)
    assert cluster.leaders() == [others[0]], "nobody else had to be elected for it"


def test_what_would_leave_too_few_in_reach_is_refused(cluster):
    leader = cluster.leader()
    first, second = (name for name in cluster.names if name != leader.name)
    cluster.crash(first)
    cluster.run(0.1)
    with pytest.raises(ChangeRefused, match=f"in reach \\({first} not\\)"):
        leader.node.remove_member(second)
    with pytest.raises(ChangeRefused, match="must hand leadership over first"):
        leader.node.remove_member(leader.name)
    assert voters(leader) == {"r1", "r2", "r3"}


def test_a_new_leader_waits_for_who_has_not_answered_it_yet_before_it_lets_the_old_one_go(cluster):
    """Removing a leader makes another one lead, which is asked at once: its peers are not lost, they had no time yet."""
    old = cluster.leader()
    first, second = (name for name in cluster.names if name != old.name)
    cluster.run(0.2)
    cluster.cut = {(second, first)}
    old.node.hand_over("test", to=first)
    new = cluster.members[first]
    cluster.run_until(lambda: new.node.leads() and new.log.commit_index >= new.node.no_op_index())
    with pytest.raises(ChangeNotNow, match=f"{second} did not answer the leader yet: retry"):
        new.node.remove_member(old.name)
    cluster.cut.clear()
    cluster.put(b"answered by all", new)
    cluster.run(0.2)
    new.node.remove_member(old.name)
    cluster.run_until(lambda: voters(cluster.members[second]) == {first, second})


def test_a_learner_never_campaigns_and_its_word_elects_nobody(cluster):
    learner = cluster.join("r4")
    leader = cluster.leader()
    learner.kill_api()  # so that it is never promoted
    leader.node.add_learner(Member("r4"))
    cluster.run(0.5)
    for name in ("r1", "r2"):
        cluster.isolate(name)
    cluster.run(3.0)
    assert learner.node.status().role == "follower"
    assert not [member for member in cluster.leaders() if member.name in {"r3", "r4"}], "two of three voters are away"


def test_leadership_goes_to_the_voter_that_was_named(cluster):
    leader = cluster.leader()
    target = max(name for name in cluster.names if name != leader.name)
    cluster.run(0.2)
    leader.node.hand_over("test", to=target)
    cluster.run_until(cluster.members[target].node.leads)


def test_a_hand_over_to_who_cannot_lead_changes_nothing(cluster):
    leader = cluster.leader()
    target = max(name for name in cluster.names if name != leader.name)
    cluster.members[target].kill_api()
    cluster.run(0.3)
    leader.node.hand_over("test", to=target)
    cluster.run(1.0)
    assert cluster.leaders() == [leader]
    cluster.put(b"goes on", leader)


# The pure parts ---------------------------------------------------------------------------------------------------


def membership(*names, incarnation=0, index=0):
    return Membership(tuple(Member(name, address=f"{name}:1") for name in names), incarnation, index)


def test_a_history_gives_what_is_in_force_at_an_index():
    history = MembershipHistory(membership("a"))
    history.appended(membership("a", "b", index=5))
    history.appended(membership("a", "b", "c", index=9))
    assert [len(history.at(index).members) for index in (1, 5, 8, 9, 100)] == [1, 2, 2, 3, 3]
    history.truncated(9)
    assert history.latest == membership("a", "b", index=5)
    history.covered(7)
    history.truncated(6)
    assert history.latest == membership("a", "b", index=5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda known: known.with_learner(Member("a")), "is a member already"),
        (lambda known: known.promoted("a"), "is no learner"),
        (lambda known: known.without("z"), "is no member"),
        (lambda known: known.without("a"), "the last one that votes"),
        (lambda known: known.with_learner(Member("b")).alone("b", 9), "never voted"),
    ],
)
def test_changes_that_make_no_sense_are_refused(change, reason):
    with pytest.raises(ChangeRefused, match=reason):
        change(membership("a"))


def hello(replica, uid="", incarnation=0, index=0, cluster="c"):
    return raft_pb2.Hello(
        replica=replica, cluster_uid=cluster, member_uid=uid, incarnation=incarnation, membership_index=index
    )


def test_who_is_behind_lets_in_a_member_that_it_has_not_heard_of():
    door = Door("a", "c", membership("a", "b"))
    assert door.objection(hello("b")) == ""
    assert door.objection(hello("z", index=7)) == ""
    assert "no member" in door.objection(hello("z"))
    assert "another cluster" in door.objection(hello("b", cluster="other"))


def test_who_left_by_a_change_that_is_not_committed_is_let_in_until_it_is():
    door = Door("a", "c", membership("a", "b", "x"))
    latest = membership("a", "b", index=9)
    door.set_membership(latest, membership("a", "b", "x"))
    assert door.objection(hello("x", index=4)) == ""
    assert "no member" in door.objection(hello("x", "another-life", index=4))
    assert "x" not in door.peers
    door.set_membership(latest, latest)
    assert "no member" in door.objection(hello("x", index=4))


def test_an_earlier_replica_of_the_same_id_stays_outside():
    door = Door("a", "c", membership("a", "b"))
    latest = Membership((Member("a"), Member("b", "second-life")), index=9)
    door.set_membership(latest, membership("a", "b"))
    assert "no member" in door.objection(hello("b", index=4))
    assert door.objection(hello("b", "second-life", index=4)) == ""


def test_an_old_incarnation_stays_outside_and_ends_itself():
    ahead = Door("a", "c", membership("a", incarnation=1, index=50))
    assert "incarnation 0" in ahead.objection(hello("b", index=90))
    farewell = ahead.farewell(hello("b"))
    behind = Door("b", "c", membership("a", "b"))
    with pytest.raises(Superseded, match="was recovered without this replica"):
        behind.check_incarnation("a", farewell.incarnation)
    with pytest.raises(Superseded):
        behind.objection(hello("a", incarnation=1, index=50))
