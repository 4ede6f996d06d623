"""What pysyncobj gets wrong (ADR 1), against our node on a simulated clock and network."""

import pytest

from api.v1 import raft_pb2
from controlplane.raft.frames import FrameError
from controlplane.raft.log import LogFailure
from tests.simulation.raft_cluster import Cluster


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path, seed=1)
    yield cluster
    cluster.close()


def others(cluster, member):
    return [other for other in cluster.members.values() if other is not member]


def message(term, **kind):
    return raft_pb2.RaftMessage(term=term, **kind)


def entries(*triples):
    return [raft_pb2.RaftEntry(index=index, term=term, data=data) for index, term, data in triples]


def test_elects_one_leader_and_replicates(cluster):
    leader = cluster.leader()
    cluster.put(b"one", leader)
    cluster.run(0.2)
    assert all(member.delivered[-1][2] == b"one" for member in cluster.members.values())


def test_a_late_append_truncates_nothing_that_was_acknowledged(cluster):
    """Hole 1."""
    leader = cluster.leader()
    cluster.put(b"one", leader)
    last = cluster.put(b"two", leader)
    cluster.run(0.2)
    follower = others(cluster, leader)[0]
    term = leader.node.status().term
    late = raft_pb2.AppendEntries(commit_index=last, prev_index=2, prev_term=term)
    cluster.deliver(leader.name, follower.name, message(term, append_entries=late))
    assert follower.log.last_index == last


def test_a_crash_between_snapshot_and_compaction_loses_nothing(cluster):
    """Hole 2."""
    leader = cluster.leader()
    for number in range(10):
        cluster.put(b"%d" % number, leader)
    follower = others(cluster, leader)[0]
    cluster.run(0.2)
    follower.log.compact = lambda _index: None
    follower.snapshot()
    last = cluster.put(b"after", leader)
    cluster.run(0.2)
    cluster.crash(follower.name)
    cluster.restart(follower.name)
    assert follower.log.last_index == last


def test_a_snapshot_does_not_move_the_commit_index_over_an_unmatched_log(cluster):
    """Hole 4: a deposed leader must not report success for what never committed."""
    old = cluster.leader()
    cluster.put(b"kept", old)
    cluster.isolate(old.name)
    lost = [old.node.propose(b"lost", old.node.status().term) for _ in range(3)]
    assert all(lost)
    new = next(iter(others(cluster, old)))
    cluster.run_until(lambda: any(member is not old for member in cluster.leaders()))
    new = next(member for member in cluster.leaders() if member is not old)
    for number in range(60):
        cluster.put(b"new %d" % number * 20, new)
    new.snapshot()
    assert new.log.first_index > old.log.last_index
    cluster.heal()
    cluster.run_until(lambda: old.cursor == new.cursor)
    assert old.installed
    assert all(data != b"lost" for _, _, data in old.delivered)


def test_an_older_snapshot_is_not_installed_over_newer_state(cluster):
    """Hole 5."""
    leader = cluster.leader()
    for number in range(10):
        last = cluster.put(b"%d" % number, leader)
    cluster.run(0.2)
    follower = others(cluster, leader)[0]
    term = leader.node.status().term
    piece = raft_pb2.SnapshotChunk(index=4, index_term=term, data=b"old", last=True, size_bytes=3, crc32=0)
    cluster.deliver(leader.name, follower.name, message(term, snapshot_chunk=piece))
    assert follower.snapshots.latest is None
    assert (follower.log.last_index, follower.node.status().commit_index) == (last, last)


def test_a_snapshot_with_a_wrong_checksum_is_not_installed(cluster):
    leader = cluster.leader()
    cluster.run(0.2)
    follower = others(cluster, leader)[0]
    term = leader.node.status().term
    piece = raft_pb2.SnapshotChunk(index=50, index_term=term, data=b"bad", last=True, size_bytes=3, crc32=1)
    with pytest.raises(FrameError, match="wrong checksum"):
        cluster.deliver(leader.name, follower.name, message(term, snapshot_chunk=piece))
    assert follower.snapshots.latest is None


@pytest.mark.parametrize("stale", [-1, 0])
def test_an_acknowledgement_of_an_older_term_commits_nothing(cluster, stale):
    """Hole 7."""
    leader = cluster.leader()
    cluster.run(0.2)
    cluster.isolate(leader.name)
    status = leader.node.status()
    index = leader.node.propose(b"alone", status.term)
    reply = raft_pb2.AppendReply(next_index=index + 1, success=True)
    cluster.deliver(others(cluster, leader)[0].name, leader.name, message(max(0, status.term - 1), append_reply=reply))
    leader.node.step(0)
    assert leader.node.deliverable_index() < index


def test_an_acknowledgement_of_an_entry_that_does_not_exist_ends_the_session(cluster):
    leader = cluster.leader()
    reply = raft_pb2.AppendReply(next_index=99, success=True)
    with pytest.raises(FrameError, match="does not exist"):
        cluster.deliver(
            others(cluster, leader)[0].name, leader.name, message(leader.node.status().term, append_reply=reply)
        )


def test_a_reply_with_a_higher_term_deposes(cluster):
    leader = cluster.leader()
    term = leader.node.status().term
    cluster.deliver(
        others(cluster, leader)[0].name, leader.name, message(term + 3, append_reply=raft_pb2.AppendReply())
    )
    assert not leader.node.leads()
    assert leader.node.status().term == term + 3


def test_a_read_is_answered_after_a_majority_was_heard(cluster):
    """Hole 8."""
    leader = cluster.leader()
    index = cluster.put(b"one", leader)
    answers = []
    leader.node.read_index(answers.append)
    cluster.run_until(lambda: answers)
    assert answers == [index]


def test_a_deposed_leader_answers_no_read(cluster):
    """Hole 8."""
    leader = cluster.leader()
    cluster.put(b"one", leader)
    cluster.isolate(leader.name)
    answers = []
    leader.node.read_index(answers.append)
    cluster.run_until(lambda: any(member is not leader for member in cluster.leaders()))
    cluster.run(2)
    assert answers == [None]


def test_a_follower_answers_no_read(cluster):
    answers = []
    others(cluster, cluster.leader())[0].node.read_index(answers.append)
    assert answers == [None]


def test_a_replica_that_does_not_hear_the_leader_does_not_depose_it(cluster):
    """Hole 9."""
    leader = cluster.leader()
    cluster.run(0.2)
    term = leader.node.status().term
    deaf = others(cluster, leader)[0]
    cluster.cut.add((leader.name, deaf.name))
    cluster.run(5)
    assert leader.node.leads()
    assert {member.node.status().term for member in cluster.members.values()} == {term}


def test_a_leader_without_a_quorum_steps_down_and_fails_what_waits(cluster):
    """Hole 12."""
    leader = cluster.leader()
    cluster.put(b"one", leader)
    term = leader.node.status().term
    cluster.isolate(leader.name)
    cluster.run(1.5)
    assert not leader.node.leads()
    assert leader.node.propose(b"late", term) is None


def test_proposals_are_refused_in_every_other_term(cluster):
    leader = cluster.leader()
    term = leader.node.status().term
    assert leader.node.propose(b"x", term - 1) is None
    assert leader.node.propose(b"x", term + 1) is None
    assert others(cluster, leader)[0].node.propose(b"x", term) is None
    assert leader.node.propose(b"x", term) == leader.log.last_index


def test_an_entry_of_an_unknown_kind_stops_the_replica(cluster):
    """Hole 14: never skip what only a newer version understands."""
    leader = cluster.leader()
    cluster.run(0.2)
    follower = others(cluster, leader)[0]
    term, last = leader.node.status().term, follower.log.last_index
    append = raft_pb2.AppendEntries(prev_index=last, prev_term=term)
    append.entries.add(index=last + 1, term=term, kind=7)
    with pytest.raises(LogFailure, match="upgrade"):
        cluster.deliver(leader.name, follower.name, message(term, append_entries=append))


def test_entries_that_do_not_follow_each_other_end_the_session(cluster):
    leader = cluster.leader()
    cluster.run(0.2)
    follower = others(cluster, leader)[0]
    term = leader.node.status().term
    append = raft_pb2.AppendEntries(prev_index=1, prev_term=0, entries=entries((5, term, b"")))
    with pytest.raises(FrameError, match="do not follow"):
        cluster.deliver(leader.name, follower.name, message(term, append_entries=append))


def test_a_lagging_replica_catches_up_from_the_tail_without_a_snapshot(cluster):
    """Hole 19."""
    leader = cluster.leader()
    cluster.put(b"before", leader)
    lagging = others(cluster, leader)[0]
    cluster.crash(lagging.name)
    for number in range(5):
        cluster.put(b"%d" % number, leader)
    leader.snapshot()
    cluster.restart(lagging.name)
    cluster.run_until(lambda: lagging.cursor == leader.cursor)
    assert not lagging.installed


def test_leadership_moves_when_the_api_process_dies(cluster):
    leader = cluster.leader()
    cluster.run(0.3)
    start = cluster.now
    leader.kill_api()
    cluster.run_until(lambda: any(member is not leader for member in cluster.leaders()), seconds=1)
    assert cluster.now - start < 0.1
    assert not leader.node.leads()


def test_a_replica_without_an_api_process_does_not_campaign(tmp_path):
    cluster = Cluster(tmp_path, seed=2)
    for member in cluster.members.values():
        member.kill_api()
    cluster.run(3)
    assert not cluster.leaders()
    last = cluster.members["r2"]
    last.api_alive = True
    last.node.api.connected(0)
    assert cluster.leader() is last
    cluster.close()


def test_a_replica_whose_api_process_dies_before_its_pre_vote_is_won_sleeps_between_its_turns(cluster):
    leader = cluster.leader()
    cluster.run(0.2)
    candidates = others(cluster, leader)
    cluster.crash(leader.name)
    cluster.run_until(lambda: any(each.node._election._pre_vote.asked_time > 0 for each in candidates))
    for each in candidates:
        each.kill_api()
    cluster.run_until(lambda: any(each.node._election._pre_vote.won for each in candidates), seconds=1)
    start = cluster.now
    for _ in range(1000):
        cluster.step()
    assert cluster.now - start > 1.0
    assert not cluster.leaders()


def test_a_replica_in_a_higher_term_is_elected_by_one_that_cannot_lead_itself(cluster):
    """The voter has no API process, so that it never asks and thereby learns the term: its answer must count."""
    leader = cluster.leader()
    cluster.put(b"one", leader)
    cluster.run(0.2)
    voter, candidate = others(cluster, leader)
    cluster.crash(leader.name)
    voter.kill_api()
    term = candidate.node.status().term + 3
    cluster.deliver(leader.name, candidate.name, message(term, append_reply=raft_pb2.AppendReply()))
    cluster.run_until(lambda: cluster.leaders() == [candidate], seconds=2)


def test_an_api_process_that_has_not_applied_the_commit_does_not_lead(cluster):
    leader = cluster.leader()
    for number in range(5):
        cluster.put(b"%d" % number, leader)
    slow, quick = others(cluster, leader)
    slow.api_alive = False  # it is there, ticking, but never gets further
    cluster.put(b"more", leader)
    cluster.run(0.2)
    cluster.crash(leader.name)
    for _ in range(200):
        slow.node.api.seen(1)
        cluster.run(0.01)
    assert cluster.leaders() == [quick]


def test_handing_over_takes_a_fraction_of_an_election(cluster):
    leader = cluster.leader()
    cluster.put(b"one", leader)
    cluster.run(0.2)
    start = cluster.now
    leader.node.hand_over("test")
    cluster.run_until(lambda: any(member is not leader for member in cluster.leaders()), seconds=1)
    assert cluster.now - start < 0.1


def test_losing_the_leaders_socket_starts_an_election_at_once(cluster):
    leader = cluster.leader()
    cluster.put(b"one", leader)
    cluster.run(0.2)
    start = cluster.now
    cluster.crash(leader.name)
    cluster.leader()
    assert cluster.now - start < 0.3


def test_a_replica_without_a_majority_knows_that_it_is_cut_off_until_it_hears_one(cluster):
    leader = cluster.leader()
    cluster.run(0.2)
    assert not any(member.node.status().cut_off for member in cluster.members.values())
    cluster.isolate(leader.name)
    cluster.run_until(lambda: leader.node.status().cut_off, seconds=1.0)
    assert not leader.node.leads()
    assert not any(member.node.status().cut_off for member in others(cluster, leader))
    cluster.heal()
    cluster.run_until(lambda: not leader.node.status().cut_off, seconds=0.2)


def test_a_majority_that_is_only_electing_a_leader_is_not_cut_off(cluster):
    leader = cluster.leader()
    cluster.run(0.2)
    cluster.isolate(leader.name)
    seen = []
    while not any(member is not leader for member in cluster.leaders()):
        cluster.step()
        seen += [member.node.status().cut_off for member in others(cluster, leader)]
    assert not any(seen)


def test_a_vote_survives_a_crash(cluster):
    """Hole 11: nobody votes twice in one term."""
    leader = cluster.leader()
    term = leader.node.status().term
    voter = next(member for member in others(cluster, leader) if member.log.vote == leader.name)
    cluster.crash(voter.name)
    cluster.restart(voter.name)
    assert (voter.log.term, voter.log.vote) == (term, leader.name)
    rival = next(name for name in cluster.names if name not in {leader.name, voter.name})
    request = raft_pb2.VoteRequest(candidate_term=term, last_index=99, last_term=term)
    sent = cluster.messages
    cluster.deliver(rival, voter.name, message(term, vote_request=request))
    voter.transport.flush()
    assert cluster.messages == sent


def test_a_single_replica_leads_alone(tmp_path):
    cluster = Cluster(tmp_path, seed=3, count=1)
    leader = cluster.leader()
    cluster.put(b"one", leader)
    assert leader.delivered[-1][2] == b"one"
    answers = []
    leader.node.read_index(answers.append)
    cluster.run(0.1)
    assert answers == [leader.log.last_index]
    leader.kill_api()
    cluster.run(1)
    assert not leader.node.leads()
    cluster.close()


def test_a_replica_that_alone_hears_no_leader_is_cut_off(cluster):
    """Neither its requests nor its nodes are served here: others can."""
    leader = cluster.leader()
    follower, third = others(cluster, leader)
    cluster.cut |= {(leader.name, follower.name), (follower.name, leader.name)}
    cluster.run_until(lambda: follower.node.status().cut_off, seconds=3)
    cluster.run(3)
    assert follower.node.status().cut_off
    assert leader.node.leads()
    assert not third.node.status().cut_off
    cluster.heal()
    cluster.run_until(lambda: not follower.node.status().cut_off, seconds=1)


@pytest.mark.parametrize("seed", range(10))
def test_nobody_who_takes_part_in_an_election_is_cut_off(tmp_path, seed):
    cluster = Cluster(tmp_path, seed)
    old = cluster.leader()
    electing = others(cluster, old)
    cluster.run(0.2)
    cluster.isolate(old.name)
    while not any(member.node.leads() for member in electing):
        cluster.step()
        assert not any(member.node.status().cut_off for member in electing)
    cluster.run(1)
    assert not any(member.node.status().cut_off for member in electing)
    cluster.close()
